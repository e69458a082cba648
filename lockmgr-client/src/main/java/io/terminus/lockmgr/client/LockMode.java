package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Mode;

/** The six modes, weakest first. Most callers want {@link #SHARED} or {@link #EXCLUSIVE}. */
public enum LockMode {
    /** Conflicts with nothing. */
    NL(Mode.MODE_NL, 0b111111),
    CR(Mode.MODE_CR, 0b011111),
    CW(Mode.MODE_CW, 0b000111),
    PR(Mode.MODE_PR, 0b001011),
    PW(Mode.MODE_PW, 0b000011),
    EX(Mode.MODE_EX, 0b000001);

    public static final LockMode SHARED = PR;
    public static final LockMode EXCLUSIVE = EX;

    private static final LockMode[] WEAKEST_FIRST = values();

    private final Mode wire;
    /** Bit n: it may stand together with the mode whose ordinal is n. */
    private final int standsWith;

    LockMode(Mode wire, int standsWith) {
        this.wire = wire;
        this.standsWith = standsWith;
    }

    /** May two sessions hold these two on one byte? */
    public boolean standsWith(LockMode other) {
        return (standsWith & 1 << other.ordinal()) != 0;
    }

    /** Does a holder of this mode keep out everybody that a holder of {@code weaker} keeps out? CW and PR: neither the other. */
    public boolean covers(LockMode weaker) {
        return (standsWith & ~weaker.standsWith) == 0;
    }

    /** The strongest mode that both cover: what is certainly held while it is open which of the two is. */
    LockMode meet(LockMode other) {
        LockMode met = NL;
        for (LockMode mode : WEAKEST_FIRST) {
            if (covers(mode) && other.covers(mode)) {
                met = mode;
            }
        }
        return met;
    }

    Mode toProto() {
        return wire;
    }

    static LockMode of(Mode wire) {
        for (LockMode mode : WEAKEST_FIRST) {
            if (mode.wire == wire) {
                return mode;
            }
        }
        throw new IllegalArgumentException("mode " + wire + " is none of NL, CR, CW, PR, PW, EX");
    }
}
