package io.terminus.simulation.world;

import io.terminus.simulation.kernel.World;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * What a volume may hold. Every write stamps its blocks with a number of its own; of each block this keeps, in the order in
 * which they were issued, the writes of which one is in the volume now.
 *
 * <p>An acknowledgement rules out what was issued before. A read of term T rules out what was issued before that which it
 * shows, and what was issued in earlier terms behind it: whoever is not in the state that T began with never will be. A flush
 * makes what was acknowledged before it the oldest state to which any loss of memory may lead back; without a loss of memory,
 * or at the level that syncs before it acknowledges, nothing leads back at all. And where something does, it leads back to what
 * was there at one moment: who sees a write after a loss sees what was acknowledged before that was issued.
 */
final class Oracle {

    /** @param stamp what is in the block then: its number, or 0 for zeros */
    private record Write(long id, long stamp, long term) {}

    private static final Write NEVER = new Write(0, 0, 0);

    private static final class Block {
        /** What may be in it. */
        final List<Write> may = new ArrayList<>();

        /** As {@code may}, if memory is lost. */
        final List<Write> mayAfterLoss = new ArrayList<>();

        /** What anybody has ever wanted in it. */
        final Set<Long> issued = new HashSet<>();

        Block() {
            issued.add(NEVER.stamp);
            may.add(NEVER);
            mayAfterLoss.add(NEVER);
        }
    }

    private final World world;
    private final Block[] blocks;
    private final Map<Long, int[]> ranges = new HashMap<>();
    private final Map<Long, Long> ackedUpTo = new HashMap<>();

    /** Of each write: what was acknowledged when it was issued, and so stands before it in the journal. */
    private final Map<Long, Behind> behind = new HashMap<>();

    private long lastId;
    private int losses;

    /** @param losses before which it is known that what is there is there with all it stands behind */
    private record Behind(long[] safe, int losses) {}

    Oracle(World world, int count) {
        this.world = world;
        this.blocks = new Block[count];
        for (int i = 0; i < count; i++) {
            blocks[i] = new Block();
        }
    }

    /** The number of a write that is about to be issued. */
    long issue(int first, int count, long term, boolean zeros) {
        long id = ++lastId;
        behind.put(id, new Behind(flushIssued(), losses));
        ranges.put(id, new int[] {first, count});
        for (int b = first; b < first + count; b++) {
            Write write = new Write(id, zeros ? 0 : id, term);
            blocks[b].may.add(write);
            blocks[b].mayAfterLoss.add(write);
            blocks[b].issued.add(write.stamp);
        }
        return id;
    }

    void acknowledged(long id) {
        int[] range = Objects.requireNonNull(ranges.get(id));
        for (int b = range[0]; b < range[0] + range[1]; b++) {
            Block block = blocks[b];
            int at = at(block.may, id);
            if (at < 0) {
                if (block.may.stream().allMatch(w -> w.id < id)) {
                    world.violation("write " + id + " of block " + b
                            + " is acknowledged, but a later read has shown that" + " it is lost");
                }
                continue; // a later one is acknowledged already
            }
            block.may.subList(0, at).clear();
        }
        ackedUpTo.put(id, id);
    }

    /** What a flush that is issued now will make safe: the newest acknowledged write of each block. */
    long[] flushIssued() {
        long[] safe = new long[blocks.length];
        for (int b = 0; b < blocks.length; b++) {
            Write oldest = blocks[b].may.getFirst();
            safe[b] = ackedUpTo.containsKey(oldest.id) ? oldest.id : 0;
        }
        return safe;
    }

    void flushed(long[] safe) {
        for (int b = 0; b < blocks.length; b++) {
            if (safe[b] > 0) {
                int at = at(blocks[b].mayAfterLoss, safe[b]);
                if (at > 0) {
                    blocks[b].mayAfterLoss.subList(0, at).clear();
                }
            }
        }
    }

    /** That write is on as many disks as a flush asks for. */
    void flushedWrite(long id) {
        int[] range = Objects.requireNonNull(ranges.get(id));
        for (int b = range[0]; b < range[0] + range[1]; b++) {
            int at = at(blocks[b].mayAfterLoss, id);
            if (at > 0) {
                blocks[b].mayAfterLoss.subList(0, at).clear();
            }
        }
    }

    /** As many machines lost their memory as held what was only acknowledged. */
    void memoryMayBeLost() {
        losses++;
        for (Block block : blocks) {
            block.may.clear();
            block.may.addAll(block.mayAfterLoss);
        }
    }

    /** What may be in a block now: for a read that begins. */
    Set<Long> stamps(int b) {
        Set<Long> stamps = new HashSet<>();
        blocks[b].may.forEach(w -> stamps.add(w.stamp));
        return stamps;
    }

    /**
     * A read that was made in that term shows this.
     *
     * @param before what might have been there when it began: it may have been served at any moment since
     */
    void read(int b, long stamp, Set<Long> before, long term, String by) {
        Block block = blocks[b];
        int at = stamped(block.may, stamp);
        if (at < 0) {
            if (!before.contains(stamp)) {
                world.violation(by + " reads " + stamp + " in block " + b + " in term " + term + ", where only "
                        + allowed(b) + " may be");
            }
            return;
        }
        keep(block.may, at, term);
        shown(stamp, by);
        // What lost the election to it is lost in any case; what was before it may come back with a loss of memory.
        long id = block.may.getFirst().id;
        block.mayAfterLoss.removeIf(w -> w.id > id && w.term < term);
    }

    /**
     * That write is there. A journal is lost from its end: so is, whatever was lost since, all that was acknowledged before the
     * write was issued.
     */
    void shown(long id, String by) {
        Behind before = behind.get(id);
        if (before == null || before.losses == losses) {
            return;
        }
        behind.put(id, new Behind(before.safe, losses));
        for (int b = 0; b < blocks.length; b++) {
            long safe = before.safe[b];
            int at = safe == 0 ? -1 : at(blocks[b].may, safe);
            if (at > 0) {
                blocks[b].may.subList(0, at).clear();
            } else if (at < 0 && blocks[b].may.stream().allMatch(w -> w.id < safe)) {
                world.violation(by + " shows write " + id + ", but not write " + safe + " of block " + b
                        + ", which was acknowledged before that was issued: only " + allowed(b) + " may be there");
            }
        }
    }

    private static void keep(List<Write> may, int at, long term) {
        Write shown = may.get(at);
        may.subList(0, at).clear();
        may.removeIf(w -> !w.equals(shown) && w.term < term);
    }

    /** Of a copy at rest. */
    boolean allows(int b, long stamp) {
        return stamped(blocks[b].may, stamp) >= 0;
    }

    /** Of a copy of whatever time. */
    boolean wasWritten(int b, long stamp) {
        return blocks[b].issued.contains(stamp);
    }

    String allowed(int b) {
        return blocks[b].may.stream()
                .map(w -> w.stamp + " of term " + w.term)
                .toList()
                .toString();
    }

    /** The oldest that looks so. */
    private static int stamped(List<Write> in, long stamp) {
        for (int i = 0; i < in.size(); i++) {
            if (in.get(i).stamp == stamp) {
                return i;
            }
        }
        return -1;
    }

    private static int at(List<Write> in, long id) {
        for (int i = 0; i < in.size(); i++) {
            if (in.get(i).id == id) {
                return i;
            }
        }
        return -1;
    }
}
