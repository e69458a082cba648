package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.BadRecordException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.DuplexSocket;
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

/** A candidate copies the end of a sealed peer's journal behind its own. One use, on the caller's thread. */
final class TailFetch extends FrameHandler {

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);

    /** Without a byte for so long the peer is taken for dead. */
    private static final Duration SILENCE = Duration.ofSeconds(5);

    private final DuplexSocket s;
    private final Journal into;
    private final long to;
    private @Nullable String failure = "the peer closed the connection";

    private TailFetch(DuplexSocket s, Journal into, long to) {
        this.s = s;
        this.into = into;
        this.to = to;
    }

    static void fetch(
            InetSocketAddress peer, UUID volume, long term, long from, long to, Journal into, Duration deadline)
            throws IOException {
        if (from == to) {
            return;
        }
        long until = System.nanoTime() + deadline.toNanos();
        DuplexSocket s = DuplexSocket.connect(peer, CONNECT_TIMEOUT, "fetch-" + peer, 64 << 10);
        TailFetch fetch = new TailFetch(s, into, to);
        s.send(Frame.FETCH.of(Fetch.newBuilder()
                .setVolumeUuid(volume.toString())
                .setTerm(term)
                .setFrom(from)
                .setTo(to)
                .build()
                .toByteArray()));
        s.deadline(SILENCE, "the tail was to come");
        s.run(fetch);
        String failed = fetch.failure;
        if (failed != null) {
            throw new IOException("fetching [" + from + ", " + to + ") from " + peer + ": " + failed);
        }
        if (System.nanoTime() > until) {
            throw new IOException("fetching [" + from + ", " + to + ") took longer than " + deadline);
        }
    }

    @Override
    void frame(Frame type, ByteBuffer body) throws RefusedException {
        if (type != Frame.REFUSED) {
            throw new RefusedException(Why.BAD_MESSAGE, type + " is no answer to FETCH");
        }
        try {
            failure = Refusal.parseFrom(body).getMessage();
        } catch (InvalidProtocolBufferException e) {
            failure = "refused, and the reason cannot be read";
        }
        s.close("refused");
    }

    @Override
    void run(long from, int bytes, long committed, long syncUpTo, long floor) throws RefusedException {
        if (from != into.landed()) {
            throw new RefusedException(Why.BAD_MESSAGE, "a run at " + from + ", not at " + into.landed());
        }
        s.deadline(SILENCE, "the rest of the tail was to come");
    }

    @Override
    ByteBuffer land(long position, int atMost) throws IOException {
        return into.landing(position, atMost);
    }

    @Override
    void landed(int bytes) throws IOException, RefusedException {
        try {
            into.publish(bytes);
        } catch (BadRecordException e) {
            throw new RefusedException(Why.BAD_MESSAGE, String.valueOf(e.getMessage()));
        }
        if (into.end() >= to) {
            failure = null;
            s.close("the tail is here");
        }
    }

    @Override
    void handled() {}

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
