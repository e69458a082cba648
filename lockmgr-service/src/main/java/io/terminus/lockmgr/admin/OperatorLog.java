package io.terminus.lockmgr.admin;

/** Keeps what operators did, before they have the answer. */
@FunctionalInterface
public interface OperatorLog {

    /**
     * @param who the address the request came from
     * @param outcome {@code done}, or why not
     */
    void record(String who, String action, String what, String outcome);
}
