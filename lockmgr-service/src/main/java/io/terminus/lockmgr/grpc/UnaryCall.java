package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.grpc.LockLoop.Step;
import io.terminus.lockmgr.grpc.LockLoop.Turn;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.security.Identity;
import io.terminus.security.grpc.Caller;
import java.util.function.Consumer;

/** One reply or one status for one call, whichever comes first; the rest is dropped. Any thread. */
final class UnaryCall<T> {

    private final ServerCallStreamObserver<T> out;
    private boolean over; // guarded by this

    UnaryCall(StreamObserver<T> out) {
        this.out = (ServerCallStreamObserver<T>) out;
        // Without a handler of its own, a reply to a caller that has gone would throw on the owner thread.
        this.out.setOnCancelHandler(() -> {});
    }

    /** To be called before the service method returns. */
    void onCancel(Runnable handler) {
        out.setOnCancelHandler(handler);
    }

    /** To be called before the service method returns. The reply has reached the transport, and no cancellation comes any more. */
    void onClose(Runnable handler) {
        out.setOnCloseHandler(handler);
    }

    boolean cancelled() {
        return out.isCancelled();
    }

    synchronized void reply(T reply) {
        if (!over) {
            over = true;
            out.onNext(reply);
            out.onCompleted();
        }
    }

    void fail(Reason reason, String message) {
        fail(Refusals.status(reason, message));
    }

    /** The caller's certificate does not let it do this. */
    void deny(String why) {
        fail(Status.PERMISSION_DENIED.withDescription(why).asRuntimeException());
    }

    private synchronized void fail(Throwable status) {
        if (!over) {
            over = true;
            out.onError(status);
        }
    }

    /** A step that answers this call, or says that the loop has ended. */
    Step step(Consumer<Turn> body) {
        return step(false, body);
    }

    /** As {@link #step(Consumer)}, but it changes nothing, so that its caller may simply ask again. */
    Step lookingStep(Consumer<Turn> body) {
        return new CallStep(false, body) {
            @Override
            public void unknown(String why) {
                fail(Status.UNAVAILABLE.withDescription(why).asRuntimeException());
            }
        };
    }

    /** As {@link #lookingStep}, for a volume that has to be one of this table's. */
    Step lookingStepAt(String volume, Consumer<Turn> body) {
        return lookingStep(turn -> {
            String why = turn.table().share().refusal(volume);
            if (why == null) {
                body.accept(turn);
            } else {
                turn.afterwards(() -> fail(Reason.INVALID_ARGUMENT, why));
            }
        });
    }

    /** A step that is done if the caller may speak for the session. */
    Step stepFor(String sessionId, Consumer<Turn> body) {
        Identity who = Caller.current().identity();
        return step(false, turn -> {
            String why = SessionOwners.refusal(who, turn.table(), sessionId);
            if (why == null) {
                body.accept(turn);
            } else {
                turn.afterwards(() -> deny(why));
            }
        });
    }

    /** As {@link #step(Consumer)}, but it may take long. */
    Step heavyStep(Consumer<Turn> body) {
        return step(true, body);
    }

    private Step step(boolean heavy, Consumer<Turn> body) {
        return new CallStep(heavy, body);
    }

    private class CallStep implements Step {
        private final boolean heavy;
        private final Consumer<Turn> body;

        CallStep(boolean heavy, Consumer<Turn> body) {
            this.heavy = heavy;
            this.body = body;
        }

        @Override
        public boolean heavy() {
            return heavy;
        }

        @Override
        public void run(Turn turn) {
            body.accept(turn);
        }

        @Override
        public void refused() {
            fail(Status.UNAVAILABLE
                    .withDescription("the lock manager is stopping")
                    .asRuntimeException());
        }

        @Override
        public void unknown(String why) {
            fail(Reason.UNKNOWN_OUTCOME, why + "; whether this was done is not known");
        }
    }
}
