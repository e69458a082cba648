package io.terminus.agent.volume;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * The committed records that are not in the image yet, by volume offset: what a read has to see besides the image. Newer
 * records replace older ones where they overlap, so the fragments here never overlap each other.
 *
 * <p>Filled by whoever reads, up to what is committed when it begins: where nobody reads, writes cost nothing here. What
 * the image has goes, a step of apply at a time. A reader takes the fragments first and the image afterwards: a record
 * leaves this map only once the image has it, so nothing committed before the read began can be missed in between.
 *
 * <p>Bounded by the writer, which holds back admission while too much is not applied.
 */
final class Overlay {

    /** The journal. Positions that were not {@link #applied} can be asked for. */
    interface Records {

        /** {@link #add}s the records in [from, to). */
        void show(long from, long to) throws IOException;

        ByteBuffer payload(long position) throws IOException;
    }

    /** What the image has to fill. */
    interface Below {
        void read(long offset, ByteBuffer into) throws IOException;
    }

    /** Bytes [start, end) of the volume are those of the record at {@code position}, which begins at {@code recordOffset}. */
    private record Fragment(long start, long end, long position, long recordOffset, boolean zeroes) {
        Fragment cut(long from, long to) {
            return new Fragment(from, to, position, recordOffset, zeroes);
        }
    }

    private record Gap(long start, long end) {}

    private static final ByteBuffer ZEROS = ByteBuffer.allocateDirect(64 << 10).asReadOnlyBuffer();

    private final Records records;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final TreeMap<Long, Fragment> fragments = new TreeMap<>();
    private volatile boolean empty = true;

    /** Records before it are here, or in the image. Written under the lock. */
    private volatile long shownTo = Long.MAX_VALUE;

    /** How often it was begun to read; under the lock. */
    private long begun;

    Overlay(Records records) {
        this.records = records;
    }

    /** From now on it is read from; the image has everything before {@code position}. Returns what {@link #end} is told. */
    long begin(long position) {
        lock.writeLock().lock();
        try {
            forget();
            shownTo = position;
            return ++begun;
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** It is not read from any more, by whoever began then; if others have begun since, they go on. */
    void end(long begunThen) {
        lock.writeLock().lock();
        try {
            if (begunThen == begun) {
                forget();
                shownTo = Long.MAX_VALUE;
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    private void forget() {
        fragments.clear();
        empty = true;
    }

    /** Everything before {@code committed} is shown from now on, where it is not in the image. */
    void showTo(long committed) throws IOException {
        if (shownTo >= committed) {
            return;
        }
        lock.writeLock().lock(); // and apply, which needs it, gives no journal away meanwhile
        try {
            if (shownTo < committed) {
                records.show(shownTo, committed);
                shownTo = committed;
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** A record that is committed. With the lock, from {@link Records#show}. */
    void add(long offset, long length, long position, boolean zeroes) {
        long end = offset + length;
        carve(offset, end);
        fragments.put(offset, new Fragment(offset, end, position, offset, zeroes));
        empty = false;
    }

    /** The image has all records before {@code position}. */
    void applied(long position) {
        if (shownTo >= position && empty) { // in this order: what is added from now on lies behind it
            return;
        }
        lock.writeLock().lock();
        try {
            fragments.values().removeIf(f -> f.position() < position);
            empty = fragments.isEmpty();
            shownTo = Math.max(shownTo, position);
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Fills {@code into} with the committed state from {@code offset} on. */
    void read(long offset, ByteBuffer into, Below image) throws IOException {
        List<Gap> gaps = empty ? null : take(offset, into);
        if (gaps == null) {
            image.read(offset, into);
            return;
        }
        int at = into.position();
        for (Gap g : gaps) {
            image.read(g.start(), into.slice(at + (int) (g.start() - offset), (int) (g.end() - g.start())));
        }
        into.position(into.limit());
    }

    /**
     * The same while nothing is applied: all of it is of one position, which is returned.
     *
     * @param applied the image has exactly the records before it
     */
    long readAtOnce(long offset, ByteBuffer into, Below image, long applied) throws IOException {
        lock.readLock().lock(); // nothing is shown meanwhile that was committed later
        try {
            read(offset, into, image);
            return shownTo == Long.MAX_VALUE ? applied : shownTo;
        } finally {
            lock.readLock().unlock();
        }
    }

    /** A part of the volume whose newest committed record is not in the image yet. */
    record Shown(long start, long end, boolean zeroes) {}

    /** What is here of [start, end), in order, at most so many. */
    List<Shown> shown(long start, long end, int most) {
        if (empty) {
            return List.of();
        }
        lock.readLock().lock();
        try {
            List<Shown> shown = new ArrayList<>();
            Map.Entry<Long, Fragment> e = fragments.floorEntry(start);
            if (e == null || e.getValue().end() <= start) {
                e = fragments.higherEntry(start);
            }
            for (; e != null && e.getKey() < end && shown.size() < most; e = fragments.higherEntry(e.getKey())) {
                Fragment f = e.getValue();
                shown.add(new Shown(Math.max(f.start(), start), Math.min(f.end(), end), f.zeroes()));
            }
            return shown;
        } finally {
            lock.readLock().unlock();
        }
    }

    /** Copies what is here; returns what is not, or null if nothing is here. */
    private @Nullable List<Gap> take(long offset, ByteBuffer into) throws IOException {
        lock.readLock().lock();
        try {
            long end = offset + into.remaining();
            long at = offset;
            List<Gap> gaps = null;
            Map.Entry<Long, Fragment> e = fragments.floorEntry(offset);
            if (e == null || e.getValue().end() <= offset) {
                e = fragments.higherEntry(offset);
            }
            for (; e != null && e.getKey() < end; e = fragments.higherEntry(e.getKey())) {
                Fragment f = e.getValue();
                if (gaps == null) {
                    gaps = new ArrayList<>();
                }
                long from = Math.max(f.start(), offset);
                long to = Math.min(f.end(), end);
                if (at < from) {
                    gaps.add(new Gap(at, from));
                }
                ByteBuffer target = into.slice(into.position() + (int) (from - offset), (int) (to - from));
                if (f.zeroes()) {
                    while (target.hasRemaining()) {
                        target.put(ZEROS.slice(0, Math.min(target.remaining(), ZEROS.capacity())));
                    }
                } else {
                    target.put(records.payload(f.position()).slice((int) (from - f.recordOffset()), (int) (to - from)));
                }
                at = to;
            }
            if (gaps != null && at < end) {
                gaps.add(new Gap(at, end));
            }
            return gaps;
        } finally {
            lock.readLock().unlock();
        }
    }

    /** Makes room: nothing shown in [start, end) any more, what sticks out on either side stays. */
    private void carve(long start, long end) {
        Map.Entry<Long, Fragment> before = fragments.lowerEntry(start);
        if (before != null && before.getValue().end() > start) {
            Fragment f = before.getValue();
            fragments.put(f.start(), f.cut(f.start(), start));
            if (f.end() > end) {
                fragments.put(end, f.cut(end, f.end()));
            }
        }
        Map.Entry<Long, Fragment> last = fragments.lowerEntry(end);
        if (last != null && last.getKey() >= start && last.getValue().end() > end) {
            fragments.put(end, last.getValue().cut(end, last.getValue().end()));
        }
        fragments.subMap(start, end).clear();
    }
}
