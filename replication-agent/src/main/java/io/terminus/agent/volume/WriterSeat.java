package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** Where the writer of a term sits, while there is one here. Any thread, but that {@link #open} is called under the fence. */
final class WriterSeat {

    private final Surroundings around;
    private final KnownBlock known;
    private final CopyRate copyRate = new CopyRate();
    private final AtomicReference<@Nullable Writer> writer = new AtomicReference<>();

    WriterSeat(Surroundings around, KnownBlock known) {
        this.around = around;
        this.known = known;
    }

    @Nullable
    Writer now() {
        return writer.get();
    }

    boolean serving() {
        Writer w = writer.get();
        return w != null && w.serving();
    }

    Writer requireServing() throws RefusedException {
        Writer w = writer.get();
        if (w == null || !w.serving()) {
            throw new RefusedException(Why.NOT_READY, notServed());
        }
        return w;
    }

    VolumeClient attach(ClientReplies replies) throws Volume.NotServedException {
        Writer w = writer.get();
        if (w == null || !w.serving()) {
            throw new Volume.NotServedException(notServed());
        }
        return w.attach(replies);
    }

    private String notServed() {
        return "volume " + known.name() + " is not served by agent " + around.agent() + "; its writer is "
                + known.config().writer();
    }

    /** As {@link Volume#readForReplica}. */
    long readForReplica(long offset, ByteBuffer into) throws RefusedException, IOException {
        Writer w = requireServing();
        long size = w.config().sizeBytes();
        if (offset < 0 || offset > size - into.remaining()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "[" + offset + ", +" + into.remaining() + ") is not within the " + size + " bytes of "
                            + known.name());
        }
        long position = around.replica().readCommitted(offset, into);
        if (!w.believes()) {
            throw new RefusedException(Why.NOT_READY, "the volume's lock is not known to be held any more");
        }
        return position;
    }

    /** Puts a term's writer in place. */
    void open(VolumeConfig taken, long version, Grant granted, Writer.Owner owner) throws IOException {
        Volume.Settings settings = around.settings();
        Writer w = new Writer(
                around.replica(),
                taken,
                version,
                granted,
                settings.agent(),
                around.network(),
                settings.peerTimeout(),
                copyRate,
                settings.hooks(),
                owner);
        writer.set(w);
        w.start();
    }

    /** Looks after the members and the value block, some times a second. */
    void steward() {
        Writer w = writer.get();
        if (w != null) {
            w.steward();
        }
    }

    /** Something is durable or applied here that was not. */
    void advance() {
        Writer w = writer.get();
        if (w != null) {
            w.advance();
        }
    }

    void stop(String why) {
        Writer w = writer.get();
        if (w != null) {
            w.stop(why);
        }
    }

    void stopOlderThan(long term, String why) {
        Writer w = writer.get();
        if (w != null && w.term() < term) {
            w.stop(why);
        }
    }

    /** Returns whether it was this one that sat here; nobody does now. The volume's thread. */
    boolean leave(Writer stopped) {
        return writer.compareAndSet(stopped, null); // the next one may be sitting down
    }

    /** What a writer that is not served yet waits for; else {@code why}. */
    String detail(String why) {
        Writer w = writer.get();
        return w != null && !w.serving() && !w.isStopped() ? w.waitingFor() : why;
    }

    CopyRate copyRate() {
        return copyRate;
    }
}
