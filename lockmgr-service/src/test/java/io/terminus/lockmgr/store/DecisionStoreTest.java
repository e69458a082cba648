package io.terminus.lockmgr.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeGone;
import io.terminus.lockmgr.lock.Change.VolumePut;
import io.terminus.lockmgr.lock.Mode;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DecisionStoreTest {

    private static final long TTL_NANOS = Duration.ofSeconds(30).toNanos();
    private static final SessionOpened SESSION = new SessionOpened("s1", "agent-a", TTL_NANOS);
    private static final VolumePut VOLUME = new VolumePut("vol", "uuid-1", 0);
    private static final LockPut LOCK = lock(1);

    @TempDir
    Path directory;

    @Test
    void killedProcessComesBackWithGrantsAndValues() throws IOException {
        DecisionStore store = open("boot-1");
        ValuePut value = new ValuePut("vol", 1, new byte[] {1, 2, 3}, "s1", 8);
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        decide(store, value);
        store.abandon();

        DecisionStore reopened = open("boot-1");

        List<Change> restored = list(reopened);
        assertThat(restored).hasSize(4).startsWith(SESSION, VOLUME).endsWith(LOCK);
        assertThat(restored.get(2)).usingRecursiveComparison().isEqualTo(value);
        assertThat(reopened.memoryLost()).isFalse();
        assertThat(reopened.recoveryTtlNanos()).isZero();
        reopened.abandon();
    }

    @Test
    void releasedLocksAndClosedSessionsAreGone() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK, lock(2));
        decide(store, new LockGone(1));
        decide(store, new LockGone(2), new SessionClosed("s1"));
        store.abandon();

        DecisionStore reopened = open("boot-1");

        assertThat(list(reopened)).containsExactly(VOLUME);
        reopened.abandon();
    }

    @Test
    void aVolumeThatIsGoneIsNotRememberedByLogOrSnapshot() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, VOLUME);
        decide(store, new VolumePut("used-once", "uuid-2", 0));
        decide(store, new VolumeGone("used-once"));
        store.abandon();

        DecisionStore fromLog = open("boot-1");
        assertThat(list(fromLog)).containsExactly(VOLUME);
        fromLog.close();
        DecisionStore fromSnapshot = open("boot-1");

        assertThat(list(fromSnapshot)).containsExactly(VOLUME);
        fromSnapshot.abandon();
    }

    @Test
    void epochRisesWithEveryStart() throws IOException {
        DecisionStore first = open("boot-1");
        long firstEpoch = first.epoch();
        first.close();
        DecisionStore second = open("boot-1");
        long secondEpoch = second.epoch();
        second.abandon();

        DecisionStore third = open("boot-2");

        assertThat(List.of(firstEpoch, secondEpoch, third.epoch())).containsExactly(1L, 2L, 3L);
        third.abandon();
    }

    @Test
    void operatorRaisesTheEpoch() throws IOException {
        open("boot-1").close();
        StoreSettings settings = settings("boot-1", 1 << 20);

        DecisionStore raised = DecisionStore.open(
                new StoreSettings(settings.directory(), settings.bootId(), 1 << 20, 1000, TTL_NANOS, 1000));

        assertThat(raised.epoch()).isEqualTo(1000);
        raised.abandon();
    }

    @Test
    void otherBootForgetsGrantsKeepsValuesAndAsksForTheWindow() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        decide(store, new ValuePut("vol", 7, new byte[] {9}, "s1", 8));
        store.abandon();

        DecisionStore reopened = open("boot-2");

        assertThat(reopened.memoryLost()).isTrue();
        assertThat(reopened.recoveryTtlNanos()).isEqualTo(TTL_NANOS);
        List<Change> restored = list(reopened);
        assertThat(restored).hasSize(2).startsWith(VOLUME);
        assertThat(((ValuePut) restored.get(1)).version()).isEqualTo(7);
        reopened.abandon();
    }

    @Test
    void windowStartsAnewIfTheProcessDiesInIt() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        store.abandon();
        DecisionStore inWindow = open("boot-2");
        SessionOpened newcomer = new SessionOpened("s2", "agent-b", TTL_NANOS);
        decide(inWindow, newcomer);
        inWindow.abandon();

        DecisionStore again = open("boot-2");

        assertThat(again.memoryLost()).isFalse();
        assertThat(again.recoveryTtlNanos()).isEqualTo(TTL_NANOS);
        assertThat(list(again)).containsExactly(newcomer);
        again.recoveryOver();
        again.abandon();
        DecisionStore after = open("boot-2");
        assertThat(after.recoveryTtlNanos()).isZero();
        after.abandon();
    }

    @Test
    void windowLastsTheLongestLeaseEverGiven() throws IOException {
        DecisionStore generous =
                DecisionStore.open(new StoreSettings(directory, "boot-1", 1 << 20, 1000, 5 * TTL_NANOS, 0));
        generous.abandon();
        open("boot-1").abandon();

        DecisionStore reopened = open("boot-2");

        assertThat(reopened.recoveryTtlNanos()).isEqualTo(5 * TTL_NANOS);
        reopened.abandon();
    }

    @Test
    void cleanCloseKeepsGrantsOverARestartOfTheMachine() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.close();

        DecisionStore reopened = open("boot-2");

        assertThat(reopened.memoryLost()).isFalse();
        assertThat(list(reopened)).containsExactly(SESSION, VOLUME, LOCK);
        reopened.abandon();
    }

    @Test
    void cleanMarkCountsOnce() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        store.close();
        open("boot-1").abandon();

        DecisionStore reopened = open("boot-2");

        assertThat(reopened.memoryLost()).isTrue();
        reopened.abandon();
    }

    @Test
    void missingMapCountsAsMemoryLoss() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.abandon();
        Files.delete(directory.resolve(GrantMap.FILE));

        DecisionStore reopened = open("boot-1");

        assertThat(reopened.memoryLost()).isTrue();
        assertThat(list(reopened)).containsExactly(VOLUME);
        reopened.abandon();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 10, 4096, 100_000})
    void mapsCutShortCountAsMemoryLoss(int lengthBytes) throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.abandon();
        try (FileChannel map = FileChannel.open(directory.resolve(GrantMap.FILE), StandardOpenOption.WRITE)) {
            map.truncate(lengthBytes);
        }

        DecisionStore reopened = open("boot-1");

        assertThat(reopened.memoryLost()).isTrue();
        assertThat(list(reopened)).containsExactly(VOLUME);
        reopened.abandon();
    }

    /** A lock that is in the map alone: the log of its grant was rolled up. */
    @Test
    void noDamagedByteOfTheMapLosesALockInSilence(@TempDir Path elsewhere) throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.abandon();
        open("boot-1").abandon();
        Path map = directory.resolve(GrantMap.FILE);
        byte[] whole = Files.readAllBytes(map);
        byte[] name = "vol".getBytes(StandardCharsets.US_ASCII);
        int entry = 0;
        while (!Arrays.equals(whole, entry, entry + name.length, name, 0, name.length)) {
            entry++;
        }

        for (int at = entry - 60; at < entry + 60; at++) {
            Path damaged = Files.createDirectory(elsewhere.resolve("byte-" + at));
            try (Stream<Path> files = Files.list(directory)) {
                for (Path file : files.toList()) {
                    Files.copy(file, damaged.resolve(file.getFileName()));
                }
            }
            flip(damaged.resolve(GrantMap.FILE), at);

            DecisionStore reopened =
                    DecisionStore.open(new StoreSettings(damaged, "boot-1", 1 << 20, 1000, TTL_NANOS, 0));

            if (!reopened.memoryLost()) {
                assertThat(list(reopened)).as("byte %s", at - entry).contains(LOCK);
            }
            reopened.abandon();
        }
    }

    @Test
    void aRecoveryOfTheMapThatDidNotEndCountsAsMemoryLoss() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.abandon();
        Files.createFile(directory.resolve(GrantMap.FILE + ".recovering"));

        DecisionStore reopened = open("boot-1");
        boolean lost = reopened.memoryLost();
        reopened.abandon();
        DecisionStore later = open("boot-1");

        assertThat(lost).isTrue();
        assertThat(later.memoryLost()).isFalse();
        later.abandon();
    }

    @Test
    void crashAtEveryByteOfTheLastRecordsLosesOnlyWholeDecisions() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME);
        Path log = log();
        List<Long> ends = new ArrayList<>(List.of(Files.size(log)));
        for (long id = 1; id <= 3; id++) {
            decide(store, lock(2 * id), lock(2 * id + 1));
            ends.add(Files.size(log));
        }
        store.abandon();
        byte[] whole = Files.readAllBytes(log);

        for (long length = ends.getFirst(); length <= ends.getLast(); length++) {
            Files.write(log, java.util.Arrays.copyOf(whole, (int) length));
            DecisionLog.Scan scan = scan(log);

            long kept = length;
            long wholeDecisions = ends.stream().filter(end -> end <= kept).count() - 1;
            assertThat(scan.endBytes()).isEqualTo(ends.get((int) wholeDecisions));
            assertThat(scan.torn()).isEqualTo(!ends.contains(length));
            assertThat(locks(log, scan)).hasSize((int) (2 * wholeDecisions));
        }
    }

    @Test
    void tornEndIsCutAndTheStoreGoesOnBehindIt() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        store.abandon();
        long end = Files.size(log());
        try (RandomAccessFile file = new RandomAccessFile(log().toFile(), "rw")) {
            file.seek(end);
            file.write(new byte[] {0, 0, 1, 0, 5, 5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 4});
        }

        DecisionStore reopened = open("boot-1");
        decide(reopened, lock(2));
        reopened.abandon();

        DecisionStore last = open("boot-1");
        assertThat(list(last)).containsExactlyInAnyOrder(SESSION, VOLUME, LOCK, lock(2));
        last.abandon();
    }

    @Test
    void everyDamagedByteBeforeTheLastRecordIsRefused() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        int from = (int) Files.size(log());
        decide(store, VOLUME, LOCK);
        int to = (int) Files.size(log());
        decide(store, lock(2));
        store.abandon();
        byte[] good = Files.readAllBytes(log());

        for (int at = from; at < to; at++) {
            byte[] bad = good.clone();
            bad[at] ^= 0x40;
            Files.write(log(), bad);

            assertThatThrownBy(() -> scan(log()))
                    .as("byte %s", at)
                    .isInstanceOf(StoreRefusedException.class)
                    .hasMessageContaining("record 3 at byte " + from)
                    .hasMessageContaining("not a torn end");
        }
    }

    @Test
    void damageToSyncedRecordsIsRefusedAfterPowerLossToo() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        int synced = (int) Files.size(log());
        decide(store, VOLUME, LOCK);
        store.abandon();
        flip(log(), synced - 1);

        assertThatThrownBy(() -> open("boot-2")).isInstanceOf(StoreRefusedException.class);
    }

    @Test
    void holeBehindTheLastSyncIsATornEndAfterPowerLoss() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        int synced = (int) Files.size(log());
        decide(store, VOLUME, LOCK);
        decide(store, lock(2));
        store.abandon();
        flip(log(), synced + 30);

        DecisionStore reopened = open("boot-2");

        assertThat(reopened.memoryLost()).isTrue();
        assertThat(list(reopened)).isEmpty();
        reopened.abandon();
    }

    @Test
    void otherFormatVersionIsRefusedByName() throws IOException {
        open("boot-1").close();
        try (FileChannel channel = FileChannel.open(log(), StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(4).putInt(0, 77), 8);
        }

        assertThatThrownBy(() -> open("boot-1"))
                .isInstanceOf(StoreRefusedException.class)
                .hasMessageContaining("data directory of another version")
                .hasMessageContaining("format 77");
    }

    @Test
    void mapWithoutALogIsRefused() throws IOException {
        open("boot-1").close();
        Files.delete(log());

        assertThatThrownBy(() -> open("boot-1"))
                .isInstanceOf(StoreRefusedException.class)
                .hasMessageContaining("lockmgr.epoch-at-least");
    }

    @Test
    void secondUserOfADirectoryIsRefused() throws IOException {
        DecisionStore store = open("boot-1");

        assertThatThrownBy(() -> open("boot-1"))
                .isInstanceOf(StoreRefusedException.class)
                .hasMessageContaining("in use by another process");
        store.abandon();
    }

    @Test
    void newGenerationKeepsEverything() throws IOException {
        DecisionStore store = DecisionStore.open(settings("boot-1", 4096));
        decide(store, SESSION);
        decide(store, VOLUME);
        decide(store, new ValuePut("vol", 1, new byte[] {4}, "s1", 5));
        for (long id = 1; id <= 300; id++) {
            decide(store, lock(id));
            if (id % 3 != 0) {
                decide(store, new LockGone(id));
            }
        }
        store.close();

        assertThat(LogChain.generations(directory)).hasSize(1);
        assertThat(log().getFileName().toString()).isNotEqualTo("decisions-000000000001.log");
        assertThat(Files.size(log())).isLessThan(2 * 4096);
        DecisionStore reopened = DecisionStore.open(settings("boot-1", 4096));

        List<Change> restored = list(reopened);
        assertThat(restored.stream().filter(LockPut.class::isInstance)).hasSize(100);
        assertThat(restored).contains(SESSION, VOLUME);
        assertThat(restored.stream().filter(ValuePut.class::isInstance)).hasSize(1);
        assertThat(reopened.epoch()).isEqualTo(2);
        reopened.abandon();
    }

    @Test
    void locksThatComeAndGoInOneGenerationNeverTouchTheMap() throws IOException {
        List<String> touched = new ArrayList<>();
        StoreDisk disk = new StoreDisk() {
            @Override
            void changingMap() {
                touched.add("once");
            }
        };
        DecisionStore store = DecisionStore.open(settings("boot-1", 4096), disk, Runnable::run);
        list(store);
        decide(store, SESSION);
        decide(store, VOLUME, lock(1));

        for (long id = 2; id <= 500; id++) {
            decide(store, lock(id));
            decide(store, new LockGone(id));
        }

        assertThat(LogChain.generations(directory).getFirst().getFileName().toString())
                .isGreaterThan("decisions-000000000010.log");
        assertThat(touched).hasSizeLessThan(30);
        store.abandon();
    }

    @Test
    void anInterruptOfWhoWritesDoesNotCloseTheLog() {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);

        Thread.currentThread().interrupt();
        decide(store, VOLUME, LOCK);
        boolean stillInterrupted = Thread.interrupted();
        store.sync();
        decide(store, lock(2));
        store.close();

        assertThat(stillInterrupted).isTrue();
        DecisionStore next = open("boot-1");
        assertThat(list(next)).hasSize(4);
        next.close();
    }

    @Test
    void logThatCouldNotBeSyncedOnceIsNeverCalledSynced() throws IOException {
        AtomicInteger syncs = new AtomicInteger();
        StoreDisk disk = new StoreDisk() {
            @Override
            void sync(LogFile file) throws IOException {
                if (syncs.incrementAndGet() == 1) {
                    throw new IOException("Input/output error"); // told to one of two threads, as by the kernel
                }
            }
        };
        LogItem opening = new LogItem.Opening(1, "boot-1", 1, false, false);
        try (DecisionLog old =
                        DecisionLog.create(disk, directory.resolve("1"), 1, 0, opening, null, DecisionLog.writer());
                DecisionLog log = DecisionLog.create(
                        disk, directory.resolve("2"), 2, old.lastSequence(), opening, old, DecisionLog.writer())) {
            assertThatThrownBy(old::sync).isInstanceOf(IOException.class);

            assertThatThrownBy(old::sync).hasMessageContaining("Input/output error");
            assertThatThrownBy(log::sync).hasMessageContaining("Input/output error");
            assertThat(log.synced()).isFalse();
        }
    }

    @Test
    void olderGenerationLeftByACrashIsIgnoredAndDeleted() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        decide(store, VOLUME, LOCK);
        Path older = log();
        byte[] olderBytes = Files.readAllBytes(older);
        store.abandon();
        DecisionStore compacting = DecisionStore.open(settings("boot-1", 1));
        decide(compacting, lock(2));
        compacting.abandon();
        Files.write(older, olderBytes);
        Files.write(directory.resolve("decisions-000000000009.log.tmp"), new byte[] {1});

        DecisionStore reopened = open("boot-1");

        assertThat(list(reopened)).containsExactlyInAnyOrder(SESSION, VOLUME, LOCK, lock(2));
        assertThat(older).doesNotExist();
        assertThat(directory.resolve("decisions-000000000009.log.tmp")).doesNotExist();
        reopened.abandon();
    }

    @Test
    void missingGenerationIsRefused() throws IOException {
        DecisionStore store = DecisionStore.open(settings("boot-1", 1 << 20), new StoreDisk(), neverRun());
        decide(store, SESSION);
        store.abandon();
        DecisionStore next = DecisionStore.open(settings("boot-1", 1), new StoreDisk(), neverRun());
        decide(next, VOLUME);
        decide(next, LOCK);
        next.abandon();
        List<Path> logs = LogChain.generations(directory);

        assertThat(logs).hasSize(3);
        for (Path missing : logs.subList(0, 2)) {
            byte[] bytes = Files.readAllBytes(missing);
            Files.delete(missing);
            assertThatThrownBy(() -> open("boot-1"))
                    .isInstanceOf(StoreRefusedException.class)
                    .hasMessageContaining("damaged")
                    .hasMessageContaining(missing + " is missing");
            Files.write(missing, bytes);
        }
        DecisionStore whole = open("boot-1");
        assertThat(list(whole)).containsExactlyInAnyOrder(SESSION, VOLUME, LOCK);
        whole.abandon();
    }

    @Test
    void unsyncedGenerationBehindATornEndIsGivenUpAfterPowerLossOnly() throws IOException {
        DecisionStore store = DecisionStore.open(settings("boot-1", 300), new StoreDisk(), neverRun());
        decide(store, SESSION);
        ValuePut value = new ValuePut("vol", 1, new byte[] {1}, "s1", 8);
        decide(store, VOLUME, value);
        decide(store, LOCK);
        decide(store, lock(2));
        store.abandon();
        List<Path> logs = LogChain.generations(directory);
        assertThat(logs).hasSize(2);
        try (FileChannel channel = FileChannel.open(logs.getFirst(), StandardOpenOption.WRITE)) {
            channel.truncate(channel.size() - 20);
        }

        assertThatThrownBy(() -> open("boot-1"))
                .isInstanceOf(StoreRefusedException.class)
                .hasMessageContaining("ends behind record");
        DecisionStore reopened = open("boot-2");

        assertThat(reopened.memoryLost()).isTrue();
        assertThat(list(reopened)).hasSize(2).startsWith(VOLUME);
        assertThat(reopened.epoch()).isEqualTo(2);
        decide(reopened, lock(3));
        reopened.abandon();
        DecisionStore again = open("boot-2");
        assertThat(list(again)).hasSize(3);
        again.abandon();
    }

    @Test
    void damagedSnapshotIsRefused() throws IOException {
        DecisionStore store = open("boot-1");
        decide(store, SESSION);
        store.abandon();
        open("boot-1").abandon();
        Path snapshot = directory.resolve(Snapshot.FILE);
        byte[] good = Files.readAllBytes(snapshot);

        for (int at = 0; at < good.length; at++) {
            byte[] bad = good.clone();
            bad[at] ^= 0x40;
            Files.write(snapshot, bad);
            assertThatThrownBy(() -> open("boot-1")).as("byte %s", at).isInstanceOf(StoreRefusedException.class);
        }
        for (int length = 0; length < good.length; length++) {
            Files.write(snapshot, java.util.Arrays.copyOf(good, length));
            assertThatThrownBy(() -> open("boot-1")).as("length %s", length).isInstanceOf(StoreRefusedException.class);
        }
    }

    @Test
    void ownerWaitsWhenTooManyGenerationsWaitToBeRolledUp() throws Exception {
        java.util.concurrent.LinkedBlockingQueue<Runnable> queued = new java.util.concurrent.LinkedBlockingQueue<>();
        DecisionStore store = DecisionStore.open(settings("boot-1", 1), new StoreDisk(), queued::add);
        Thread owner = Thread.ofPlatform().start(() -> {
            for (long id = 1; id <= 4; id++) {
                decide(store, lock(id));
            }
        });
        Runnable first = queued.take();
        Runnable second = queued.take();
        Runnable third = queued.take();
        while (owner.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }

        first.run();

        queued.take();
        owner.join();
        assertThat(LogChain.generations(directory)).hasSize(4);
        second.run();
        third.run();
        store.abandon();
    }

    @Test
    void onlySessionsAndValuesWaitForTheDisk() {
        assertThat(DecisionStore.mustBeSynced(List.of(VOLUME, LOCK, new LockGone(3))))
                .isFalse();
        assertThat(DecisionStore.mustBeSynced(List.of(VOLUME, new ValuePut("vol", 1, new byte[0], "s1", 1))))
                .isTrue();
        assertThat(DecisionStore.mustBeSynced(List.of(SESSION))).isTrue();
    }

    @Test
    void oneSyncServesAllThatWaits() throws IOException {
        DecisionStore store = open("boot-1");
        long before = store.syncs();
        for (int i = 0; i < 50; i++) {
            store.append(List.of(new SessionOpened("s" + i, "owner", TTL_NANOS)));
        }

        store.sync();
        store.sync();

        assertThat(store.syncs() - before).isEqualTo(1);
        store.abandon();
    }

    private DecisionStore open(String bootId) {
        return DecisionStore.open(settings(bootId, 1 << 20));
    }

    private StoreSettings settings(String bootId, long compactAfterBytes) {
        return new StoreSettings(directory, bootId, compactAfterBytes, 1000, TTL_NANOS, 0);
    }

    private Path log() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.filter(f -> f.toString().endsWith(".log")).findFirst().orElseThrow();
        }
    }

    private static LockPut lock(long id) {
        return new LockPut(
                id,
                "s1",
                id + 10,
                id + 11,
                "vol",
                100 * id,
                100 * id + 50,
                100 * id,
                100 * id + 64,
                Mode.EX,
                id,
                false);
    }

    private static void decide(DecisionStore store, Change... changes) {
        List<Change> decision = List.of(changes);
        store.append(decision);
        if (DecisionStore.mustBeSynced(decision)) {
            store.sync();
        } else {
            store.flush();
        }
    }

    private static List<Change> list(DecisionStore store) {
        List<Change> all = new ArrayList<>();
        store.restored().forEach(all::add);
        return all;
    }

    private static java.util.concurrent.Executor neverRun() {
        return task -> {};
    }

    private static DecisionLog.Scan scan(Path log) throws IOException {
        return DecisionLog.scan(log, Long.MAX_VALUE, "boot-1", "");
    }

    private static List<Long> locks(Path log, DecisionLog.Scan scan) throws IOException {
        List<Long> locks = new ArrayList<>();
        DecisionLog.replay(log, scan, new LogItemCodec.Taker() {
            @Override
            public void take(LogItem item) {}

            @Override
            public void takeLock(long lockId, byte[] lockPut) {
                locks.add(lockId);
            }

            @Override
            public void takeLockGone(long lockId) {}
        });
        return locks;
    }

    private static void flip(Path file, int at) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        bytes[at] ^= 1;
        Files.write(file, bytes);
    }
}
