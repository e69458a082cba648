package io.terminus.lockmgr.grpc;

import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Operation;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A {@link ClientMessage} as it is worked on: what there are hundreds of thousands of in a second, acquires of one range and releases, as
 * plain values, everything else as the message it came in.
 *
 * @param renewal the sequence of the renewal it carries; counts if {@code renews}
 */
record SessionMessage(@Nullable Attach attach, List<Asked> operations, boolean renews, long renewal) {

    /** Stands for a message that is longer than allowed, which is not read. */
    static final SessionMessage TOO_LONG = new SessionMessage(null, List.of(), false, 0);

    /** One operation. */
    sealed interface Asked {
        long requestId();
    }

    /** An ordinary request for one range that is not to grow. {@code mode}: its number, which may be none. */
    record Acquire(long requestId, String volume, long start, long end, int mode, long waitMillis) implements Asked {}

    record Release(long requestId, long lockId) implements Asked {}

    record Other(Operation operation) implements Asked {
        @Override
        public long requestId() {
            return operation.getRequestId();
        }

        boolean acknowledges() {
            return operation.hasLostAck() || operation.hasRecallProgress();
        }
    }

    static SessionMessage of(ClientMessage message) {
        List<Asked> operations = new ArrayList<>(message.getOperationsCount());
        for (Operation operation : message.getOperationsList()) {
            operations.add(new Other(operation));
        }
        return new SessionMessage(
                message.hasAttach() ? message.getAttach() : null,
                operations,
                message.hasRenew(),
                message.getRenew().getSequence());
    }
}
