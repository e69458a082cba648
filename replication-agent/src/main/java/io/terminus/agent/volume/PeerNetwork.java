package io.terminus.agent.volume;

import io.terminus.agent.volume.VolumeConfig.Address;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** How a volume reaches the other agents. */
public interface PeerNetwork {

    /** A stream of journal runs to one peer; keeps connecting until closed. Any thread may call it. */
    interface Stream extends AutoCloseable {
        /** There may be something new to send: send what the socket takes without blocking. */
        void pump();

        /** The same, from a thread that a client waits for: copies are left to others. */
        void forward();

        @Override
        void close();
    }

    Stream stream(PeerCursor cursor);

    /**
     * Raises the peer's fence; fails if it cannot be reached in time or refuses, and at once with a {@link
     * java.net.ConnectException} if nobody listens there.
     */
    CompletableFuture<Election.Answer> seal(
            Address peer, UUID volume, long term, long token, long configVersion, Duration deadline);

    /** Asks whether the peer's replica could be so large; fails with its refusal, or if it does not answer in time. */
    CompletableFuture<Void> canHold(Address peer, UUID volume, long sizeBytes, Duration deadline);

    /**
     * What a part of the volume holds.
     *
     * @param position that all of {@code data} is of
     */
    record Blocks(ByteBuffer data, long position) {}

    /** Asks the writer what a part of the volume holds; fails with its refusal, or if it does not answer in time. */
    CompletableFuture<Blocks> readBlocks(Address writer, UUID volume, long offset, int length, Duration deadline);

    /** Copies journal bytes [from, to) of a peer sealed by {@code into}'s term, verified as they land there. */
    void fetch(Address peer, UUID volume, long from, long to, Inbound into, Duration deadline) throws IOException;
}
