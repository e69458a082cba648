package io.terminus.lockmgr.lock;

/**
 * The six lock modes of the VMS-style distributed lock managers, weakest first.
 *
 * <pre>
 *        NL  CR  CW  PR  PW  EX        yes: both may hold overlapping ranges
 *   NL   yes yes yes yes yes yes
 *   CR   yes yes yes yes yes -
 *   CW   yes yes yes -   -   -
 *   PR   yes yes -   yes -   -
 *   PW   yes yes -   -   -   -
 *   EX   yes -   -   -   -   -
 * </pre>
 */
public enum Mode {
    NL,
    CR,
    CW,
    PR,
    PW,
    EX;

    /** Row i, bit j: mode i may be held together with mode j. */
    private static final int[] COMPATIBLE = {0b111111, 0b011111, 0b000111, 0b001011, 0b000011, 0b000001};

    public boolean compatibleWith(Mode other) {
        return (COMPATIBLE[ordinal()] >> other.ordinal() & 1) != 0;
    }

    /** May two hold this mode on one range? */
    public boolean shared() {
        return compatibleWith(this);
    }

    /** Is it compatible with all that the other is compatible with: a lock may go to it from there at once. */
    public boolean atMost(Mode other) {
        int others = COMPATIBLE[other.ordinal()];
        return (COMPATIBLE[ordinal()] & others) == others;
    }

    /** May the holder of this mode write: the value block of a volume asks for it. */
    public boolean writes() {
        return this == PW || this == EX;
    }
}
