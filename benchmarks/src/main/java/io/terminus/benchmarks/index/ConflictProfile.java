package io.terminus.benchmarks.index;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Settings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordedFrame;
import jdk.jfr.consumer.RecordedMethod;
import jdk.jfr.consumer.RecordingFile;

/**
 * The profile of a replication product of 2010, replayed: lock a block, write it, release it, while ten thousand other ranges
 * are held. There a linear search for overlaps took most of the time that was not copying. Here once with such a search, and
 * once with the lock table as it is. The share of the write is the time that the loop saves without it, because the profiler
 * has no samples of copies and checksums, which are no Java code; the rest is shared out by the profiler's samples.
 *
 * <p>A conflict check is whatever is done only because another range might be in the way: every question to an index, the
 * way down to the leaf included, and within an insert the comparing of ranges. The rest of an insert or a removal is upkeep:
 * what it would cost to find the place of an entry in an index that checks nothing. What neither is, the lock rules, sessions
 * and notices, is other lock work. Checks and upkeep are given side by side, so that nothing hides in the line between them.
 */
final class ConflictProfile {

    private static final int HELD = 10_000;
    private static final int BLOCK_BYTES = 4096;
    private static final long SECOND = 1_000_000_000L;
    private static final String VOLUME = "volume-1";
    private static final String UUID = "0b5e1f2c-7a34-4d57-9a0e-2f6d1c3b4a59";

    /** The verbs of the indexes that change something. */
    private static final Set<String> CHANGES = Set.of("insert", "insertIfFree", "remove", "resize");

    /** What looks in a leaf whether a range overlaps. */
    private static final Set<String> COMPARISONS = Set.of("overlapsAny", "overlapping");

    private final int seconds;

    ConflictProfile(int seconds) {
        this.seconds = seconds;
    }

    /** What a loop does with the lock of a block. */
    private interface Locks {
        void acquire(long start);

        void release();
    }

    private record Profile(Map<String, Double> shares, double nanosPerLoop, int samples) {
        double share(String part) {
            return shares.getOrDefault(part, 0.0);
        }
    }

    void measure(Report report) throws IOException {
        report.progress("the old profile, %d s each", seconds);
        Profile linear = profile(new LinearLocks());
        Profile indexed = profile(new TableLocks());
        report.figure("index.profile.linear.conflict-checks", 100 * linear.share("conflict checks"), "%");
        report.figure("index.profile.linear.loop", linear.nanosPerLoop() / 1000, "us");
        report.figure(
                "index.profile.table.conflict-checks", 100 * indexed.share("conflict checks"), "%", Goal.atMost(2));
        report.figure("index.profile.table.index-upkeep", 100 * indexed.share("index upkeep"), "%");
        report.figure("index.profile.table.loop", indexed.nanosPerLoop() / 1000, "us");
        List<String> lines = new ArrayList<>();
        for (String part : List.of("conflict checks", "index upkeep", "other lock work", "write")) {
            lines.add(String.format(
                    Locale.ROOT, "%-16s %6.1f %% %6.1f %%", part, 100 * linear.share(part), 100 * indexed.share(part)));
        }
        lines.add(String.format(Locale.ROOT, "%-16s %8d %8d", "samples", linear.samples(), indexed.samples()));
        report.listing("Lock, write 4 KiB, release, with 10,000 ranges held: linear search, and the lock table", lines);
    }

    private Profile profile(Locks locks) throws IOException {
        Writer writer = new Writer(locks);
        Duration warmUp = Duration.ofSeconds(Math.max(1, seconds / 5));
        writer.runFor(warmUp);
        writer.runFor(warmUp);
        writer.writes = false;
        double nanosWithoutWrites = writer.runFor(warmUp);
        writer.writes = true;
        Path file = Files.createTempFile("terminus-profile", ".jfr");
        double nanosPerLoop;
        try (Recording recording = new Recording()) {
            recording.enable("jdk.ExecutionSample").withPeriod(Duration.ofMillis(1));
            recording.start();
            nanosPerLoop = writer.runFor(Duration.ofSeconds(seconds));
            recording.stop();
            recording.dump(file);
            return read(file, nanosPerLoop, Math.max(0, 1 - nanosWithoutWrites / nanosPerLoop));
        } finally {
            Files.deleteIfExists(file);
        }
    }

    private static Profile read(Path file, double nanosPerLoop, double writeShare) throws IOException {
        Map<String, Double> counts = new LinkedHashMap<>();
        int samples = 0;
        for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
            if (event.getStackTrace() == null) {
                continue;
            }
            List<RecordedFrame> frames = event.getStackTrace().getFrames();
            if (any(frames, method -> in(method, Writer.class.getName(), "runFor"))
                    && !any(frames, method -> in(method, Writer.class.getName(), "write"))) {
                counts.merge(part(frames), 1.0, Double::sum);
                samples++;
            }
        }
        int all = samples;
        counts.replaceAll((part, count) -> (1 - writeShare) * count / all);
        counts.put("write", writeShare);
        return new Profile(counts, nanosPerLoop, samples);
    }

    private static String part(List<RecordedFrame> frames) {
        if (any(frames, method -> in(method, LinearLocks.class.getName(), "check"))) {
            return "conflict checks";
        }
        // Innermost frame first: the last one is the verb that the lock table called.
        List<String> ofIndex = frames.stream()
                .map(RecordedFrame::getMethod)
                .filter(method -> method.getType().getName().startsWith("io.terminus.ranges."))
                .map(RecordedMethod::getName)
                .toList();
        if (!ofIndex.isEmpty()) {
            return !CHANGES.contains(ofIndex.getLast()) || ofIndex.stream().anyMatch(COMPARISONS::contains)
                    ? "conflict checks"
                    : "index upkeep";
        }
        return "other lock work";
    }

    private static boolean any(List<RecordedFrame> frames, Predicate<RecordedMethod> predicate) {
        return frames.stream().anyMatch(frame -> predicate.test(frame.getMethod()));
    }

    private static boolean in(RecordedMethod method, String type, String name) {
        return method.getType().getName().equals(type) && method.getName().equals(name);
    }

    /** The loop. A write is a copy of the block and its checksum, as a journal does it. */
    private static final class Writer {
        private final Locks locks;
        private final SplittableRandom random = new SplittableRandom(7);
        private final byte[] block = new byte[BLOCK_BYTES];
        private final byte[] journal = new byte[1 << 24];
        private int journalAt;
        boolean writes = true;
        private long checksums;

        Writer(Locks locks) {
            this.locks = locks;
        }

        /** Returns nanoseconds for each turn. */
        double runFor(Duration time) {
            long before = System.nanoTime();
            long turns = 0;
            long nanos;
            do {
                for (int i = 0; i < 100; i++) {
                    // The odd blocks are held, the even ones free.
                    locks.acquire(2L * random.nextInt(HELD) * BLOCK_BYTES);
                    if (writes) {
                        write();
                    }
                    locks.release();
                    turns++;
                }
                nanos = System.nanoTime() - before;
            } while (nanos < time.toNanos());
            if (checksums == 42) {
                throw new IllegalStateException("never, but the compiler cannot know");
            }
            return (double) nanos / turns;
        }

        private void write() {
            System.arraycopy(block, 0, journal, journalAt, BLOCK_BYTES);
            CRC32C checksum = new CRC32C();
            checksum.update(journal, journalAt, BLOCK_BYTES);
            checksums += checksum.getValue();
            block[(int) (checksums & BLOCK_BYTES - 1)]++;
            journalAt = journalAt + BLOCK_BYTES & journal.length - 1;
        }
    }

    /** A list of what is held, looked through from the front for every lock. */
    private static final class LinearLocks implements Locks {

        private static final class Range {
            long start;
            long end;

            boolean overlaps(long otherStart, long otherEnd) {
                return start < otherEnd && otherStart < end;
            }
        }

        private final List<Range> held = new ArrayList<>();

        LinearLocks() {
            for (int i = 0; i < HELD; i++) {
                held.add(range((2L * i + 1) * BLOCK_BYTES));
            }
        }

        @Override
        public void acquire(long start) {
            Range range = range(start);
            check(range);
            held.add(range);
        }

        @Override
        public void release() {
            held.removeLast();
        }

        private void check(Range wanted) {
            for (Range range : held) {
                if (range.overlaps(wanted.start, wanted.end)) {
                    throw ExclusivePairs.wrong(wanted.start);
                }
            }
        }

        private static Range range(long start) {
            Range range = new Range();
            range.start = start;
            range.end = start + BLOCK_BYTES;
            return range;
        }
    }

    private static final class TableLocks implements Locks {
        private final LockTable table = new LockTable(Settings.defaults(), 1, 0);
        private long requests;
        private long lockId;

        TableLocks() {
            table.apply(new Command.OpenSession("holder", "bench", 60 * SECOND), 0);
            for (int i = 0; i < HELD; i++) {
                acquire((2L * i + 1) * BLOCK_BYTES);
            }
        }

        @Override
        public void acquire(long start) {
            Decision decision = table.apply(
                    new Command.Acquire(
                            "holder",
                            ++requests,
                            VOLUME,
                            UUID,
                            start,
                            start + BLOCK_BYTES,
                            Mode.EX,
                            3600 * SECOND,
                            false),
                    0);
            if (!(decision.notices().getFirst() instanceof Notice.Granted granted)) {
                throw ExclusivePairs.wrong(decision);
            }
            lockId = granted.lockId();
        }

        @Override
        public void release() {
            table.apply(new Command.Release("holder", ++requests, lockId), 0);
        }
    }
}
