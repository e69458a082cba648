package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Shrink;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a flight recording shows of acquires, waits and recalls, and that it does so only if it is asked to. */
@Timeout(60)
class LockJfrTest {

    private static final long TTL_MILLIS = 20_000;

    @TempDir
    Path directory;

    @Test
    void anAcquireIsShownWithItsRangeAndItsOutcome() throws IOException {
        List<RecordedEvent> acquires = only(record(true), "terminus.lock.Acquire");

        assertThat(acquires)
                .extracting(event -> event.getString("outcome"))
                .containsExactly("granted", "WOULD_BLOCK", "queued", "queued");
        assertThat(acquires).allMatch(event -> event.getString("volume").equals("vol"));
        RecordedEvent first = acquires.getFirst();
        assertThat(first.getLong("start")).isZero();
        assertThat(first.getLong("end")).isEqualTo(100);
        assertThat(first.getString("mode")).isEqualTo("EX");
    }

    @Test
    void aWaitIsShownAtItsEnd() throws IOException {
        List<RecordedEvent> waits = only(record(true), "terminus.lock.Wait");

        assertThat(waits).extracting(event -> event.getString("outcome")).containsExactly("granted", "granted");
        assertThat(waits)
                .allMatch(event -> event.getDuration("waitedNanos").isPositive())
                .allMatch(event -> !event.getString("session").isEmpty() && event.getLong("request") > 0);
    }

    @Test
    void aRecallIsShownAtItsEnd() throws IOException {
        List<RecordedEvent> recalls = only(record(true), "terminus.lock.Recall");

        assertThat(recalls).extracting(event -> event.getString("outcome")).containsExactly("shrunk", "released");
        assertThat(recalls)
                .allMatch(event -> event.getDuration("tookNanos").isPositive())
                .allMatch(event -> event.getLong("lock") > 0);
    }

    @Test
    void aRecordingThatDoesNotAskForThemHasNone() throws IOException {
        List<RecordedEvent> events = record(false);

        assertThat(events).noneMatch(event -> event.getEventType().getName().startsWith("terminus.lock."));
    }

    /** One holder; one that tries, and waits for two parts of what is held: the first is given back by a shrink. */
    private List<RecordedEvent> record(boolean asked) throws IOException {
        Path file = directory.resolve("locks.jfr");
        try (Recording recording = new Recording()) {
            if (asked) {
                recording.enable(LockJfr.Acquire.class);
                recording.enable(LockJfr.Wait.class);
                recording.enable(LockJfr.Recall.class);
            }
            recording.start();
            try (TestServer server = new TestServer(directory.resolve("data"), 1000)) {
                TestStream holder = TestStream.open(server.async(), "holder", TTL_MILLIS);
                TestStream waiter = TestStream.open(server.async(), "waiter", TTL_MILLIS);
                Granted held = holder.acquired("vol", 0, 100, Mode.MODE_EX);
                waiter.acquire("vol", 0, 10, Mode.MODE_EX, 0);
                assertThat(waiter.answer().hasRefused()).isTrue();
                waiter.acquire("vol", 0, 10, Mode.MODE_EX, 30_000);
                awaitRecall(holder);
                holder.send(Operation.newBuilder()
                        .setShrink(Shrink.newBuilder()
                                .setLockId(held.getLockId())
                                .setRange(Range.newBuilder().setStart(10).setEnd(100))));
                assertThat(holder.answer().hasGranted()).isTrue();
                assertThat(waiter.answer().hasGranted()).isTrue();
                waiter.acquire("vol", 50, 60, Mode.MODE_EX, 30_000);
                awaitRecall(holder);
                holder.release(held.getLockId());
                assertThat(waiter.answer().hasGranted()).isTrue();
            }
            recording.stop();
            recording.dump(file);
        }
        return RecordingFile.readAllEvents(file);
    }

    private static void awaitRecall(TestStream holder) {
        Event event = holder.event();
        assertThat(event.hasRecall()).isTrue();
    }

    private static List<RecordedEvent> only(List<RecordedEvent> events, String name) {
        return events.stream()
                .filter(event -> event.getEventType().getName().equals(name))
                .sorted(java.util.Comparator.comparing(RecordedEvent::getStartTime))
                .toList();
    }
}
