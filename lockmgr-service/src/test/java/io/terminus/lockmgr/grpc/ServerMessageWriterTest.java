package io.terminus.lockmgr.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What the writer writes is what protobuf's own objects would be. */
class ServerMessageWriterTest {

    private static final long SEED = Long.getLong("terminus.seed", 1);

    @Test
    void everyGrantAndDoneReadsBackAsItsMessage() throws InvalidProtocolBufferException {
        Random random = new Random(SEED);
        ServerMessageWriter writer = new ServerMessageWriter();
        for (int round = 0; round < 200; round++) {
            ServerMessage.Builder expected = ServerMessage.newBuilder();

            for (int i = random.nextInt(100); i >= 0; i--) {
                if (random.nextInt(3) == 0) {
                    long request = number(random);
                    writer.done(request);
                    expected.addAnswers(
                            Answer.newBuilder().setRequestId(request).setDone(Done.getDefaultInstance()));
                } else {
                    Notice.Granted grant = grant(random);
                    writer.granted(grant);
                    expected.addAnswers(
                            Answer.newBuilder().setRequestId(grant.requestId()).setGranted(Wire.granted(grant)));
                }
            }
            RenewalAnswer renewal =
                    RenewalAnswer.newBuilder().setSequence(number(random)).build();
            writer.field(ServerMessage.RENEWAL_FIELD_NUMBER, renewal);
            int length = writer.length();
            byte[] message = writer.take();

            assertThat(message).hasSize(length);
            assertThat(ServerMessage.parseFrom(message))
                    .as("seed %d", SEED)
                    .isEqualTo(expected.setRenewal(renewal).build());
        }
    }

    @Test
    void welcomeCarriesWhatIsHeld() throws InvalidProtocolBufferException {
        Random random = new Random(SEED);
        Welcome.Builder expected = Welcome.newBuilder().setSessionId("s").setTtlMillis(6000);
        ServerMessageWriter welcome = new ServerMessageWriter();
        welcome.message(expected.build());
        for (int i = 0; i < 50_000; i++) {
            Notice.Granted grant = grant(random);
            welcome.granted(Welcome.HELD_FIELD_NUMBER, grant);
            expected.addHeld(Wire.granted(grant));
        }

        ServerMessageWriter message = new ServerMessageWriter();
        message.field(ServerMessage.WELCOME_FIELD_NUMBER, welcome);

        assertThat(ServerMessage.parseFrom(message.take()))
                .as("seed %d", SEED)
                .isEqualTo(ServerMessage.newBuilder().setWelcome(expected).build());
    }

    private static Notice.Granted grant(Random random) {
        long start = number(random) & Long.MAX_VALUE;
        long end = number(random) & Long.MAX_VALUE;
        boolean expanded = random.nextBoolean();
        return new Notice.Granted(
                "session",
                number(random),
                number(random),
                "v".repeat(1 + random.nextInt(128)),
                random.nextBoolean() ? "uuid" : "another-uuid",
                expanded ? start / 2 : start,
                end,
                start,
                end,
                Mode.values()[random.nextInt(6)],
                number(random));
    }

    /** Of every length. */
    private static long number(Random random) {
        return random.nextLong() >>> random.nextInt(64);
    }
}
