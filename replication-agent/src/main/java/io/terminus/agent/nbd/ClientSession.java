package io.terminus.agent.nbd;

import java.nio.ByteBuffer;

/**
 * One client of an export. Called by one thread only, the connection's reader. Calls may block: that is the
 * back-pressure on this client, and on no other. A call that blocks must have forwarded what it was handed before, for
 * {@link #endOfBatch} comes only when it returns.
 *
 * <p>Ranges are inside the export and not empty. Cookies are the server's own: each is answered exactly once through
 * {@link Replies}, maybe before the call returns, maybe by another thread, maybe after {@link #close}; until then it
 * counts against the connection's bound and is not used again.
 */
public interface ClientSession extends AutoCloseable {

    /** {@code payload} is a direct buffer that belongs to the connection again when {@link #endOfBatch} returns. */
    void write(long cookie, long offset, ByteBuffer payload, boolean fua);

    /**
     * Makes a range read as zeros. {@code mayPunch}: the space behind it may be given back, and need not be there for
     * later writes.
     */
    void zero(long cookie, long offset, long lengthBytes, boolean fua, boolean mayPunch);

    /** Answered when everything answered before it was asked is durable, over all connections of the export. */
    void flush(long cookie);

    /**
     * Fills {@code into} completely. That this agent may still serve the range is checked after the data was taken.
     *
     * @throws DeviceException if the client is to get an error, or no answer at all
     */
    void read(long offset, ByteBuffer into) throws DeviceException;

    /**
     * Shows what one of the export's contexts says about a range, as far as the visitor wants and the device cares to look
     * at once, but at least one extent of it. What it says holds for some moment between the call and the return, extent
     * by extent.
     *
     * @throws DeviceException if the client is to get an error, or no answer at all, whatever was shown
     */
    void status(MetaContext context, long offset, long lengthBytes, StatusVisitor visitor) throws DeviceException;

    /** The client will read this range soon. A hint: returns without waiting for a disk. */
    void cache(long offset, long lengthBytes);

    /** The reader has handed over all that one read of its socket brought, and may wait now: forward it. */
    void endOfBatch();

    /** The client has gone. The last call. */
    @Override
    void close();
}
