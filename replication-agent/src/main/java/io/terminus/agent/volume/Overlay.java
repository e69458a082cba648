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
 * <p>Any thread may read; the thread that commits adds, the thread that applies removes. A reader takes the fragments
 * first and the image afterwards: a record leaves this map only once the image has it, so nothing committed before the
 * read began can be missed in between.
 *
 * <p>Bounded by the writer, which holds back admission while too much is not applied.
 */
final class Overlay {

    /** Where the payload of the record at a journal position is. */
    interface Payloads {
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

    private final Payloads payloads;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final TreeMap<Long, Fragment> fragments = new TreeMap<>();
    private volatile boolean empty = true;

    Overlay(Payloads payloads) {
        this.payloads = payloads;
    }

    void add(long offset, long length, long position, boolean zeroes) {
        lock.writeLock().lock();
        try {
            long end = offset + length;
            carve(offset, end);
            fragments.put(offset, new Fragment(offset, end, position, offset, zeroes));
            empty = false;
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** The image has the record at {@code position}: what is still shown of it goes. */
    void applied(long offset, long length, long position) {
        lock.writeLock().lock();
        try {
            fragments.subMap(offset, offset + length).values().removeIf(f -> f.position() == position);
            empty = fragments.isEmpty();
        } finally {
            lock.writeLock().unlock();
        }
    }

    void clear() {
        lock.writeLock().lock();
        try {
            fragments.clear();
            empty = true;
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
                    target.put(
                            payloads.payload(f.position()).slice((int) (from - f.recordOffset()), (int) (to - from)));
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
