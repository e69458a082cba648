package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Part;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.util.unit.DataSize;

/** Each limit is refused by name, and what stays below it goes on. */
class LimitsTest {

    private static final LockManagerProperties.Limits LIMITS = new LockManagerProperties.Limits(
            3, 2, 4, 2, 4, 2, 40, DataSize.ofBytes(100), 3, 5, DataSize.ofBytes(2000), 1, 100);

    @TempDir
    Path directory;

    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer(directory, 500, "boot-1", LIMITS);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void rangesOfARequest() {
        TestStream stream = open("a");

        stream.send(acquireOf(4));
        Answer refused = stream.answer();
        stream.send(acquireOf(3));
        Answer granted = stream.answer();

        assertRefused(refused, "4 ranges; the most allowed are 3");
        assertThat(granted.getGrantedAll().getLocksCount()).isEqualTo(3);
    }

    @Test
    void operationsOfAMessageAreAllRefusedAndNoneIsDone() {
        TestStream stream = open("a");

        stream.send(messageOf(6));
        for (int i = 1; i <= 6; i++) {
            Answer refused = stream.answer();
            assertThat(refused.getRequestId()).isEqualTo(i);
            assertRefused(refused, "one of 6 operations in a message; the most allowed are 5");
        }
        stream.send(messageOf(4));

        for (int i = 1; i <= 4; i++) {
            assertThat(stream.answer().hasGranted()).isTrue();
        }
    }

    @Test
    void bytesOfAMessage() {
        TestStream stream = open("a");
        stream.welcome();

        stream.send(Operation.newBuilder()
                .setPutValue(PutValue.newBuilder().setVolume("v").setValue(ByteString.copyFrom(new byte[2000]))));

        assertThat(stream.end().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(stream.end().getDescription()).contains("longer than the longest allowed, 2000 bytes");
    }

    @Test
    void sessions() {
        open("a").welcome();
        open("b").welcome();
        open("c").welcome();

        assertThat(open("d").end().getDescription()).contains("LIMIT_EXCEEDED", "3 sessions");
    }

    @Test
    void volumes() {
        TestStream stream = open("a");
        stream.acquired("v1", 0, 1, Mode.MODE_EX);
        stream.acquired("v2", 0, 1, Mode.MODE_EX);

        stream.acquire("v3", 0, 1, Mode.MODE_EX, 0);

        assertRefused(stream.answer(), "2 volumes");
    }

    @Test
    void locksOfASessionAndOfAVolume() {
        TestStream stream = open("a");
        for (int i = 0; i < 4; i++) {
            stream.acquired("v", i, i + 1, Mode.MODE_EX);
        }

        stream.acquire("v", 4, 5, Mode.MODE_EX, 0);
        Answer ofSession = stream.answer();
        TestStream other = open("b");
        other.acquire("v", 4, 5, Mode.MODE_EX, 0);
        Answer ofVolume = other.answer();

        assertRefused(ofSession, "session");
        assertRefused(ofVolume, "volume v has 4");
    }

    @Test
    void waitersOfASession() {
        open("holder").acquired("v", 0, 10, Mode.MODE_EX);
        TestStream stream = open("a");
        stream.acquire("v", 0, 1, Mode.MODE_EX, 30_000);
        stream.acquire("v", 1, 2, Mode.MODE_EX, 30_000);

        stream.acquire("v", 2, 3, Mode.MODE_EX, 30_000);

        assertRefused(stream.answer(), "2 requests waiting");
    }

    @Test
    void lengthOfNames() {
        TestStream stream = open("a");

        stream.acquire("a-name-of-forty-one-letters-that-goes-on-", 0, 1, Mode.MODE_EX, 0);

        assertThat(stream.answer().getRefused().getReason()).isEqualTo(Reason.INVALID_NAME);
        assertThatThrownBy(() -> server.blocking()
                        .openSession(OpenSessionRequest.newBuilder()
                                .setOwner("a-name-of-forty-one-letters-that-goes-on-")
                                .build()))
                .hasMessageContaining("1 to 40 characters");
    }

    @Test
    void bytesOfAValue() {
        TestStream stream = open("a");
        Granted whole = stream.acquired("v", 0, Long.MAX_VALUE, Mode.MODE_EX);

        stream.send(Operation.newBuilder()
                .setPutValue(PutValue.newBuilder()
                        .setVolume("v")
                        .setLockId(whole.getLockId())
                        .setValue(ByteString.copyFrom(new byte[101]))));

        assertRefused(stream.answer(), "101 bytes", "100");
    }

    @Test
    void watchers() {
        TestWatch first = TestWatch.start(server.async(), "v");
        first.snapshot();

        TestWatch second = TestWatch.start(server.async(), "v");

        assertThat(second.end().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(second.end().getDescription()).contains("1 watchers, the most allowed");
    }

    private static void assertRefused(Answer answer, String... parts) {
        assertThat(answer.getRefused().getReason()).as("%s", answer).isEqualTo(Reason.LIMIT_EXCEEDED);
        assertThat(answer.getRefused().getMessage()).contains(parts);
    }

    private static Operation.Builder acquireOf(int ranges) {
        Acquire.Builder acquire =
                Acquire.newBuilder().setVolume("v").setRange(range(0)).setMode(Mode.MODE_EX);
        for (int i = 1; i < ranges; i++) {
            acquire.addAlso(Part.newBuilder().setVolume("v").setRange(range(i)).setMode(Mode.MODE_EX));
        }
        return Operation.newBuilder().setAcquire(acquire);
    }

    private static ClientMessage messageOf(int operations) {
        ClientMessage.Builder message = ClientMessage.newBuilder();
        for (int i = 1; i <= operations; i++) {
            message.addOperations(Operation.newBuilder()
                    .setRequestId(i)
                    .setAcquire(Acquire.newBuilder()
                            .setVolume("v")
                            .setRange(range(i))
                            .setMode(Mode.MODE_EX)));
        }
        return message.build();
    }

    private static Range range(long start) {
        return Range.newBuilder().setStart(start).setEnd(start + 1).build();
    }

    private TestStream open(String owner) {
        return TestStream.open(server.async(), owner, 20_000);
    }
}
