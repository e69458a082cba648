package io.terminus.agent.volume;

/** Sees what a range of a volume holds, in order and without gaps. */
@FunctionalInterface
public interface AllocationVisitor {

    enum Holds {
        /** Bytes may be stored there. */
        DATA,
        /** Reads as zeros. */
        ZEROS,
        /** Reads as zeros, and its space is not known to be allocated. */
        NOTHING
    }

    /** Returns whether to go on. */
    boolean extent(long lengthBytes, Holds what);
}
