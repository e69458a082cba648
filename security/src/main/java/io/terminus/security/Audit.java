package io.terminus.security;

/** Keeps what callers changed. A record is written before the caller has the answer. */
public interface Audit {

    /**
     * @param who certificate and address the request came from
     * @param action the verb
     * @param what the lock, session or volume
     * @param outcome {@code done}, or why not
     */
    void record(String who, String action, String what, String outcome);
}
