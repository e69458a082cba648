package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.Renew;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is written and read by hand is what protobuf's own objects would be, also of what nobody should send. */
class SessionWireTest {

    private static final long SEED = Long.getLong("terminus.seed", 1);

    @Test
    void whatIsWrittenReadsBackAsDescribed() throws InvalidProtocolBufferException {
        Random random = new Random(SEED);
        ClientMessageWriter writer = new ClientMessageWriter();
        for (int round = 0; round < 500; round++) {
            ClientMessage.Builder expected = ClientMessage.newBuilder();

            for (int i = random.nextInt(20); i >= 0; i--) {
                Pending request = request(random);
                long nowNanos = random.nextInt(1000);
                request.write(writer, nowNanos);
                Operation.Builder described = Operation.newBuilder().setRequestId(request.id);
                request.describe(described, nowNanos);
                expected.addOperations(described);
            }
            if (random.nextBoolean()) {
                writer.renew(round);
                expected.setRenew(Renew.newBuilder().setSequence(round));
            }

            assertThat(ClientMessage.parseFrom(writer.take()))
                    .as("seed %d", SEED)
                    .isEqualTo(expected.build());
            assertThat(writer.operations()).isZero();
        }
    }

    @Test
    void grantsAndDoneAreNoMessageObjectsAndReadAsTheParserReadsThem() throws InvalidProtocolBufferException {
        Random random = new Random(SEED);
        ServerMessageReader reader = new ServerMessageReader();
        for (int round = 0; round < 2000; round++) {
            ServerMessage message = message(random, false);

            Received read = reader.read(message.toByteArray());

            assertThat(again(read)).as("seed %d", SEED).isEqualTo(message);
            assertThat(read.replies()).noneMatch(reply -> reply instanceof Reply.Other);
        }
    }

    @Test
    void damagedMessagesAreReadAsTheParserDoesOrRefused() {
        Random random = new Random(SEED);
        ServerMessageReader reader = new ServerMessageReader();
        for (int round = 0; round < 20_000; round++) {
            byte[] bytes = message(random, true).toByteArray();
            for (int damage = random.nextInt(3); damage >= 0 && bytes.length > 0; damage--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
            ServerMessage expected = parsed(bytes);

            Received read = read(reader, bytes);

            if (expected != null) {
                assertThat(read).as("seed %d", SEED).isNotNull();
                assertThat(read == null ? null : again(read))
                        .as("seed %d", SEED)
                        .isEqualTo(meaningOf(expected));
            }
        }
    }

    private static @Nullable ServerMessage parsed(byte[] bytes) {
        try {
            return ServerMessage.parseFrom(bytes);
        } catch (InvalidProtocolBufferException e) {
            return null;
        }
    }

    private static @Nullable Received read(ServerMessageReader reader, byte[] bytes) {
        try {
            return reader.read(bytes);
        } catch (InvalidProtocolBufferException e) {
            return null;
        }
    }

    /** What this version does not know has no meaning to it. */
    private static ServerMessage meaningOf(ServerMessage message) {
        return again(Received.of(message));
    }

    private static ServerMessage again(Received read) {
        ServerMessage.Builder message = ServerMessage.newBuilder().addAllEvents(read.events());
        Welcome welcome = read.welcome();
        if (welcome != null) {
            message.setWelcome(welcome);
        }
        read.replies().forEach(reply -> message.addAnswers(reply.answer()));
        if (read.renews()) {
            message.setRenewal(RenewalAnswer.newBuilder().setSequence(read.renewal()));
        }
        return message.build();
    }

    private static Pending request(Random random) {
        long id = number(random);
        if (random.nextInt(3) == 0) {
            return new Pending.Giving(id, number(random), 0);
        }
        AcquireRequest request = random.nextInt(8) == 0
                ? AcquireRequest.standby("v", range(random), LockMode.PW)
                : AcquireRequest.of(
                        "v".repeat(1 + random.nextInt(128)),
                        range(random),
                        LockMode.values()[random.nextInt(6)],
                        Duration.ofMillis(1 + random.nextInt(100_000)));
        long endNanos =
                request.standby() ? Pending.NEVER : 1000 + request.waitTime().toNanos();
        return new Pending.Lock(
                id,
                random.nextInt(8) == 0 ? request.withDesired(LockRange.WHOLE_VOLUME) : request,
                List.of(),
                false,
                endNanos);
    }

    private static ServerMessage message(Random random, boolean others) {
        ServerMessage.Builder message = ServerMessage.newBuilder();
        if (others && random.nextInt(10) == 0) {
            message.setWelcome(Welcome.newBuilder().setSessionId("s").setTtlMillis(number(random)));
        }
        for (int i = random.nextInt(10); i > 0; i--) {
            Answer.Builder answer = Answer.newBuilder().setRequestId(1 + number(random));
            if (others && random.nextInt(4) == 0) {
                answer.setRefused(
                        Refused.newBuilder().setReasonValue(random.nextInt(16)).setMessage("why"));
            } else if (random.nextBoolean()) {
                answer.setDone(Done.getDefaultInstance());
            } else {
                LockRange range = range(random);
                Granted.Builder lock = Granted.newBuilder()
                        .setLockId(number(random))
                        .setVolume("v".repeat(random.nextInt(130)))
                        .setVolumeUuid(random.nextBoolean() ? "uuid" : "another-uuid")
                        .setRange(range.toProto())
                        .setModeValue(1 + random.nextInt(6))
                        .setToken(number(random));
                if (random.nextInt(4) == 0) {
                    lock.setRequested(Range.newBuilder().setStart(0).setEnd(range.endExclusive()));
                }
                answer.setGranted(lock);
            }
            message.addAnswers(answer);
        }
        if (random.nextInt(4) == 0) {
            message.setRenewal(RenewalAnswer.newBuilder().setSequence(1 + number(random)));
        }
        return message.build();
    }

    private static LockRange range(Random random) {
        long start = number(random) >>> 1;
        return new LockRange(start, start + 1 + (number(random) >>> 32));
    }

    /** Of every length. */
    private static long number(Random random) {
        return random.nextLong() >>> 1 + random.nextInt(63);
    }
}
