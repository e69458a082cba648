package io.terminus.agent.admin;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** One caller that is told of the volumes here as they change. A virtual thread looks; a caller that does not read misses states, not the last one. */
final class VolumesWatch {

    private static final long LOOK_MILLIS = 200;
    private static final long ALIVE_NANOS = 1_000_000_000;

    private final ServerCallStreamObserver<ListVolumesResponse> call;
    private final Supplier<ListVolumesResponse> state;
    private final BooleanSupplier stopping;

    private VolumesWatch(
            ServerCallStreamObserver<ListVolumesResponse> call,
            Supplier<ListVolumesResponse> state,
            BooleanSupplier stopping) {
        this.call = call;
        this.state = state;
        this.stopping = stopping;
    }

    /** To be called before the service method returns. */
    static void begin(
            ServerCallStreamObserver<ListVolumesResponse> call,
            Supplier<ListVolumesResponse> state,
            BooleanSupplier stopping) {
        VolumesWatch watch = new VolumesWatch(call, state, stopping);
        call.setOnCancelHandler(() -> {}); // the thread sees it
        Thread.ofVirtual().name("watch-volumes").start(watch::run);
    }

    private void run() {
        try {
            ListVolumesResponse told = null;
            long toldAtNanos = 0;
            while (!call.isCancelled() && !stopping.getAsBoolean()) {
                ListVolumesResponse now = state.get();
                boolean due = !now.equals(told) || System.nanoTime() - toldAtNanos > ALIVE_NANOS;
                if (due && call.isReady()) {
                    call.onNext(now);
                    told = now;
                    toldAtNanos = System.nanoTime();
                }
                Thread.sleep(LOOK_MILLIS);
            }
            if (!call.isCancelled()) {
                call.onError(Status.UNAVAILABLE
                        .withDescription("the agent is stopping")
                        .asRuntimeException());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            call.onError(Status.INTERNAL.withDescription(e.toString()).asRuntimeException());
        }
    }
}
