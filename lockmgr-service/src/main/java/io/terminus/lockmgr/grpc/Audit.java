package io.terminus.lockmgr.grpc;

/** Keeps what operators did. A record is written before the operator has the answer. */
public interface Audit {

    /**
     * @param who the address the request came from
     * @param action the verb
     * @param what the lock, session or volume
     * @param outcome {@code done}, or why not
     */
    void record(String who, String action, String what, String outcome);
}
