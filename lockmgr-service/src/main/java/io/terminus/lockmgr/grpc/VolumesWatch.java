package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.terminus.lockmgr.grpc.LockLoop.Step;
import io.terminus.lockmgr.grpc.LockLoop.Turn;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/**
 * One caller that is told of all volumes as they change: a step of the loop for each page, and a pause behind the last one, longer where there
 * is more to look at. A caller that does not read misses states, not the last one.
 *
 * <p>One step at a time, each submitted behind the one before; so nothing here needs a lock.
 */
final class VolumesWatch implements Step {

    private static final long LOOK_NANOS = 200_000_000;
    private static final long ALIVE_NANOS = 1_000_000_000;

    /** A look takes at most this share of the time, one in so many. */
    private static final int SHARE = 10;

    private final LockLoop loop;
    private final ServerCallStreamObserver<ListVolumesResponse> call;
    private final BiFunction<Turn, String, ListVolumesResponse> page;
    private List<ListVolumesResponse> told = List.of();
    private long toldAtNanos;
    private boolean anyTold;
    private List<ListVolumesResponse> pages = new ArrayList<>();
    private long beganNanos;

    private VolumesWatch(
            LockLoop loop,
            ServerCallStreamObserver<ListVolumesResponse> call,
            BiFunction<Turn, String, ListVolumesResponse> page) {
        this.loop = loop;
        this.call = call;
        this.page = page;
    }

    /**
     * To be called before the service method returns.
     *
     * @param page the page behind that token
     */
    static void begin(
            LockLoop loop,
            ServerCallStreamObserver<ListVolumesResponse> call,
            BiFunction<Turn, String, ListVolumesResponse> page) {
        call.setOnCancelHandler(() -> {}); // the next step sees it
        loop.submit(new VolumesWatch(loop, call, page));
    }

    @Override
    public void run(Turn turn) {
        if (call.isCancelled()) {
            return;
        }
        if (pages.isEmpty()) {
            beganNanos = System.nanoTime();
        }
        ListVolumesResponse next =
                page.apply(turn, pages.isEmpty() ? "" : pages.getLast().getNextPageToken());
        pages.add(next);
        boolean last = next.getNextPageToken().isEmpty();
        long now = System.nanoTime();
        if (last) {
            List<ListVolumesResponse> all = pages;
            pages = new ArrayList<>();
            turn.afterwards(() -> tell(all, now));
        }
        long pauseNanos = last ? Math.max(LOOK_NANOS, SHARE * (now - beganNanos)) : 0;
        // Not from this thread, which must not wait for room in its own queue.
        CompletableFuture.delayedExecutor(pauseNanos, TimeUnit.NANOSECONDS, Thread::startVirtualThread)
                .execute(() -> loop.submit(this));
    }

    private void tell(List<ListVolumesResponse> all, long nowNanos) {
        boolean due = !anyTold || !all.equals(told) || nowNanos - toldAtNanos > ALIVE_NANOS;
        if (due && call.isReady() && !call.isCancelled()) {
            all.forEach(call::onNext);
            told = all;
            toldAtNanos = nowNanos;
            anyTold = true;
        }
    }

    @Override
    public void refused() {
        if (!call.isCancelled()) {
            call.onError(Status.UNAVAILABLE
                    .withDescription("the lock manager is stopping")
                    .asRuntimeException());
        }
    }
}
