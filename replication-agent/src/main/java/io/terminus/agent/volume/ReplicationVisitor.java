package io.terminus.agent.volume;

/** Sees who has the newest writes to a range of a volume, in order and without gaps. */
@FunctionalInterface
public interface ReplicationVisitor {

    /** {@code flags}: every member of the in-sync set has received the newest write here. */
    int RECEIVED = 1;

    /** {@code flags}: every member of the in-sync set has it durably, in its journal. */
    int DURABLE = 2;

    /** {@code flags}: every member of the in-sync set has it in its image. */
    int APPLIED = 4;

    /** {@code flags}: every replica of the volume has received it, also those that are not in sync. */
    int EVERYWHERE = 8;

    /**
     * @param flags what is known to be so: one that is not set says nothing
     * @return whether to go on
     */
    boolean extent(long lengthBytes, int flags);
}
