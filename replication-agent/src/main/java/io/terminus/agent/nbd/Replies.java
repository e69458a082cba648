package io.terminus.agent.nbd;

/**
 * Where answers to one client go. Any thread may call; no call blocks, whatever the client does: a client that does not
 * read its replies is not read from, so what is kept for it is bounded by its requests in flight.
 *
 * <p>Once the connection is closed, answers are taken and dropped.
 */
public interface Replies {

    /**
     * The request has been carried out.
     *
     * @throws IllegalStateException if this cookie is not in flight: answered twice, or never given
     */
    void done(long cookie);

    /** The request has failed; nothing, a part or all of a write may be there. */
    void failed(long cookie, Failure why);

    /** Sends what {@link #done} and {@link #failed} collected, in one write. */
    void flush();

    /** The outcome is unknown: the connection is closed and nothing more is answered. */
    void disconnect(String why);
}
