package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Answer;
import org.jspecify.annotations.Nullable;

/** An {@link Answer} as it is worked on: grants and the answer Done as plain values, everything else as the message it came in. */
sealed interface Reply {

    long requestId();

    /** What protobuf would have made of it. */
    Answer answer();

    /** @param requested null: the same as range */
    record Granted(
            long requestId,
            long lockId,
            String volume,
            String volumeUuid,
            @Nullable LockRange requested,
            LockRange range,
            LockMode mode,
            long token)
            implements Reply {

        @Override
        public Answer answer() {
            io.terminus.proto.lock.v1.Granted.Builder lock = io.terminus.proto.lock.v1.Granted.newBuilder()
                    .setLockId(lockId)
                    .setVolume(volume)
                    .setVolumeUuid(volumeUuid)
                    .setRange(range.toProto())
                    .setMode(mode.toProto())
                    .setToken(token);
            if (requested != null) {
                lock.setRequested(requested.toProto());
            }
            return Answer.newBuilder().setRequestId(requestId).setGranted(lock).build();
        }

        static Granted of(long requestId, io.terminus.proto.lock.v1.Granted lock) {
            return new Granted(
                    requestId,
                    lock.getLockId(),
                    lock.getVolume(),
                    lock.getVolumeUuid(),
                    lock.hasRequested() ? LockRange.of(lock.getRequested()) : null,
                    LockRange.of(lock.getRange()),
                    LockMode.of(lock.getMode()),
                    lock.getToken());
        }
    }

    record Done(long requestId) implements Reply {
        @Override
        public Answer answer() {
            return Answer.newBuilder()
                    .setRequestId(requestId)
                    .setDone(io.terminus.proto.lock.v1.Done.getDefaultInstance())
                    .build();
        }
    }

    record Other(Answer answer) implements Reply {
        @Override
        public long requestId() {
            return answer.getRequestId();
        }
    }
}
