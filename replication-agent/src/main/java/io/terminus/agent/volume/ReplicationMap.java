package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.RecordKind;
import java.util.Map;
import java.util.TreeMap;

/**
 * Who has the newest write of each extent. What is known about replicas are positions: everything before them is there. So
 * every extent that no record behind a position touches is there, and the others are found by walking the journal from the
 * lowest position to its end. A position further back than {@link #WALK_BYTES}, or than the journal reaches, is not looked
 * at: its flag is then set nowhere.
 */
final class ReplicationMap {

    /** Journal bytes one question walks through, at most: 16,000 records of 4 KiB. */
    static final long WALK_BYTES = 64L << 20;

    /** Positions before which everything is: received, durable and applied at every member; received at every replica. */
    record Levels(long received, long durable, long applied, long everywhere) {}

    private record Extent(long end, int flags) {}

    private final Journal journal;
    private final Levels levels;
    private final long end;
    private final TreeMap<Long, Extent> touched = new TreeMap<>();

    /** @param levels asked for before anything else: they only grow, so what is concluded holds */
    ReplicationMap(Journal journal, Levels levels) {
        this.journal = journal;
        this.levels = levels;
        this.end = journal.end();
    }

    void show(long offset, long length, ReplicationVisitor visitor) throws JournalException {
        int known = walk(offset, offset + length);
        long at = offset;
        for (Map.Entry<Long, Extent> e : touched.entrySet()) {
            if (at < e.getKey() && !visitor.extent(e.getKey() - at, known)) {
                return;
            }
            at = e.getValue().end();
            if (!visitor.extent(at - e.getKey(), e.getValue().flags() & known)) {
                return;
            }
        }
        if (at < offset + length) {
            visitor.extent(offset + length - at, known);
        }
    }

    /** Returns the flags that can be decided, which are those of whatever was not touched. */
    private int walk(long start, long stop) throws JournalException {
        long oldest = journal.oldest();
        long from = end;
        int known = 0;
        for (int flag : new int[] {
            ReplicationVisitor.RECEIVED,
            ReplicationVisitor.DURABLE,
            ReplicationVisitor.APPLIED,
            ReplicationVisitor.EVERYWHERE
        }) {
            long position = position(flag);
            if (position >= oldest && end - position <= WALK_BYTES) {
                known |= flag;
                from = Math.min(from, position);
            }
        }
        try {
            journal.forEach(from, end, r -> {
                if (r.kind() == RecordKind.WRITE || r.kind() == RecordKind.WRITE_ZEROES) {
                    long first = Math.max(start, r.offset());
                    long last = Math.min(stop, r.offset() + r.length());
                    if (first < last) {
                        touch(first, last, reached(r.endPosition()));
                    }
                }
                return true;
            });
        } catch (JournalException | IllegalArgumentException e) {
            if (journal.oldest() > from) {
                touched.clear(); // released while it was read: then nobody knows
                return 0;
            }
            throw e;
        }
        if (journal.oldest() > from) {
            touched.clear();
            return 0;
        }
        return known;
    }

    private int reached(long position) {
        int flags = 0;
        for (int flag = ReplicationVisitor.RECEIVED; flag <= ReplicationVisitor.EVERYWHERE; flag <<= 1) {
            flags |= position(flag) >= position ? flag : 0;
        }
        return flags;
    }

    private long position(int flag) {
        long position = switch (flag) {
            case ReplicationVisitor.RECEIVED -> levels.received();
            case ReplicationVisitor.DURABLE -> levels.durable();
            case ReplicationVisitor.APPLIED -> levels.applied();
            // A number, of which there are four.
            default -> levels.everywhere();
        };
        return Math.min(position, end);
    }

    /** The newer record takes the place of older ones where they overlap. */
    private void touch(long start, long stop, int flags) {
        Map.Entry<Long, Extent> before = touched.lowerEntry(start);
        if (before != null && before.getValue().end() > start) {
            Extent cut = before.getValue();
            touched.put(before.getKey(), new Extent(start, cut.flags()));
            if (cut.end() > stop) {
                touched.put(stop, cut);
            }
        }
        Map.Entry<Long, Extent> last = touched.lowerEntry(stop);
        if (last != null && last.getKey() >= start && last.getValue().end() > stop) {
            touched.put(stop, last.getValue());
        }
        touched.subMap(start, stop).clear();
        touched.put(start, new Extent(stop, flags));
    }
}
