package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Mode;

/** The six modes, weakest first. Most callers want {@link #SHARED} or {@link #EXCLUSIVE}. */
public enum LockMode {
    /** Conflicts with nothing. */
    NL(Mode.MODE_NL),
    CR(Mode.MODE_CR),
    CW(Mode.MODE_CW),
    PR(Mode.MODE_PR),
    PW(Mode.MODE_PW),
    EX(Mode.MODE_EX);

    public static final LockMode SHARED = PR;
    public static final LockMode EXCLUSIVE = EX;

    private final Mode wire;

    LockMode(Mode wire) {
        this.wire = wire;
    }

    Mode toProto() {
        return wire;
    }

    static LockMode of(Mode wire) {
        for (LockMode mode : values()) {
            if (mode.wire == wire) {
                return mode;
            }
        }
        throw new IllegalArgumentException("mode " + wire + " is none of NL, CR, CW, PR, PW, EX");
    }
}
