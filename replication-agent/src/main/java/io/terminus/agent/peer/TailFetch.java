package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.volume.Inbound;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.proto.agent.v1.Fetch;
import io.terminus.proto.agent.v1.Refusal;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** A candidate copies the end of a sealed peer's journal behind its own, as a stream of its own term: a newer term ends it
 * like any other. One use, on the caller's thread. */
final class TailFetch extends FrameHandler {

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);

    /** Without a byte for so long the peer is taken for dead. */
    private static final Duration SILENCE = Duration.ofSeconds(5);

    private static final long SILENCE_NOTED_NANOS = 500_000_000;

    private final DuplexSocket s;
    private final Inbound into;
    private final long to;
    private final long untilNanos;
    private long heardAtNanos = System.nanoTime();
    private @Nullable String failure = "the peer closed the connection";

    private TailFetch(DuplexSocket s, Inbound into, long to, long untilNanos) {
        this.s = s;
        this.into = into;
        this.to = to;
        this.untilNanos = untilNanos;
    }

    static void fetch(
            InetSocketAddress peer,
            UUID volume,
            long from,
            long to,
            Inbound into,
            Duration deadline,
            LinkSettings settings,
            String agent)
            throws IOException {
        if (from == to) {
            return;
        }
        long until = System.nanoTime() + deadline.toNanos();
        DuplexSocket s = settings.connect(peer, agent, CONNECT_TIMEOUT, "fetch-" + peer, 64 << 10);
        TailFetch fetch = new TailFetch(s, into, to, until);
        s.send(Frame.FETCH.of(Fetch.newBuilder()
                .setVolumeUuid(volume.toString())
                .setTerm(into.term())
                .setFrom(from)
                .setTo(to)
                .setAbilities(Abilities.of(settings).toProto())
                .build()
                .toByteArray()));
        s.deadline(SILENCE, "the tail was to come");
        s.run(fetch);
        String failed = fetch.failure;
        if (failed != null) {
            throw new IOException("fetching [" + from + ", " + to + ") from " + peer + ": " + failed);
        }
    }

    @Override
    void frame(Frame type, ByteBuffer body) throws RefusedException {
        if (type != Frame.REFUSED) {
            throw new RefusedException(Why.BAD_MESSAGE, type + " is no answer to FETCH");
        }
        try {
            failure = Messages.words(Refusal.parseFrom(body).getMessage());
        } catch (InvalidProtocolBufferException e) {
            failure = "refused, and the reason cannot be read";
        }
        s.close("refused");
    }

    @Override
    void run(long from, int bytes, long committed, long syncUpTo, long floor) throws RefusedException {
        if (from > to || bytes > to - from) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a run [" + from + ", +" + bytes + ") reaches beyond " + to + ", which was asked for");
        }
    }

    @Override
    ByteBuffer land(long position, int atMost) throws RefusedException {
        return into.landing(position, atMost);
    }

    @Override
    void landed(int bytes) throws RefusedException {
        into.landed(bytes);
        if (into.progress().received() >= to) {
            failure = null;
            s.close("the tail is here");
        }
    }

    /** Whatever came was heard; a slow link takes longer for one run than a peer may be silent. */
    @Override
    void handled() throws IOException {
        long now = System.nanoTime();
        if (now > untilNanos) {
            throw new IOException("it takes longer than it may");
        }
        if (now - heardAtNanos > SILENCE_NOTED_NANOS) {
            heardAtNanos = now;
            s.deadline(SILENCE, "the rest of the tail was to come");
        }
    }

    @Override
    void refused(RefusedException why) {
        failure = why.getMessage();
        s.close(String.valueOf(why.getMessage()));
    }

    @Override
    public void closed(String why, @Nullable Throwable cause) {
        if (failure != null && cause != null) {
            failure = why;
        }
    }
}
