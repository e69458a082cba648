package io.terminus.lockmgr.app;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LockEvent;
import io.terminus.proto.lock.v1.LockEvent.Kind;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Shrink;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a watcher is told is what happens, over a real port. */
class WatchTest {

    private static final long SEED = Long.getLong("terminus.seed", 1);
    private static final int BACKLOG = 500;

    @TempDir
    Path directory;

    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer(directory, 5000);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void watcherSeesWhatIsThereAndThenWhatHappens() {
        TestStream holder = open("holder");
        TestStream waiter = open("waiter");
        Granted held = holder.acquired("v", 0, 100, Mode.MODE_EX);
        TestWatch watch = TestWatch.start(server.async(), "v");
        TestWatch.Pieces there = watch.snapshot();

        long request = waiter.acquire("v", 50, 150, Mode.MODE_PR, 30_000);
        LockEvent waiting = watch.event();
        LockEvent recalled = watch.event();
        holder.release(held.getLockId());
        LockEvent released = watch.event();
        LockEvent granted = watch.event();

        assertThat(there.held()).extracting(LockInfo::getId).containsExactly(held.getLockId());
        assertThat(there.waiting()).isEmpty();
        assertThat(waiting.getKind()).isEqualTo(Kind.WAITING);
        assertThat(waiting.getLock().getRequestId()).isEqualTo(request);
        assertThat(waiting.getLock().getBlockedByList()).containsExactly(held.getLockId());
        assertThat(recalled.getKind()).isEqualTo(Kind.RECALLED);
        assertThat(recalled.getLock().getId()).isEqualTo(held.getLockId());
        assertThat(released.getKind()).isEqualTo(Kind.RELEASED);
        assertThat(granted.getKind()).isEqualTo(Kind.GRANTED);
        assertThat(granted.getLock().getOwner()).isEqualTo("waiter");
        assertThat(granted.getTimeUnixMillis()).isPositive();
    }

    @Test
    void everyKindOfEventIsTold() {
        TestStream stream = open("a");
        TestWatch watch = TestWatch.start(server.async(), "v");
        watch.snapshot();

        Granted whole = stream.acquired("v", 0, Long.MAX_VALUE, Mode.MODE_EX);
        stream.send(Operation.newBuilder()
                .setPutValue(PutValue.newBuilder()
                        .setVolume("v")
                        .setLockId(whole.getLockId())
                        .setValue(ByteString.copyFromUtf8("x"))));
        stream.send(Operation.newBuilder()
                .setShrink(Shrink.newBuilder()
                        .setLockId(whole.getLockId())
                        .setRange(Range.newBuilder().setStart(10).setEnd(20))));
        stream.answer();
        stream.answer();
        server.admin()
                .forceRelease(ForceReleaseRequest.newBuilder()
                        .setVolume("v")
                        .setLockId(whole.getLockId())
                        .build());
        TestStream other = open("b");
        other.acquire("v", 10, 11, Mode.MODE_EX, 1);

        List<LockEvent> told = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            told.add(watch.event());
        }
        assertThat(told)
                .extracting(LockEvent::getKind)
                .containsExactly(Kind.GRANTED, Kind.VALUE_PUT, Kind.CHANGED, Kind.REVOKED, Kind.WAITING, Kind.GAVE_UP);
        assertThat(told.get(1).getValueVersion()).isEqualTo(1);
        assertThat(told.get(3).getWhy()).contains("by an operator");
    }

    @Test
    void snapshotInPiecesAndEventsTogetherAreTheTable() {
        Random random = new Random(SEED);
        TestStream stream = open("a");
        Map<Long, Granted> held = new HashMap<>();
        for (int i = 0; i < 3500; i++) {
            acquire(stream, held, i);
        }
        TestWatch watch = TestWatch.unread(server.async(), "v");

        // What happens between the pieces is on both sides of where the snapshot has come.
        for (int piece = 0; piece < 5; piece++) {
            for (int i = 0; i < 18; i++) {
                long id = List.copyOf(held.keySet()).get(random.nextInt(held.size()));
                Range range = requireNonNull(held.get(id)).getRange();
                if (random.nextBoolean() && range.getEnd() - range.getStart() > 2) {
                    Range inner = Range.newBuilder()
                            .setStart(range.getStart() + 1)
                            .setEnd(range.getEnd() - 1)
                            .build();
                    stream.send(Operation.newBuilder()
                            .setShrink(Shrink.newBuilder().setLockId(id).setRange(inner)));
                    held.put(id, stream.answer().getGranted());
                } else {
                    stream.release(id);
                    stream.answer();
                    held.remove(id);
                    acquire(stream, held, (int) (range.getStart() / 10));
                }
            }
            watch.read(1);
        }
        watch.read(Integer.MAX_VALUE);
        TestWatch.Pieces there = watch.snapshot();
        Granted last = stream.acquired("v", 1_000_000, 1_000_001, Mode.MODE_EX);
        held.put(last.getLockId(), last);

        Map<Long, LockInfo> known = new HashMap<>();
        for (LockInfo lock : there.held()) {
            assertThat(known.put(lock.getId(), lock))
                    .as("seed %d shows lock %d twice", SEED, lock.getId())
                    .isNull();
        }
        LockEvent event;
        do {
            event = watch.event();
            long id = event.getLock().getId();
            switch (event.getKind()) {
                case GRANTED ->
                    assertThat(known.put(id, event.getLock()))
                            .as("seed %d grants lock %d twice", SEED, id)
                            .isNull();
                case RELEASED ->
                    assertThat(known.remove(id))
                            .as("seed %d releases lock %d unseen", SEED, id)
                            .isNotNull();
                default -> known.put(id, event.getLock());
            }
        } while (event.getLock().getId() != last.getLockId());

        assertThat(there.messages()).isGreaterThan(3);
        Map<Long, Range> shown = new HashMap<>();
        known.forEach((id, lock) -> shown.put(id, lock.getRange()));
        Map<Long, Range> really = new HashMap<>();
        held.forEach((id, lock) -> really.put(id, lock.getRange()));
        assertThat(shown).as("seed %d", SEED).isEqualTo(really);
    }

    @Test
    void watcherThatDoesNotReadIsCutOff() {
        TestStream stream = open("a");
        TestWatch watch = TestWatch.unread(server.async(), "v");
        watch.snapshot();

        // Far more than what gRPC and the sockets between take before the backlog begins to fill.
        for (int i = 0; i < 200 && server.watchers() > 0; i++) {
            for (int j = 0; j < 40; j++) {
                stream.release(stream.acquired("v", 0, 10, Mode.MODE_EX).getLockId());
                stream.answer();
            }
        }
        watch.read(Integer.MAX_VALUE);

        assertThat(watch.end().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(watch.end().getDescription()).contains("more than " + BACKLOG + " events unread; watch anew");
    }

    @Test
    void watcherThatGoesMakesRoomForAnother() {
        TestWatch watch = TestWatch.start(server.async(), "v");
        watch.snapshot();
        assertThat(server.watchers()).isEqualTo(1);

        watch.breakOff();

        await().until(() -> server.watchers() == 0);
    }

    @Test
    void volumesAreWatchedEachForItself() {
        TestStream stream = open("a");
        TestWatch one = TestWatch.start(server.async(), "v1");
        TestWatch same = TestWatch.start(server.async(), "v1");
        one.snapshot();
        same.snapshot();

        stream.acquired("v2", 0, 1, Mode.MODE_EX);
        Granted granted = stream.acquired("v1", 0, 1, Mode.MODE_EX);

        assertThat(one.event().getLock().getId()).isEqualTo(granted.getLockId());
        assertThat(same.event().getLock().getId()).isEqualTo(granted.getLockId());
    }

    @Test
    void stoppedServerTellsItsWatchers() {
        TestWatch watch = TestWatch.start(server.async(), "v");
        watch.snapshot();

        server.close();

        assertThat(watch.end().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    }

    private static void acquire(TestStream stream, Map<Long, Granted> held, int slot) {
        Granted granted = stream.acquired("v", slot * 10L, slot * 10L + 10, Mode.MODE_EX);
        held.put(granted.getLockId(), granted);
    }

    private TestStream open(String owner) {
        return TestStream.open(server.async(), owner, 20_000);
    }
}
