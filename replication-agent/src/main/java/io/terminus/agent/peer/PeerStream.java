package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.github.resilience4j.core.IntervalFunction;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.DuplexSocket.Sent;
import io.terminus.agent.volume.CopyItem;
import io.terminus.agent.volume.PeerCursor;
import io.terminus.agent.volume.PeerNetwork;
import io.terminus.agent.volume.RebuildPlan;
import io.terminus.agent.volume.Reception;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Refusal;
import java.io.IOException;
import java.net.ConnectException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Feeds one peer: keeps a connection, sends what the journal has beyond the cursor, hears acknowledgements.
 *
 * <p>Whoever has published bytes calls {@link #pump}; one caller at a time is elected by a flag and sends for all, and
 * looks once more after it has let go of the flag, so nothing published is left behind. A send never blocks: what the
 * socket does not take is drained by the connection's own thread, which then pumps on. Bytes sent and not acknowledged are
 * bounded by {@link #WINDOW_BYTES}.
 */
final class PeerStream implements PeerNetwork.Stream {

    private static final Logger LOG = LoggerFactory.getLogger(PeerStream.class);

    /** Sent and not acknowledged, at most. */
    private static final long WINDOW_BYTES = 16L << 20;

    private static final int RUN_BYTES = 1 << 20;

    /** Below this a copying write is as cheap as sendfile, and goes out in one packet with its frame. */
    private static final int GATHERED_BYTES = 16 << 10;

    /** With nothing to send, the peer is told at least this often where things stand. */
    private static final long STATUS_NANOS = 400_000_000;

    private static final long SEND_QUEUE_BYTES = 4L << 20;
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);
    private static final Duration GREETING_TIMEOUT = Duration.ofSeconds(5);

    /** A replica that begins anew syncs its image and its superblock first, and saves its tail. */
    private static final Duration REBUILD_TIMEOUT = Duration.ofSeconds(60);

    private static final long REBUILD_RETRY_MILLIS = 5_000;

    private final PeerCursor cursor;
    private final String name;
    private final IntervalFunction backoff = IntervalFunction.ofExponentialRandomBackoff(50, 1.6, 0.3, 1_000);
    private final Thread connector;
    private final AtomicBoolean sending = new AtomicBoolean();
    private final ByteBuffer frame =
            ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.RUN_BODY_BYTES).order(ByteOrder.LITTLE_ENDIAN);

    private volatile @Nullable DuplexSocket socket;
    private volatile boolean ready;
    private volatile boolean closed;
    private volatile boolean refusedForLong;

    // Owned by whoever has the sending flag.
    private long statusSentNanos;
    private long toldCommitted;
    private long toldSync;
    private long toldConfig;
    private long toldFloor;
    private final ByteBuffer copyHead = ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.COPY_LEAST_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN);

    PeerStream(PeerCursor cursor) {
        this.cursor = cursor;
        this.name = "peer-" + cursor.address().agent();
        this.connector = Thread.ofPlatform().name(name).daemon().start(this::keepConnected);
    }

    @Override
    public void pump() {
        while (ready && sending.compareAndSet(false, true)) {
            try {
                sendWhatThereIs();
            } catch (RuntimeException e) {
                // Whoever pumps must not suffer from this peer: a client's thread, or another peer's.
                LOG.warn("{}: the stream is begun anew: {}", name, e.toString());
                ready = false;
                DuplexSocket s = socket;
                if (s != null) {
                    s.fail(e);
                }
            } finally {
                sending.set(false);
            }
            if (!canSend()) {
                return;
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        ready = false;
        DuplexSocket s = socket;
        if (s != null) {
            s.close("the term ended");
        }
        LockSupport.unpark(connector);
    }

    // ---- sending: whoever is elected

    private void sendWhatThereIs() {
        DuplexSocket s = socket;
        if (s == null) {
            return;
        }
        Journal journal = cursor.journal();
        tellNews(s);
        while (moreToSend() && s.queuedBytes() == 0) {
            long from = cursor.sentTo();
            long to = Math.min(
                    Math.min(Math.min(journal.end(), from + RUN_BYTES), journal.segmentEnd(from)), cursor.sendLimit());
            if (to <= from) {
                break; // what was told meanwhile left no room
            }
            // Behind that choice, so that who has grown the volume is heard before what was written there.
            if (!tellNews(s)) {
                break;
            }
            cursor.beforeSend();
            if (!sendRun(s, journal, from, to)) {
                return;
            }
            cursor.sent(to, statusSentNanos, to - from <= GATHERED_BYTES);
            sendOneCopy(s); // where records never cease, copies would never go otherwise
        }
        sendCopies(s);
        long now = System.nanoTime();
        boolean due = cursor.syncDemand() > toldSync
                || now - statusSentNanos > (cursor.committed() > toldCommitted ? STATUS_NANOS / 8 : STATUS_NANOS);
        if (due && s.queuedBytes() == 0) {
            Frame.STATUS.begin(frame, Frame.STATUS_BODY_BYTES);
            frame.putLong(journal.end());
            s.send(Frame.seal(putState(frame)));
            statusSentNanos = now;
        }
    }

    /** False if something else has to wait for it: it is not told yet, or not gone yet. */
    private boolean tellNews(DuplexSocket s) {
        PeerCursor.Greeting news = cursor.configNewerThan(toldConfig);
        if (news == null) {
            return true;
        }
        if (s.queuedBytes() == 0) {
            ByteBuffer b = Frame.CONFIG.begin(8 + news.config().length);
            if (s.send(Frame.seal(b.putLong(news.configVersion()).put(news.config()))) != Sent.CLOSED) {
                toldConfig = news.configVersion();
                return s.queuedBytes() == 0;
            }
        }
        return false;
    }

    /** Else only when no record can go out: copies give way. */
    private void sendCopies(DuplexSocket s) {
        while (ready && !moreToSend() && s.queuedBytes() == 0) {
            if (!sendOneCopy(s)) {
                return;
            }
        }
    }

    private boolean sendOneCopy(DuplexSocket s) {
        CopyItem item = s.queuedBytes() == 0 ? cursor.copyToSend() : null;
        if (item == null || !tellNews(s)) {
            return false;
        }
        ByteBuffer bytes = item.bytes() == null ? ByteBuffer.allocate(0) : item.bytes();
        Frame.COPY.beginHead(copyHead, Frame.COPY_LEAST_BYTES, bytes.remaining());
        copyHead.putLong(item.sequence())
                .putLong(item.position())
                .putLong(item.offset())
                .putLong(item.length())
                .putLong(cursor.committed())
                .putInt(item.kind().code())
                .putInt(0);
        if (s.send(Frame.seal(copyHead, bytes), bytes.duplicate()) == Sent.CLOSED) {
            return false;
        }
        cursor.copySent(item);
        return true;
    }

    private boolean moreToSend() {
        return ready
                && cursor.sentTo() < cursor.journal().end()
                && cursor.sentTo() - cursor.received() < WINDOW_BYTES
                && cursor.sentTo() < cursor.sendLimit();
    }

    /** While the socket holds bytes back its owner goes on, once it has drained them: nobody waits for that here. */
    private boolean canSend() {
        DuplexSocket s = socket;
        return s != null && (moreToSend() || (ready && cursor.copyToSend() != null)) && s.queuedBytes() == 0;
    }

    private boolean sendRun(DuplexSocket s, Journal journal, long from, long to) {
        Frame.RUN.begin(frame, Frame.RUN_BODY_BYTES);
        frame.putLong(from).putInt((int) (to - from)).putInt(0);
        Frame.seal(putState(frame));
        statusSentNanos = System.nanoTime();
        if (to - from <= GATHERED_BYTES) {
            return s.send(frame, journal.bytes(from, to)) != Sent.CLOSED;
        }
        return s.send(frame) != Sent.CLOSED && s.send(new JournalRun(journal, from, to)) != Sent.CLOSED;
    }

    private ByteBuffer putState(ByteBuffer b) {
        toldCommitted = cursor.committed();
        toldSync = cursor.syncDemand();
        // A replica that left the set may move the floor: first the others have to know that it did, and mark for it.
        long floor = cursor.floor();
        if (cursor.configNewerThan(toldConfig) == null) {
            toldFloor = floor;
        }
        return b.putLong(toldCommitted).putLong(toldSync).putLong(toldFloor);
    }

    // ---- the connection

    private void keepConnected() {
        int attempt = 1;
        while (!closed) {
            try {
                DuplexSocket s = DuplexSocket.connect(
                        Addresses.parse(cursor.address().peer()), CONNECT_TIMEOUT, name, SEND_QUEUE_BYTES);
                cursor.somebodyThere();
                socket = s;
                s.deadline(GREETING_TIMEOUT, "the peer was to answer the greeting");
                s.send(Frame.HELLO.of(Messages.hello(cursor.greeting()).toByteArray()));
                if (closed) {
                    s.close("the term ended");
                }
                Acks acks = new Acks(s);
                s.run(acks);
                if (acks.accepted) {
                    attempt = 1;
                }
            } catch (IOException e) {
                if (e instanceof ConnectException) {
                    cursor.nobodyThere();
                }
                cursor.lost("cannot connect to " + cursor.address().peer() + ": " + e.getMessage());
            } catch (RuntimeException e) {
                LOG.error("{}: our own bug", name, e);
                cursor.lost("internal error: " + e);
            }
            ready = false;
            socket = null;
            if (!closed) {
                long pauseMillis = refusedForLong ? REBUILD_RETRY_MILLIS : backoff.apply(attempt++);
                LockSupport.parkNanos(this, pauseMillis * 1_000_000);
            }
        }
    }

    /** What the peer says. Runs on the connection's thread. */
    private final class Acks extends FrameHandler {
        private final DuplexSocket s;
        private boolean accepted;
        private boolean progressed;
        private long received;
        private long durable;
        private long applied;
        private long copiesWritten;
        private long copiesDurable;

        Acks(DuplexSocket s) {
            this.s = s;
        }

        @Override
        public void awake() {
            if (canSend()) {
                pump();
            }
        }

        @Override
        void frame(Frame type, ByteBuffer body) throws IOException, RefusedException {
            switch (type) {
                case ACCEPTED -> accepted(body);
                case NEEDS -> needs(Messages.needs(body));
                case REFUSED -> refusedByPeer(body);
                case ACK -> {
                    received = body.getLong();
                    durable = body.getLong();
                    applied = body.getLong();
                    copiesWritten = body.getLong();
                    copiesDurable = body.getLong();
                    progressed = true;
                }
                case COMPARED -> cursor.compared(body.getLong(), body.getLong());
                case HELLO, RUN, STATUS, CONFIG, FETCH, REBUILD, COPY ->
                    throw new RefusedException(Why.BAD_MESSAGE, "a replica does not send " + type);
            }
        }

        private void needs(Reception.Needs needs) {
            RebuildPlan plan = cursor.needs(needs);
            if (plan == null) {
                s.close("not copied to now: " + needs.why());
            } else {
                s.deadline(REBUILD_TIMEOUT, "the peer was to begin anew");
                s.send(Frame.REBUILD.of(Messages.rebuild(plan).toByteArray()));
            }
        }

        private void accepted(ByteBuffer body) throws RefusedException {
            Accepted a;
            try {
                a = Accepted.parseFrom(body);
            } catch (InvalidProtocolBufferException e) {
                throw new RefusedException(Why.BAD_MESSAGE, "not an ACCEPTED: " + e.getMessage());
            }
            if (a.getReceived() > cursor.journal().end()) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        a.getAgent() + " says it holds everything before " + a.getReceived()
                                + ", but the journal ends at "
                                + cursor.journal().end());
            }
            s.noDeadline();
            accepted = true;
            toldCommitted = 0;
            toldSync = 0;
            toldConfig = 0;
            toldFloor = 0;
            refusedForLong = false;
            cursor.accepted(a.getIncarnation(), a.getReceived(), a.getDurable(), a.getApplied(), a.getJournalBytes());
            LOG.info("{}: streaming from position {}", name, a.getReceived());
            ready = true;
            progressed = false;
            pump();
        }

        private void refusedByPeer(ByteBuffer body) throws IOException {
            Refusal r = Refusal.parseFrom(body);
            switch (Why.of(r.getWhy())) {
                case FENCED -> cursor.fenced(r.getMessage());
                case NEEDS_COPY, DIVERGED, FAILED, OTHER_SHAPE -> {
                    refusedForLong = true;
                    cursor.cannotFollow(r.getMessage());
                }
                case UNKNOWN_VOLUME, NO_SPACE, NOT_READY, OTHER_CONFIG, BAD_MESSAGE -> cursor.lost(r.getMessage());
            }
            s.close("refused: " + r.getMessage());
        }

        @Override
        void handled() {
            if (progressed) {
                progressed = false;
                cursor.progressed(received, durable, applied);
                cursor.copied(copiesWritten, copiesDurable);
                pump();
            }
        }

        @Override
        void run(long from, int bytes, long committed, long syncUpTo, long floor) throws RefusedException {
            throw new RefusedException(Why.BAD_MESSAGE, "a replica does not send runs");
        }

        @Override
        ByteBuffer land(long position, int atMost) {
            throw new IllegalStateException("no run is taken here");
        }

        @Override
        void landed(int bytes) {
            throw new IllegalStateException("no run is taken here");
        }

        @Override
        void refused(RefusedException why) {
            s.close(String.valueOf(why.getMessage()));
        }

        @Override
        public void closed(String why, @Nullable Throwable failure) {
            ready = false;
            if (cursor.streaming() || cursor.planned()) {
                LOG.info("{}: {}", name, why);
                cursor.lost(why);
            }
        }
    }
}
