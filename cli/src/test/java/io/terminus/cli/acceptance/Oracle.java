package io.terminus.cli.acceptance;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * What a read of a volume may return, given what its clients wrote, what they were answered, and what has crashed since. Per
 * sector, because nobody promises that a write of several is seen as one.
 *
 * <p>Every write takes effect at most once, in one moment: not before it was issued, and not after it was acknowledged or
 * first read. A write whose outcome is unknown may take effect at any later time, or never, until {@link #audit} has seen
 * what is there while nothing was under way. From this follows what is refused:
 *
 * <ul>
 *   <li>a value that nobody has written there, or that nobody had written yet
 *   <li>a value that another replaced: one that was issued after it had taken effect, and has taken effect before the read
 *   <li>a value that an earlier read no longer found
 *   <li>a value that an audit did not find
 * </ul>
 *
 * <p>A loss of memory at all copies ({@link #powerLoss}) takes back what was neither flushed nor written through; a crash of
 * processes takes back nothing.
 *
 * <p>Times are a count of the events themselves: an event is counted by its caller after it has happened if it is an answer,
 * and before it happens if it is a request. For many threads.
 */
final class Oracle {

    static final int SECTOR_BYTES = Stamp.SECTOR_BYTES;
    private static final int REMEMBERED = 16;
    private static final long NEVER = Long.MAX_VALUE;

    enum Kind {
        DATA,
        ZEROS
    }

    private enum Outcome {
        PENDING,
        ACKNOWLEDGED,
        UNKNOWN
    }

    /** One write of a client. Its fields are the oracle's. */
    static final class Write {

        final long id;
        final Kind kind;
        final int first;
        final int sectors;
        private final int client;
        private final boolean through;
        private final long issued;
        private Outcome outcome = Outcome.PENDING;
        private long ended = NEVER;
        private String why = "";

        private Write(long id, int client, Kind kind, boolean through, int first, int sectors, long issued) {
            this.id = id;
            this.client = client;
            this.kind = kind;
            this.through = through;
            this.first = first;
            this.sectors = sectors;
            this.issued = issued;
        }

        @Override
        public String toString() {
            if (id == 0) {
                return "the zeros of the beginning";
            }
            String end = switch (outcome) {
                case PENDING -> "not answered yet";
                case ACKNOWLEDGED -> "acknowledged at " + ended;
                case UNKNOWN -> "unknown since " + ended + why;
            };
            return String.format(
                    Locale.ROOT,
                    "#%d client %d %s%s [%d, %d) issued at %d, %s",
                    id,
                    client,
                    kind == Kind.DATA ? "writes" : "zeroes",
                    through ? " through" : "",
                    (long) first * SECTOR_BYTES,
                    (long) (first + sectors) * SECTOR_BYTES,
                    issued,
                    end);
        }
    }

    /** A flush under way. */
    static final class Flush {

        private final long issued;

        private Flush(long issued) {
            this.issued = issued;
        }
    }

    /** A read under way. */
    static final class Read {

        final int first;
        final int sectors;
        private final long began;

        private Read(int first, int sectors, long began) {
            this.first = first;
            this.sectors = sectors;
            this.began = began;
        }
    }

    /** A read that cannot be, with all that is known of the sector. */
    record Violation(long sector, String what, List<String> history) {

        @Override
        public String toString() {
            return "sector " + sector + " (offset " + sector * SECTOR_BYTES + "): " + what + "\n    "
                    + String.join("\n    ", history);
        }
    }

    /** A write and one of its sectors. */
    private static final class Value {

        final Write write;
        /** It has taken effect by then. */
        long doneBy = NEVER;
        /** It has been replaced by then. */
        long goneBy = NEVER;
        /** What replaced it survives a loss of memory. */
        boolean goneForGood;

        Value(Write write) {
            this.write = write;
        }

        @Override
        public String toString() {
            return write
                    + (doneBy == NEVER ? "" : ", in effect by " + doneBy)
                    + (goneBy == NEVER ? "" : ", replaced by " + goneBy);
        }
    }

    private static final class Sector {

        /** What reads may still return. */
        final List<Value> live = new ArrayList<>(2);
        /** What was replaced by nothing that survives a loss of memory. */
        final List<Value> fallback = new ArrayList<>(0);
        /** For people. */
        final Deque<Value> recent = new ArrayDeque<>(2);

        void remember(Value value) {
            if (recent.size() == REMEMBERED) {
                recent.removeFirst();
            }
            recent.addLast(value);
        }
    }

    private final Sector[] sectors;
    private final Set<Write> pending = new HashSet<>();
    private final List<Write> unflushed = new ArrayList<>();
    /** When the reads that are under way began. */
    private final TreeSet<Long> reading = new TreeSet<>();

    private long now;
    private long lastId;
    private long acknowledged;
    private long unknown;
    private long flushes;
    private long sectorsRead;

    /** Of a volume that holds zeros. */
    Oracle(int sectors) {
        this.sectors = new Sector[sectors];
        Write origin = new Write(0, 0, Kind.ZEROS, true, 0, sectors, 0);
        origin.outcome = Outcome.ACKNOWLEDGED;
        origin.ended = 0;
        for (int i = 0; i < sectors; i++) {
            Sector sector = new Sector();
            Value zeros = new Value(origin);
            zeros.doneBy = 0;
            sector.live.add(zeros);
            this.sectors[i] = sector;
        }
    }

    int size() {
        return sectors.length;
    }

    synchronized long acknowledged() {
        return acknowledged;
    }

    synchronized long unknown() {
        return unknown;
    }

    /** That were answered. */
    synchronized long flushes() {
        return flushes;
    }

    /** And judged. */
    synchronized long sectorsRead() {
        return sectorsRead;
    }

    /** Before the request is sent. */
    synchronized Write issue(int client, Kind kind, boolean through, int first, int count) {
        Write write = new Write(++lastId, client, kind, through, first, count, ++now);
        pending.add(write);
        for (int i = first; i < first + count; i++) {
            Value value = new Value(write);
            sectors[i].live.add(value);
            sectors[i].remember(value);
        }
        return write;
    }

    /** After the answer came. */
    synchronized void acknowledged(Write write) {
        end(write, Outcome.ACKNOWLEDGED);
        acknowledged++;
        for (int i = write.first; i < write.first + write.sectors; i++) {
            Value value = find(sectors[i], write.id);
            if (value != null) {
                value.doneBy = Math.min(value.doneBy, now);
                replaceOlder(sectors[i], value);
            }
        }
        if (write.through) {
            survives(write);
        } else {
            unflushed.add(write);
        }
    }

    /** There will be no answer, or it was one that says nothing of what is there now. */
    synchronized void unknown(Write write, String why) {
        end(write, Outcome.UNKNOWN);
        write.why = " (" + why + ")";
        unknown++;
    }

    /** Before the request is sent. */
    synchronized Flush issueFlush() {
        return new Flush(++now);
    }

    /** After the answer came: what had been acknowledged when the flush was issued survives a loss of memory. */
    synchronized void flushed(Flush flush) {
        now++;
        flushes++;
        unflushed.removeIf(write -> {
            boolean covered = write.ended < flush.issued;
            if (covered) {
                survives(write);
            }
            return covered;
        });
    }

    /** Before the request is sent. */
    synchronized Read beginRead(int first, int count) {
        Read read = new Read(first, count, ++now);
        reading.add(read.began);
        return read;
    }

    /** There was no answer. */
    synchronized void giveUp(Read read) {
        reading.remove(read.began);
    }

    /**
     * After the answer came.
     *
     * @param writes what each sector was from
     */
    synchronized List<Violation> ended(Read read, long[] writes) {
        List<Violation> violations = new ArrayList<>();
        long ended = ++now;
        sectorsRead += writes.length;
        for (int i = 0; i < writes.length; i++) {
            String wrong = judge(sectors[read.first + i], writes[i], read.began, ended);
            if (wrong != null) {
                violations.add(violation(read.first + i, "a read from " + read.began + " to " + ended + " " + wrong));
            }
        }
        reading.remove(read.began);
        return violations;
    }

    /**
     * A read while nothing else was under way, not even a request that a client gave up and the volume may still be at, and
     * after a flush: what it did not find will not come any more, and what it found will not be lost.
     */
    synchronized List<Violation> audit(Read read, long[] writes) {
        if (!pending.isEmpty()) {
            throw new IllegalStateException(
                    "an audit while " + pending.iterator().next());
        }
        List<Violation> violations = ended(read, writes);
        for (int i = 0; i < writes.length; i++) {
            Sector sector = sectors[read.first + i];
            Value found = null;
            for (Value value : sector.live) {
                if (writes[i] == value.write.id
                        || writes[i] == Stamp.ZEROS && value.write.kind == Kind.ZEROS && value.goneBy >= read.began) {
                    found = value;
                }
            }
            if (found != null) {
                found.doneBy = Math.min(found.doneBy, now);
                found.goneBy = NEVER;
                found.goneForGood = false;
                sector.live.clear();
                sector.live.add(found);
                sector.fallback.clear();
            }
        }
        return violations;
    }

    /** All copies have lost what was not on a disk. Nothing is under way. */
    synchronized void powerLoss() {
        if (!pending.isEmpty()) {
            throw new IllegalStateException(
                    "a loss of memory while " + pending.iterator().next());
        }
        now++;
        unflushed.clear();
        for (Sector sector : sectors) {
            sector.live.removeIf(value -> value.goneForGood);
            sector.live.addAll(sector.fallback);
            sector.fallback.clear();
            for (Value value : sector.live) {
                value.doneBy = now;
                value.goneBy = NEVER;
            }
        }
    }

    private void end(Write write, Outcome outcome) {
        if (!pending.remove(write)) {
            throw new IllegalStateException("it has ended before: " + write);
        }
        write.outcome = outcome;
        write.ended = ++now;
    }

    /** @return what is wrong with this value, if anything is */
    private @Nullable String judge(Sector sector, long id, long began, long ended) {
        if (id == Stamp.FOREIGN) {
            return "returned bytes that nobody has ever written there";
        }
        Value found = null;
        int candidates = 0;
        for (Value value : sector.live) {
            boolean same = id == Stamp.ZEROS ? value.write.kind == Kind.ZEROS : value.write.id == id;
            if (same && (value.goneBy >= began || found == null)) {
                found = value;
                candidates += value.goneBy >= began ? 1 : 0;
            }
        }
        if (found == null) {
            return "returned " + (id == Stamp.ZEROS ? "zeros" : "#" + id)
                    + ", which is not, not yet, or no longer what may be there";
        }
        if (candidates == 0) {
            return "returned what was gone by " + found.goneBy + ": " + found;
        }
        for (Value other : sector.live) {
            boolean mayBeIt = id == Stamp.ZEROS ? other.write.kind == Kind.ZEROS : other == found;
            if (!mayBeIt && other.doneBy < began) {
                other.goneBy = Math.min(other.goneBy, ended);
            }
        }
        if (candidates == 1 && found.doneBy > ended) {
            found.doneBy = ended;
            replaceOlder(sector, found);
        }
        return null;
    }

    /** What had taken effect before this one was issued is gone now that this one has. */
    private void replaceOlder(Sector sector, Value newer) {
        long oldestRead = reading.isEmpty() ? now : reading.first();
        for (int i = sector.live.size() - 1; i >= 0; i--) {
            Value value = sector.live.get(i);
            if (value.doneBy < newer.write.issued) {
                value.goneBy = Math.min(value.goneBy, newer.doneBy);
            }
            if (value.goneBy < oldestRead) {
                sector.live.remove(i);
                if (!value.goneForGood) {
                    sector.fallback.add(value);
                }
            }
        }
    }

    private void survives(Write write) {
        for (int i = write.first; i < write.first + write.sectors; i++) {
            Sector sector = sectors[i];
            sector.fallback.removeIf(value -> value.doneBy < write.issued);
            for (Value value : sector.live) {
                value.goneForGood |= value.doneBy < write.issued;
            }
        }
    }

    private static @Nullable Value find(Sector sector, long id) {
        for (Value value : sector.live) {
            if (value.write.id == id) {
                return value;
            }
        }
        return null;
    }

    private Violation violation(int at, String what) {
        Sector sector = sectors[at];
        List<String> history = new ArrayList<>();
        for (Value value : sector.live) {
            history.add((value.goneBy == NEVER ? "may be there: " : "being replaced: ") + value);
        }
        for (Value value : sector.recent) {
            if (!sector.live.contains(value)) {
                history.add("no longer: " + value);
            }
        }
        return new Violation(at, what, history);
    }
}
