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
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * One story of starts, decisions, generations and stops, ended at each step that changes the directory: every write, sync,
 * rename, deletion and every entry of the map. The roll-up runs on the owner's thread here, so that steps have an order.
 */
class StoreCrashTest {

    private static final long TTL_NANOS = Duration.ofSeconds(30).toNanos();

    /** A generation holds about four locks. */
    private static final long COMPACT_AFTER_BYTES = 600;

    @TempDir
    Path root;

    /** What a power loss leaves of what was not synced. */
    private enum Loss {
        /** No byte and no name. */
        EVERYTHING,
        /** Names and deletions as they were, no byte. */
        BYTES,
        /** Names as they were, and half of the bytes. */
        HALF_THE_BYTES
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void killAtEachStepLeavesTheStateBeforeOrAfterTheDecision(boolean halfWritten) throws IOException {
        int steps = stepsOfTheStory();

        for (int step = 1; step <= steps; step++) {
            Path directory = Files.createDirectory(root.resolve("step-" + step));
            CrashingDisk disk = new CrashingDisk(step, halfWritten);
            Story story = new Story(directory, disk, "boot-1");
            story.kill();

            DecisionStore after = open(directory, new StoreDisk(), "boot-1");
            Map<String, String> found = digest(after);
            assertThat(found)
                    .as("killed at step %s of %s, %s", step, steps, disk.lastStep)
                    .isIn(story.digests.get(story.answered), story.digests.get(story.appended));
            assertThat(after.memoryLost()).isFalse();
            assertThat(after.epoch()).isGreaterThan(story.highestEpoch);
            after.append(List.of(lock(1000)));
            after.flush();
            after.abandon();
            DecisionStore again = open(directory, new StoreDisk(), "boot-1");
            found.put("lock 1000", lock(1000).toString());
            assertThat(digest(again)).isEqualTo(found);
            again.abandon();
        }
    }

    @ParameterizedTest
    @EnumSource
    void powerLossAtEachStepLosesNoValueAndNoEpochThatWasAnswered(Loss loss) throws IOException {
        int steps = stepsOfTheStory();

        for (int step = 1; step <= steps; step++) {
            Path directory = Files.createDirectory(root.resolve("step-" + step));
            CrashingDisk disk = new CrashingDisk(step, false);
            Story story = new Story(directory, disk, "boot-1");
            story.kill();
            disk.losePower(directory, loss);
            boolean clean = Files.exists(directory.resolve("CLEAN"));

            DecisionStore after = open(directory, new StoreDisk(), "boot-2");
            assertThat(valueVersion(after))
                    .as("power lost at step %s of %s, %s", step, steps, disk.lastStep)
                    .isBetween(story.answeredVersion, story.appendedVersion);
            assertThat(after.epoch()).isGreaterThan(story.highestEpoch);
            if (story.highestEpoch > 0 && !clean) {
                assertThat(after.recoveryTtlNanos()).isEqualTo(TTL_NANOS);
            }
            after.abandon();
        }
    }

    @Test
    void failureOfAnyStepIsFinal() throws IOException {
        int steps = stepsOfTheStory();
        int seen = 0;
        for (int step = 1; step <= steps; step++) {
            Path directory = Files.createDirectory(root.resolve("step-" + step));
            CrashingDisk disk = new CrashingDisk(step, false);
            Story story = new Story(directory, disk, "boot-1");
            DecisionStore failed = story.tell();
            if (failed == null) {
                continue; // it failed while it was opened or closed
            }
            seen++;
            disk.failing = false;

            assertThatThrownBy(() -> {
                        failed.append(List.of(lock(1000)));
                        failed.flush();
                    })
                    .as("after step %s, %s", step, disk.lastStep)
                    .isInstanceOf(StoreFailedException.class);
            assertThatThrownBy(failed::sync).isInstanceOf(StoreFailedException.class);
            failed.close();
            assertThat(directory.resolve("CLEAN")).doesNotExist();
        }
        assertThat(seen).isGreaterThan(steps / 3);
    }

    private int stepsOfTheStory() throws IOException {
        Path directory = Files.createDirectory(root.resolve("whole"));
        CrashingDisk disk = new CrashingDisk(Integer.MAX_VALUE, false);
        new Story(directory, disk, "boot-1").tell();
        assertThat(disk.lastStep).isEqualTo("story told");
        return disk.steps;
    }

    /** Decisions one by one, a kill in the middle, a clean stop at the end. */
    private static final class Story {
        private final Path directory;
        private final CrashingDisk disk;
        private final String bootId;
        private final Map<String, String> model = new TreeMap<>();
        /** After so many decisions. */
        private final List<Map<String, String>> digests = new ArrayList<>();

        private @Nullable DecisionStore store;
        private int answered;
        private int appended;
        private long answeredVersion;
        private long appendedVersion;
        private long highestEpoch;

        Story(Path directory, CrashingDisk disk, String bootId) {
            this.directory = directory;
            this.disk = disk;
            this.bootId = bootId;
            digests.add(new TreeMap<>());
        }

        /** Returns the store if it failed while it was used. */
        @Nullable
        DecisionStore tell() throws IOException {
            boolean using = false;
            try {
                start();
                using = true;
                decide(new SessionOpened("s1", "a", TTL_NANOS));
                decide(new VolumePut("vol", "uuid", 0));
                decide(new VolumePut("used-once", "uuid", 0));
                decide(new VolumeGone("used-once"));
                decide(lock(1), lock(2));
                value(1);
                for (long id = 3; id < 9; id++) {
                    decide(lock(id));
                    decide(new LockGone(id - 1), stronger(1, id));
                }
                value(2);
                using = false;
                store().abandon();
                start();
                using = true;
                decide(new SessionOpened("s2", "b", TTL_NANOS));
                decide(lock(20), lock(21), lock(22), lock(23), lock(24), lock(25), lock(26));
                decide(new LockGone(20), new LockGone(8));
                value(3);
                decide(new SessionClosed("s2"), new LockGone(1));
                decide(lock(30));
                using = false;
                store().close();
                disk.lastStep = "story told";
                return null;
            } catch (StoreFailedException | StoreRefusedException | CrashingDisk.Crash e) {
                DecisionStore failed = store;
                if (failed == null || using) {
                    return failed;
                }
                failed.abandon();
                return null;
            }
        }

        void kill() throws IOException {
            DecisionStore failed = tell();
            if (failed != null) {
                failed.abandon();
            }
        }

        private void start() throws IOException {
            store = null;
            DecisionStore opened = open(directory, disk, bootId);
            store = opened;
            highestEpoch = opened.epoch();
            assertThat(digest(opened)).isEqualTo(model);
        }

        private DecisionStore store() {
            return Objects.requireNonNull(store);
        }

        private void decide(Change... changes) {
            List<Change> decision = List.of(changes);
            decision.forEach(this::model);
            digests.add(new TreeMap<>(model));
            appended++;
            store().append(decision);
            if (DecisionStore.mustBeSynced(decision)) {
                store().sync();
            } else {
                store().flush();
            }
            answered++;
        }

        private void value(long version) {
            appendedVersion = version;
            decide(new ValuePut("vol", version, new byte[] {(byte) version}, "s1", version));
            answeredVersion = version;
        }

        private void model(Change change) {
            describe(change, model);
        }
    }

    /** Counts steps; fails the chosen one and all behind it. Knows what was synced. */
    private static final class CrashingDisk extends StoreDisk {
        private static final class Crash extends RuntimeException {
            Crash() {
                super("the disk is gone");
            }
        }

        private final int failAt;
        private final boolean halfWritten;
        private final Map<LogFile, Path> open = new HashMap<>();
        private final Map<LogFile, byte[]> synced = new HashMap<>();
        private final Map<Path, LogFile> names = new HashMap<>();
        private Map<Path, LogFile> syncedNames = new HashMap<>();
        private boolean failing = true;
        private int steps;
        private String lastStep = "";

        CrashingDisk(int failAt, boolean halfWritten) {
            this.failAt = failAt;
            this.halfWritten = halfWritten;
        }

        private void step(String what) throws IOException {
            if (failing && ++steps >= failAt) {
                if (steps == failAt) {
                    lastStep = what;
                }
                throw new IOException("no space left on device");
            }
        }

        @Override
        LogFile create(Path file) throws IOException {
            step("create " + file.getFileName());
            LogFile channel = super.create(file);
            open.put(channel, file);
            names.put(file, channel);
            return channel;
        }

        @Override
        void write(LogFile channel, ByteBuffer bytes) throws IOException {
            try {
                step("write " + bytes.remaining());
            } catch (IOException e) {
                if (halfWritten && steps == failAt) {
                    super.write(channel, bytes.slice(0, bytes.remaining() / 2));
                }
                throw e;
            }
            super.write(channel, bytes);
        }

        @Override
        void sync(LogFile channel) throws IOException {
            step("sync " + open.get(channel));
            Path file = nameOf(channel);
            if (file != null) {
                synced.put(channel, Files.readAllBytes(file));
            }
        }

        @Override
        void syncMap(Path map) throws IOException {
            step("sync " + map.getFileName());
        }

        @Override
        void rename(Path from, Path to) throws IOException {
            step("rename to " + to.getFileName());
            super.rename(from, to);
            LogFile channel = names.remove(from);
            if (channel != null) {
                names.put(to, channel);
            }
        }

        @Override
        void delete(Path file) throws IOException {
            step("delete " + file.getFileName());
            super.delete(file);
            names.remove(file);
        }

        @Override
        void syncDirectory(Path directory) throws IOException {
            step("sync directory");
            syncedNames = new HashMap<>(names);
        }

        @Override
        void changingMap() {
            if (failing && ++steps >= failAt) {
                if (steps == failAt) {
                    lastStep = "map";
                }
                throw new Crash();
            }
        }

        private @Nullable Path nameOf(LogFile channel) {
            return names.entrySet().stream()
                    .filter(e -> e.getValue().equals(channel))
                    .map(Map.Entry::getKey)
                    .findFirst()
                    .orElse(null);
        }

        /** The mark of a clean stop is not tracked: it is written with a sync of its own. The map is beyond belief. */
        void losePower(Path directory, Loss loss) throws IOException {
            Map<Path, LogFile> left = loss == Loss.EVERYTHING ? syncedNames : names;
            Map<Path, byte[]> files = new HashMap<>();
            for (Map.Entry<Path, LogFile> name : left.entrySet()) {
                byte[] kept = synced.getOrDefault(name.getValue(), new byte[0]);
                Path now = nameOf(name.getValue());
                if (loss == Loss.HALF_THE_BYTES && now != null) {
                    byte[] whole = Files.readAllBytes(now);
                    kept = Arrays.copyOf(whole, kept.length + (whole.length - kept.length) / 2);
                }
                files.put(name.getKey(), kept);
            }
            for (Path log : LogChain.generations(directory)) {
                Files.delete(log);
            }
            Files.deleteIfExists(directory.resolve(Snapshot.FILE));
            for (Map.Entry<Path, byte[]> file : files.entrySet()) {
                Files.write(file.getKey(), file.getValue());
            }
        }
    }

    private static DecisionStore open(Path directory, StoreDisk disk, String bootId) {
        return DecisionStore.open(
                new StoreSettings(directory, bootId, COMPACT_AFTER_BYTES, 100, TTL_NANOS, 0), disk, Runnable::run);
    }

    private static Map<String, String> digest(DecisionStore store) {
        Map<String, String> digest = new TreeMap<>();
        store.restored().forEach(change -> describe(change, digest));
        return digest;
    }

    private static void describe(Change change, Map<String, String> into) {
        switch (change) {
            case SessionOpened s -> into.put("session " + s.sessionId(), s.toString());
            case SessionClosed s -> into.remove("session " + s.sessionId());
            case VolumePut v -> into.put("volume " + v.volume(), v.toString());
            case VolumeGone v -> into.remove("volume " + v.volume());
            case LockPut l -> into.put("lock " + l.lockId(), l.toString());
            case LockGone l -> into.remove("lock " + l.lockId());
            case ValuePut v -> into.put("value " + v.volume(), v.version() + " " + Arrays.toString(v.value()));
        }
    }

    private static long valueVersion(DecisionStore store) {
        long version = 0;
        for (Change change : store.restored()) {
            if (change instanceof ValuePut v) {
                version = v.version();
            }
        }
        return version;
    }

    private static LockPut lock(long id) {
        return new LockPut(id, "s1", id, id, "vol", id, id + 1, id, id + 1, Mode.PR, id, false);
    }

    private static LockPut stronger(long id, long requestId) {
        return new LockPut(id, "s1", id, requestId, "vol", id, id + 1, id, id + 1, Mode.EX, requestId, false);
    }
}
