package io.terminus.lockmgr.client;

/** How a request to a {@link SessionCore} ended. */
public sealed interface Outcome {

    record Acquired(Grant grant) implements Outcome {}

    record ValueRead(Value value) implements Outcome {}

    record Put(PutOutcome outcome) implements Outcome {}

    /** Released, or promoted. */
    record Done() implements Outcome {}

    record Refused(RefusalReason reason, String message) implements Outcome {}
}
