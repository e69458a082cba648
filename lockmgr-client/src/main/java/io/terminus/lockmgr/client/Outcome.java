package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Answer;

/** How a request to a {@link SessionCore} ended. */
public sealed interface Outcome {

    /** Granted, or split off. */
    record Acquired(Grant grant) implements Outcome {}

    /** All parts of one request, in its order. */
    record AcquiredAll(GrantSet grants) implements Outcome {}

    record ValueRead(Value value) implements Outcome {}

    record Put(PutOutcome outcome) implements Outcome {}

    /** Released, promoted, converted or shrunk. */
    record Done() implements Outcome {}

    /** It was not asked at all: its volume belongs to that group, as the lock manager has just said, and another core asks it. */
    record Elsewhere(int group) implements Outcome {}

    record Refused(RefusalReason reason, String message) implements Outcome {

        /** Of an answer that is not what was hoped for. */
        static Refused of(Answer answer) {
            return answer.hasRefused()
                    ? new Refused(
                            RefusalReason.of(answer.getRefused().getReason()),
                            answer.getRefused().getMessage())
                    : new Refused(
                            RefusalReason.UNKNOWN_OUTCOME,
                            "request " + answer.getRequestId() + " was answered with " + answer.getKindCase());
        }
    }
}
