package io.terminus.lockmgr.ha;

/**
 * What this member has of the lead of its group: nothing, an opening that was sent and is not applied yet, or a leadership. At most one of
 * them at a time, each known by its name or epoch, so that a word about one that is over ends no other. Any thread.
 */
final class Claim {

    private static final String NONE = "";

    private String asked = NONE;
    private long epoch;

    /** The opening is to be sent; false: there is one already, or a leadership. */
    synchronized boolean ask(String leadership) {
        if (!asked.isEmpty() || epoch != 0) {
            return false;
        }
        asked = leadership;
        return true;
    }

    /** The opening will not be applied as ours, whatever becomes of it. */
    synchronized void failed(String leadership) {
        if (asked.equals(leadership)) {
            asked = NONE;
        }
    }

    /**
     * An opening was applied, whoever sent it: leaderships of before are over.
     *
     * @return whether it is the one that was asked for, so that this member leads
     */
    synchronized boolean opened(String leadership, long newest) {
        boolean ours = asked.equals(leadership);
        if (ours) {
            asked = NONE;
        }
        epoch = ours ? newest : 0;
        return ours;
    }

    /** The election was lost. An opening on its way may still be applied, and is nobody's then. */
    synchronized void lost() {
        asked = NONE;
        epoch = 0;
    }

    /** The leadership was given up here: it may be claimed anew. */
    synchronized void ended(long ofEpoch) {
        if (epoch == ofEpoch) {
            epoch = 0;
        }
    }

    /** Of the leadership that runs; 0: none does. */
    synchronized long epoch() {
        return epoch;
    }
}
