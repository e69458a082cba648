package io.terminus.lockmgr.lock;

/** A range that a request waits for: all of it, or a part of an atomic one. */
final class Waiter extends Claim {

    final Request request;
    private final long id;

    Waiter(Request request, long id, Volume volume, long start, long end, Mode mode) {
        super(volume, start, end, mode);
        this.request = request;
        this.id = id;
    }

    @Override
    long id() {
        return id;
    }

    @Override
    Session session() {
        return request.session;
    }

    @Override
    long requestId() {
        return request.requestId;
    }

    boolean olderThan(Waiter other) {
        return request.order < other.request.order;
    }

    @Override
    String what() {
        Held lock = request.converting;
        return super.what() + (lock == null ? "" : " (now " + lock.mode + " as lock " + lock.id + ")");
    }
}
