package io.terminus.lockmgr.lock;

import java.util.List;

/**
 * A stretch of a volume as it is drawn: cells of equal length, the last one perhaps shorter, and of each how many locks and
 * waiters overlap it.
 *
 * @param cellBytes length of every cell but the last
 * @param exact false: a cell has more than was looked at, and its figures are lower bounds
 */
public record RangeMap(long start, long end, long cellBytes, boolean exact, List<Cell> cells) {

    /**
     * @param held locks; among them:
     * @param writing in a mode that writes
     * @param recalled asked back from their holders
     * @param closing revoked, or left by a holder that vanished: nobody's, and not free yet
     * @param waiting waiters, conversions among them, without:
     * @param standby waiters that ask nobody to give way
     */
    public record Cell(int held, int writing, int recalled, int closing, int waiting, int standby) {

        public static final Cell EMPTY = new Cell(0, 0, 0, 0, 0, 0);
    }
}
