package io.terminus.lockmgr.lock;

/** A lock held or waited for. The deadline of a held one is that of its recall, the deadline of a waiter that of its wait. */
abstract sealed class Claim extends Timed permits Held, Waiter {

    final Session session;
    final long requestId;
    final Volume volume;
    final long start;
    final long end;
    final Mode mode;

    Claim(Session session, long requestId, Volume volume, long start, long end, Mode mode) {
        this.session = session;
        this.requestId = requestId;
        this.volume = volume;
        this.start = start;
        this.end = end;
        this.mode = mode;
    }

    /** The lock id of a held one, the order of a waiter; what listings show, and the key in the volume's index. */
    abstract long id();

    /** For people: {@code EX [0, 10)}. */
    String what() {
        return mode + " [" + start + ", " + end + ")";
    }
}
