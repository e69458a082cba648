package io.terminus.agent.net;

import java.io.IOException;
import java.nio.channels.SocketChannel;

/**
 * Bytes on their way out that are not (only) in a buffer, such as a run of a journal: see {@link FileRegion}. Handed to
 * {@link DuplexSocket#send(Outbound)} it belongs to the socket, which calls it under its send lock, by one thread at a
 * time.
 */
public interface Outbound {

    /**
     * Sends what the channel takes now and never blocks.
     *
     * @return bytes sent; 0 if the channel takes none now
     * @throws IOException if the rest cannot be sent: the stream is cut there, so the socket is closed
     */
    long transferTo(SocketChannel to) throws IOException;

    /** Bytes still to send. */
    long remainingBytes();

    default boolean done() {
        return remainingBytes() == 0;
    }

    /**
     * Called exactly once, when the socket has let go of this: after the last byte was handed to the kernel
     * ({@code sent}), or when it was dropped because the socket closed. Sent is not received: the kernel may still read
     * the file behind a region, so the bytes must not change before the other side has acknowledged them. Called under
     * the send lock: it must be short, and must not send.
     */
    default void released(boolean sent) {}
}
