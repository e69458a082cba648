package io.terminus.agent.volume;

import io.terminus.agent.volume.PeerNetwork.Blocks;
import io.terminus.agent.volume.VolumeConfig.Address;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Reads at a replica that is not the writer, also while it is copied to: what its image lacks is fetched from the writer.
 *
 * <p>A read shows the volume as it was at one position, and not an older one than any read before it, whoever asked, for as long as this
 * agent runs: once something was fetched, the image here counts only when it is as new. So a reader here is behind the writer at times, but
 * never goes back, and never sees what is not committed. For that a read is answered from the image here alone, or fetched as a whole.
 *
 * What a client asks for in one request may be more than one read: then its later parts may be newer, never older.
 *
 * <p>Any thread; what is fetched may take as long as {@link #PATIENCE}.
 */
public final class ReplicaReads {

    /** One read. */
    public static final int MOST_BYTES = 1 << 20;

    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Volume volume;
    private final Replica replica;
    private final PeerNetwork network;

    /** Nothing that was fetched is of a later position. */
    private final AtomicLong shown = new AtomicLong();

    ReplicaReads(Volume volume, Replica replica, PeerNetwork network) {
        this.volume = volume;
        this.replica = replica;
        this.network = network;
    }

    /** Fills {@code into} from {@code offset} on, at most {@link #MOST_BYTES}. Says why not where that cannot be done now. */
    public void read(long offset, ByteBuffer into) throws IOException, RefusedException {
        if (into.remaining() > MOST_BYTES) {
            throw new IllegalArgumentException("a read of " + into.remaining() + " bytes: at most " + MOST_BYTES);
        }
        volume.requireReadableHere();
        if (!replica.readIfHeld(offset, into, shown.get())) {
            Blocks fetched = fetch(offset, into.remaining());
            shown.accumulateAndGet(fetched.position(), Math::max);
            into.put(fetched.data());
        }
    }

    private Blocks fetch(long offset, int length) throws IOException {
        VolumeConfig config = volume.config();
        Address writer = config.address(config.writer())
                .orElseThrow(() -> new IOException("no agent is known to write " + config.name()
                        + ", and the replica here lacks blocks of what is read"));
        try {
            Blocks fetched = network.readBlocks(writer, config.uuid(), offset, length, PATIENCE)
                    .get();
            if (fetched.data().remaining() != length) {
                throw new IOException(
                        writer.agent() + " answered with " + fetched.data().remaining() + " bytes, not " + length);
            }
            return fetched;
        } catch (ExecutionException e) {
            Throwable why = e.getCause() == null ? e : e.getCause();
            throw new IOException(
                    "the replica here lacks blocks at " + offset + ", and " + writer.agent() + " does not supply them: "
                            + why.getMessage(),
                    e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while blocks are fetched", e);
        }
    }
}
