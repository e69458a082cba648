package io.terminus.lockmgr.client;

import com.google.protobuf.UnsafeByteOperations;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Cancel;
import io.terminus.proto.lock.v1.Convert;
import io.terminus.proto.lock.v1.GetValue;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.LostAck;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Part;
import io.terminus.proto.lock.v1.Promote;
import io.terminus.proto.lock.v1.PutValue;
import io.terminus.proto.lock.v1.Reassert;
import io.terminus.proto.lock.v1.RecallProgress;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.Release;
import io.terminus.proto.lock.v1.Shrink;
import io.terminus.proto.lock.v1.Split;
import java.util.List;

/** A request without its final answer. It keeps its id however often it is sent. */
abstract sealed class Pending {

    static final long NEVER = Long.MAX_VALUE;
    private static final long NANOS_PER_MILLI = 1_000_000;

    final long id;
    /** In this session: the lock manager may know it. */
    boolean everSent;

    boolean finished;

    Pending(long id) {
        this.id = id;
    }

    abstract void describe(Operation.Builder to, long nowNanos);

    void write(ClientMessageWriter to, long nowNanos) {
        Operation.Builder operation = Operation.newBuilder().setRequestId(id);
        describe(operation, nowNanos);
        to.operation(operation.build());
    }

    /** A request whose answer may take its time, and which its caller may give up. */
    abstract static sealed class Waiting extends Pending {
        /** On the lease clock; {@link #NEVER}: a standby. */
        long endNanos;
        /** When it is given up although no answer came; {@link Requests} alone sets this and the next. */
        long deadlineNanos = NEVER;

        int deadlineSlot = -1;
        /** Its caller gave up after it was sent; a Cancel is on its way. */
        boolean abandoned;

        Waiting(long id, long endNanos) {
            super(id);
            this.endNanos = endNanos;
        }
    }

    /** One range, or several together. */
    static final class Lock extends Waiting {
        final AcquireRequest request;
        /** The parts behind the first. */
        final List<AcquireRequest> also;
        /** Asked for by several parts, so answered with several. */
        final boolean several;

        boolean ordinary;

        Lock(long id, AcquireRequest request, List<AcquireRequest> also, boolean several, long endNanos) {
            super(id, endNanos);
            this.request = request;
            this.also = also;
            this.several = several;
            this.ordinary = !request.standby();
        }

        @Override
        void write(ClientMessageWriter to, long nowNanos) {
            if (also.isEmpty() && request.desired() == null) {
                to.acquire(id, request.volume(), request.range(), request.mode(), waitMillis(nowNanos), !ordinary);
            } else {
                super.write(to, nowNanos);
            }
        }

        private long waitMillis(long nowNanos) {
            return endNanos == NEVER ? -1 : millisLeft(endNanos, nowNanos);
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            Acquire.Builder acquire = Acquire.newBuilder()
                    .setVolume(request.volume())
                    .setRange(request.range().toProto())
                    .setMode(request.mode().toProto())
                    .setWaitMillis(waitMillis(nowNanos))
                    .setStandby(!ordinary);
            LockRange desired = request.desired();
            if (desired != null) {
                acquire.setDesired(desired.toProto());
            }
            for (AcquireRequest part : also) {
                acquire.addAlso(Part.newBuilder()
                        .setVolume(part.volume())
                        .setRange(part.range().toProto())
                        .setMode(part.mode().toProto()));
            }
            to.setAcquire(acquire.build());
        }
    }

    static final class Conversion extends Waiting {
        final Grant grant;
        final LockMode mode;
        final Grant.Limit limit;

        Conversion(long id, Grant grant, LockMode mode, Grant.Limit limit, long endNanos) {
            super(id, endNanos);
            this.grant = grant;
            this.mode = mode;
            this.limit = limit;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setConvert(Convert.newBuilder()
                    .setLockId(grant.lockId())
                    .setMode(mode.toProto())
                    .setWaitMillis(millisLeft(endNanos, nowNanos)));
        }
    }

    static final class Shrinking extends Pending {
        final Grant grant;
        final LockRange range;
        final Grant.Limit limit;
        /** The library asked for it by itself: nobody waits for its end. */
        final boolean ours;

        Shrinking(long id, Grant grant, LockRange range, Grant.Limit limit, boolean ours) {
            super(id);
            this.grant = grant;
            this.range = range;
            this.limit = limit;
            this.ours = ours;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setShrink(Shrink.newBuilder().setLockId(grant.lockId()).setRange(range.toProto()));
        }
    }

    static final class Splitting extends Pending {
        final Grant grant;
        final long at;
        /** Where the grant ended when this was asked. */
        final long end;

        final Grant.Limit limit;

        Splitting(long id, Grant grant, long at, long end, Grant.Limit limit) {
            super(id);
            this.grant = grant;
            this.at = at;
            this.end = end;
            this.limit = limit;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setSplit(Split.newBuilder().setLockId(grant.lockId()).setAt(at));
        }
    }

    static final class Reassertion extends Pending {
        final Grant grant;
        /** As it was believed in when the lock manager was found to have lost its memory. */
        private final Grant.State believed;
        /** Nobody believes in it any more. */
        boolean abandoned;

        Reassertion(long id, Grant grant) {
            super(id);
            this.grant = grant;
            this.believed = grant.state();
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            Granted.Builder lock = Granted.newBuilder()
                    .setLockId(grant.lockId())
                    .setVolume(grant.volume())
                    .setVolumeUuid(grant.volumeUuid())
                    .setRange(believed.range().toProto())
                    .setMode(believed.mode().toProto())
                    .setToken(believed.token());
            if (believed.range().contains(grant.requested())) {
                lock.setRequested(grant.requested().toProto());
            }
            to.setReassert(Reassert.newBuilder().setLock(lock));
        }
    }

    static final class Cancellation extends Pending {
        final long requestId;

        Cancellation(long id, long requestId) {
            super(id);
            this.requestId = requestId;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setCancel(Cancel.newBuilder().setAcquireRequestId(requestId));
        }
    }

    static final class Promotion extends Pending {
        final long acquireRequestId;
        final long endNanos;

        Promotion(long id, long acquireRequestId, long endNanos) {
            super(id);
            this.acquireRequestId = acquireRequestId;
            this.endNanos = endNanos;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setPromote(Promote.newBuilder()
                    .setAcquireRequestId(acquireRequestId)
                    .setWaitMillis(millisLeft(endNanos, nowNanos)));
        }
    }

    static final class Giving extends Pending {
        final long lockId;
        /** The request its end is reported as; 0: nobody waits for it. */
        final long reportId;

        Giving(long id, long lockId, long reportId) {
            super(id);
            this.lockId = lockId;
            this.reportId = reportId;
        }

        @Override
        void write(ClientMessageWriter to, long nowNanos) {
            to.release(id, lockId);
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setRelease(Release.newBuilder().setLockId(lockId).build());
        }
    }

    static final class Read extends Pending {
        final String volume;

        Read(long id, String volume) {
            super(id);
            this.volume = volume;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setGetValue(GetValue.newBuilder().setVolume(volume));
        }
    }

    static final class Put extends Pending {
        final Grant grant;
        final long expectedVersion;
        private final byte[] value;

        Put(long id, Grant grant, long expectedVersion, byte[] value) {
            super(id);
            this.grant = grant;
            this.expectedVersion = expectedVersion;
            this.value = value;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setPutValue(PutValue.newBuilder()
                    .setVolume(grant.volume())
                    .setLockId(grant.lockId())
                    .setExpectedVersion(expectedVersion)
                    .setValue(UnsafeByteOperations.unsafeWrap(value)));
        }

        PutOutcome outcome(Answer answer) {
            return switch (answer.getKindCase()) {
                case VALUE -> new PutOutcome.Written(answer.getValue().getVersion());
                case DONE -> new PutOutcome.Written(expectedVersion + 1);
                case REFUSED -> {
                    Refused refused = answer.getRefused();
                    yield switch (RefusalReason.of(refused.getReason())) {
                        case VERSION_MISMATCH -> new PutOutcome.VersionMismatch(Value.of(refused.getCurrent()));
                        case UNKNOWN_OUTCOME -> new PutOutcome.Unknown(refused.getMessage());
                        case INVALID_RANGE,
                                INVALID_MODE,
                                INVALID_NAME,
                                INVALID_ARGUMENT,
                                UNKNOWN_SESSION,
                                UNKNOWN_LOCK,
                                UNKNOWN_REQUEST,
                                WOULD_BLOCK,
                                DEADLINE,
                                CANCELLED,
                                DEADLOCK,
                                NOT_HOLDER,
                                LIMIT_EXCEEDED,
                                RECOVERING,
                                REVOKED,
                                TOO_MANY_IN_FLIGHT,
                                CLOSED ->
                            new PutOutcome.Refused(RefusalReason.of(refused.getReason()), refused.getMessage());
                    };
                }
                case GRANTED, GRANTED_ALL, KIND_NOT_SET ->
                    new PutOutcome.Unknown("a put was answered with " + answer.getKindCase());
            };
        }
    }

    static final class LossAck extends Pending {
        final long lockId;

        LossAck(long id, long lockId) {
            super(id);
            this.lockId = lockId;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            to.setLostAck(LostAck.newBuilder().setLockId(lockId));
        }
    }

    static final class Progress extends Pending {
        final Holdings.Held entry;
        private boolean told;
        long progress;

        Progress(long id, Holdings.Held entry) {
            super(id);
            this.entry = entry;
        }

        @Override
        void describe(Operation.Builder to, long nowNanos) {
            if (!told) {
                // The newest figure; but an id that is sent again stands for what it said first.
                told = true;
                progress = entry.progress;
            }
            to.setRecallProgress(
                    RecallProgress.newBuilder().setLockId(entry.grant.lockId()).setProgress(progress));
        }
    }

    /** Rounded up: a wait must not end before its caller's. */
    private static long millisLeft(long endNanos, long nowNanos) {
        return Math.max(0, Math.ceilDiv(endNanos - nowNanos, NANOS_PER_MILLI));
    }
}
