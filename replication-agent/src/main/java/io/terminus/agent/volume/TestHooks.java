package io.terminus.agent.volume;

/**
 * Points on the write path at which a test may stop the process. Production uses {@link #NONE}; an agent started with
 * {@code agent.test-hooks-dir} stops itself with SIGSTOP when a file of the point's name appears there.
 */
public interface TestHooks {

    TestHooks NONE = new TestHooks() {};

    /**
     * The guard was asked at admission and the record is in the journal; nothing of it is sent to a certain peer yet, nor
     * by anybody while the thread stands here.
     */
    default void beforeSend() {}

    /** At a replica: bytes of a run of that volume are about to land. */
    default void beforeLanding(String volume) {}

    /** The guard was asked for the last time; the replies are not sent yet. */
    default void beforeReply() {}
}
