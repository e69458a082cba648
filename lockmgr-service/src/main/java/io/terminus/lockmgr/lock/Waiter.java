package io.terminus.lockmgr.lock;

/** A request that waits for its lock. */
final class Waiter extends Claim {

    /** Rises with every request that starts to wait, and with every promotion: the smaller, the older. */
    long order;

    boolean standby;
    /** The last round of grants that looked at this waiter, so that none looks twice. */
    long round;

    Waiter(
            Session session,
            long requestId,
            Volume volume,
            long start,
            long end,
            Mode mode,
            long order,
            boolean standby) {
        super(session, requestId, volume, start, end, mode);
        this.order = order;
        this.standby = standby;
    }

    @Override
    long id() {
        return order;
    }
}
