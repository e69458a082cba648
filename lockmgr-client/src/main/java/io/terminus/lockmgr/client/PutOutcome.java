package io.terminus.lockmgr.client;

/** How a compare-and-set of a value block ended, and what its caller may now believe. */
public sealed interface PutOutcome {

    /** Done and durable: the block has this version now. */
    record Written(long version) implements PutOutcome {}

    /** Not done: somebody wrote before; {@code current} is what is there. */
    record VersionMismatch(Value current) implements PutOutcome {}

    /** Not done, for this reason. */
    record Refused(RefusalReason reason, String message) implements PutOutcome {}

    /**
     * Done or not done, nobody here can say: the session ended before the answer came, or the store failed. Read the value to learn
     * it; until then both must be reckoned with.
     */
    record Unknown(String why) implements PutOutcome {}
}
