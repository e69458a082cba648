package io.terminus.lockmgr.lock;

import org.jspecify.annotations.Nullable;

/** A range of a volume in a mode, held or waited for. */
abstract sealed class Claim permits Held, Waiter {

    final Volume volume;
    /** Range and mode change only while the claim is in no index. */
    long start;

    long end;
    Mode mode;

    /** Kept by {@link ModeIndex}: the claims of this very range and mode; null while there is only this one. */
    @Nullable
    Chain chain;

    @Nullable
    Claim older;

    @Nullable
    Claim younger;

    Claim(Volume volume, long start, long end, Mode mode) {
        this.volume = volume;
        this.start = start;
        this.end = end;
        this.mode = mode;
    }

    /** The lock id of a held one, else a number from a counter of all waiters: the smaller, the older. */
    abstract long id();

    abstract Session session();

    abstract long requestId();

    /** For people: {@code EX [0, 10)}. */
    String what() {
        return mode + " [" + start + ", " + end + ")";
    }
}
