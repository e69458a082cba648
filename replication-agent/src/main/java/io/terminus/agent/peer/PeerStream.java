package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.github.resilience4j.core.IntervalFunction;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.DuplexSocket.Sent;
import io.terminus.agent.peer.Abilities.Agreement;
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
 * bounded by a {@link SendWindow}, so that what is told between them, and the peer's answer, come in time on any link.
 */
final class PeerStream implements PeerNetwork.Stream {

    private static final Logger LOG = LoggerFactory.getLogger(PeerStream.class);

    private static final int RUN_BYTES = FrameHandler.MAX_RUN_BYTES;

    /**
     * A run is as long as the window has room, but not shorter than this part of it, so that a full window is not filled up by
     * crumbs; and not so short that its frame counts.
     */
    private static final int WINDOW_RUNS = 16;

    private static final int LEAST_RUN_BYTES = 32 << 10;

    /** Below this a copying write is as cheap as sendfile, and goes out in one packet with its frame. */
    private static final int GATHERED_BYTES = 16 << 10;

    /** Sent and not acknowledged: what one client that writes one block at a time has in flight. */
    private static final int SMALL_BYTES = 8 << 10;

    /** With nothing to send, the peer is told at least this often where things stand. */
    private static final long STATUS_NANOS = 400_000_000;

    private static final long SEND_QUEUE_BYTES = 4L << 20;
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);
    private static final Duration GREETING_TIMEOUT = Duration.ofSeconds(5);

    /** A replica that begins anew syncs its image and its superblock first, and saves its tail. */
    private static final Duration REBUILD_TIMEOUT = Duration.ofSeconds(60);

    private static final long REBUILD_RETRY_MILLIS = 5_000;

    /** A deadline is moved no more often than this, for it costs more than to look at the time. */
    private static final long SILENCE_NOTED_NANOS = 500_000_000;

    private static final long TURN_WAIT_NANOS = 50_000;

    private final PeerCursor cursor;
    private final LinkSettings settings;
    private final Abilities abilities;
    private final SendWindow window;
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

    /** What the peer had when it last refused a message as bad. Of the connection's thread. */
    private long badBehind = -1;

    /** Of the bytes sent on this connection, as many have come, as the peer said last. */
    private volatile long countedThere;

    /** The journal there has room for records up to here, as it said last. */
    private volatile long landsThere;

    /** The newest item of a copy on this connection that is, or is about to be, with the socket. */
    private volatile long copySequence;

    // Owned by whoever has the sending flag; others look at the first two.
    private volatile boolean counted;
    private volatile long sentBytes;
    private boolean packs;
    private @Nullable RunPacker packer;
    private long statusSentNanos;
    private long toldCommitted;
    private long toldSync;
    private long toldConfig;
    private long toldFloor;
    private final ByteBuffer copyHead = ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.COPY_LEAST_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN);

    PeerStream(PeerCursor cursor, LinkSettings settings) {
        this.cursor = cursor;
        this.settings = settings;
        this.abilities = Abilities.of(settings);
        this.window = new SendWindow(settings.peerTimeout().toNanos());
        this.name = "peer-" + cursor.address().agent();
        this.connector = Thread.ofPlatform().name(name).daemon().start(this::keepConnected);
    }

    @Override
    public void pump() {
        pump(true);
    }

    @Override
    public void forward() {
        pump(false);
    }

    private void pump(boolean copies) {
        while (ready && sending.compareAndSet(false, true)) {
            try {
                sendWhatThereIs(copies);
            } catch (RuntimeException e) {
                // Whoever pumps must not suffer from this peer: a client's thread, or another peer's.
                sayBegunAnew(e);
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
            if (!copies && !moreToSend()) {
                leaveToOwner(); // who offered a copy meanwhile may have found this thread sending
                return;
            }
        }
    }

    private void leaveToOwner() {
        DuplexSocket s = socket;
        if (s != null) {
            s.wakeOwner();
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

    /** A peer that is slow loses its place when the journal is needed, which the next greeting finds out; nothing else should come here. */
    private void sayBegunAnew(RuntimeException e) {
        Journal journal = cursor.journal();
        long next = cursor.sentTo();
        long oldest = journal.oldest();
        if (next < oldest) {
            LOG.info(
                    "{}: the stream is begun anew: what comes next, at {}, is not kept any more; the journal begins at {}",
                    name,
                    next,
                    oldest);
        } else {
            LOG.error(
                    "{}: the stream is begun anew: our own bug, with everything before {} sent of a journal that holds"
                            + " [{}, {}), and room for it up to {} there",
                    name,
                    next,
                    oldest,
                    journal.end(),
                    landsThere,
                    e);
        }
    }

    private void sendWhatThereIs(boolean copies) {
        DuplexSocket s = socket;
        if (s == null) {
            return;
        }
        Journal journal = cursor.journal();
        tellNews(s);
        while (moreToSend() && s.queuedBytes() == 0) {
            long from = cursor.sentTo();
            long to = Math.min(
                    Math.min(Math.min(journal.end(), from + runBytes()), journal.segmentEnd(from)),
                    Math.min(cursor.sendLimit(), landsThere));
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
            if (copies) {
                sendOneCopy(s); // where records never cease, copies would never go otherwise
            }
        }
        if (copies) {
            sendCopies(s);
        }
        long now = System.nanoTime();
        boolean soon = cursor.committed() > toldCommitted || isFull();
        boolean due =
                cursor.syncDemand() > toldSync || now - statusSentNanos > (soon ? STATUS_NANOS / 8 : STATUS_NANOS);
        if (due && s.queuedBytes() == 0) {
            Frame.STATUS.begin(frame, Frame.STATUS_BODY_BYTES);
            frame.putLong(journal.end());
            send(s, Frame.seal(putState(frame)));
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
            if (send(s, Frame.seal(b.putLong(news.configVersion()).put(news.config())))) {
                toldConfig = news.configVersion();
                return s.queuedBytes() == 0;
            }
        }
        return false;
    }

    /** Else only when no record can go out: copies give way. */
    private void sendCopies(DuplexSocket s) {
        while (ready && !moreToSend() && hasRoom() && s.queuedBytes() == 0) {
            if (!sendOneCopy(s)) {
                return;
            }
        }
    }

    private boolean sendOneCopy(DuplexSocket s) {
        CopyItem item = s.queuedBytes() == 0 && hasRoom() ? cursor.copyToSend() : null;
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
        copySequence = Math.max(copySequence, item.sequence());
        if (!send(s, Frame.seal(copyHead, bytes), bytes.duplicate())) {
            return false;
        }
        cursor.copySent(item);
        return true;
    }

    private boolean moreToSend() {
        return ready
                && cursor.sentTo() < cursor.journal().end()
                && cursor.sentTo() < cursor.sendLimit()
                && cursor.sentTo() < landsThere
                && hasRoom();
    }

    /** There is more for the peer, and its journal has no room. */
    private boolean isFull() {
        return cursor.sentTo() >= landsThere
                && cursor.sentTo() < cursor.journal().end();
    }

    /** While the socket holds bytes back its owner goes on, once it has drained them: nobody waits for that here. */
    private boolean canSend() {
        DuplexSocket s = socket;
        return s != null
                && (moreToSend() || (ready && hasRoom() && cursor.copyToSend() != null))
                && s.queuedBytes() == 0;
    }

    private boolean hasRoom() {
        if (onTheWay() < window.bytes()) {
            return true;
        }
        window.full();
        return false;
    }

    /** Sent and not acknowledged. A peer that does not count says only of records that they have come. */
    private long onTheWay() {
        return counted ? sentBytes - countedThere : cursor.sentTo() - cursor.received();
    }

    private long runBytes() {
        long least = Math.max(LEAST_RUN_BYTES, window.bytes() / WINDOW_RUNS);
        return Math.min(RUN_BYTES, Math.max(least, window.bytes() - onTheWay()));
    }

    private boolean sendRun(DuplexSocket s, Journal journal, long from, long to) {
        RunPacker p = packs ? packer : null;
        if (p != null && p.tries(to - from)) {
            long part = Math.min(to, from + RunPacker.MAX_RUN_BYTES);
            ByteBuffer packed = p.pack(journal.bytes(from, part));
            if (packed != null) {
                return sendPacked(s, from, part, packed);
            }
        }
        if (p != null) {
            p.wentRaw(to - from);
        }
        Frame.RUN.begin(frame, Frame.RUN_BODY_BYTES);
        frame.putLong(from).putInt((int) (to - from)).putInt(0);
        Frame.seal(putState(frame));
        statusSentNanos = System.nanoTime();
        // Under TLS every byte passes through here anyway.
        boolean gathered = to - from <= GATHERED_BYTES || settings.tls() != null;
        boolean sent = gathered
                ? send(s, frame, journal.bytes(from, to))
                : send(s, frame) && send(s, new JournalRun(journal, from, to));
        if (sent) {
            cursor.sent(to, statusSentNanos, gathered);
            window.sent(counted ? sentBytes : to, statusSentNanos);
        }
        return sent;
    }

    private boolean sendPacked(DuplexSocket s, long from, long to, ByteBuffer packed) {
        int packedBytes = packed.remaining();
        Frame.PACKED.beginHead(frame, Frame.RUN_BODY_BYTES, packedBytes);
        frame.putLong(from).putInt((int) (to - from)).putInt(packedBytes);
        Frame.seal(putState(frame), packed);
        statusSentNanos = System.nanoTime();
        if (!send(s, frame, packed)) {
            return false;
        }
        cursor.sentPacked(to, statusSentNanos, packedBytes);
        window.sent(counted ? sentBytes : to, statusSentNanos);
        return true;
    }

    /** Returns false if the socket is closed. */
    private boolean send(DuplexSocket s, ByteBuffer... buffers) {
        long bytes = 0;
        for (ByteBuffer b : buffers) {
            bytes += b.remaining();
        }
        count(bytes);
        return s.send(buffers) != Sent.CLOSED;
    }

    private boolean send(DuplexSocket s, JournalRun run) {
        count(run.remainingBytes());
        return s.send(run) != Sent.CLOSED;
    }

    /** Before the bytes are sent: the peer may say that it has them before the send returns. */
    private void count(long bytes) {
        long before = sentBytes;
        sentBytes = before + bytes;
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
                DuplexSocket s = settings.connect(
                        Addresses.parse(cursor.address().peer()),
                        cursor.address().agent(),
                        CONNECT_TIMEOUT,
                        name,
                        SEND_QUEUE_BYTES);
                cursor.somebodyThere();
                socket = s;
                s.deadline(GREETING_TIMEOUT, "the peer was to answer the greeting");
                Acks acks = new Acks(s);
                acks.say(Frame.HELLO.of(
                        Messages.hello(cursor.greeting(), abilities).toByteArray()));
                if (closed) {
                    s.close("the term ended");
                }
                s.run(acks);
                // A full disk takes the greeting each time, and nothing after it.
                if (acks.accepted && !acks.refusedForSpace) {
                    attempt = 1;
                }
            } catch (IOException e) {
                if (e instanceof ConnectException) {
                    cursor.nobodyThere();
                }
                cursor.lost("cannot connect to " + cursor.address().peer() + ": " + e.getMessage());
            } catch (RuntimeException | Error e) {
                // An Error as well: this thread is the peer's only way to a connection for the rest of the term.
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
        while (!sending.compareAndSet(false, true)) {
            LockSupport.parkNanos(this, TURN_WAIT_NANOS);
        }
        // The flag stays: nobody sends any more.
        RunPacker p = packer;
        packer = null;
        if (p != null) {
            p.close();
        }
    }

    /** What the peer says. Runs on the connection's thread. */
    private final class Acks extends FrameHandler {
        private final DuplexSocket s;
        private boolean accepted;
        private @Nullable RebuildPlan plan;
        private boolean progressed;
        private boolean refusedForSpace;
        private long said;
        private long quietSinceNanos;
        private long received;
        private long durable;
        private long applied;
        private long copiesWritten;
        private long copiesDurable;

        Acks(DuplexSocket s) {
            this.s = s;
        }

        /** Before the stream begins this thread alone sends. */
        void say(ByteBuffer frame) {
            said += frame.remaining();
            s.send(frame);
        }

        @Override
        public void awake() {
            if (canSend()) {
                pump();
            }
        }

        /** A client that waits for a small write waits for this acknowledgement; with many in flight others are due first. */
        @Override
        public boolean expectsBytesSoon() {
            long unacknowledged = cursor.sentTo() - cursor.received();
            return ready && unacknowledged > 0 && unacknowledged <= SMALL_BYTES;
        }

        @Override
        void frame(Frame type, ByteBuffer body) throws IOException, RefusedException {
            switch (type) {
                case ACCEPTED -> {
                    requireAccepted(false, type);
                    accepted(body);
                }
                case NEEDS -> {
                    requireAccepted(false, type);
                    needs(Messages.needs(body));
                }
                case REFUSED -> refusedByPeer(body);
                case ACK -> {
                    requireAccepted(true, type);
                    acknowledged(body);
                }
                case COMPARED -> {
                    requireAccepted(true, type);
                    long sequence = copyItem("compared", body.getLong());
                    long blocks = body.getLong();
                    if (blocks >>> CopyItem.MAX_BLOCKS != 0) {
                        throw new RefusedException(
                                Why.BAD_MESSAGE, "COMPARED names blocks behind the range of item " + sequence);
                    }
                    cursor.compared(sequence, blocks);
                }
                case HELLO, RUN, STATUS, CONFIG, FETCH, REBUILD, COPY, PACKED ->
                    throw new RefusedException(Why.BAD_MESSAGE, "a replica does not send " + type);
            }
        }

        private void requireAccepted(boolean expected, Frame type) throws RefusedException {
            if (accepted != expected) {
                throw new RefusedException(
                        Why.BAD_MESSAGE, type + (accepted ? " after" : " before") + " the greeting was accepted");
            }
        }

        private void needs(Reception.Needs needs) throws RefusedException {
            if (plan != null) {
                throw new RefusedException(Why.BAD_MESSAGE, "a second NEEDS on one connection");
            }
            long end = cursor.journal().end();
            Positions.require("the common end in NEEDS", needs.common(), 0, end, "there this journal ends");
            if (needs.since() != -1) {
                Positions.require("the whole position in NEEDS", needs.since(), 0, end, "there this journal ends");
            }
            RebuildPlan made = cursor.needs(needs);
            plan = made;
            if (made == null) {
                s.close("not copied to now: " + Messages.words(needs.why()));
            } else {
                s.deadline(REBUILD_TIMEOUT, "the peer was to begin anew");
                say(Frame.REBUILD.of(Messages.rebuild(made).toByteArray()));
            }
        }

        private void accepted(ByteBuffer body) throws RefusedException {
            Accepted a;
            try {
                a = Accepted.parseFrom(body);
            } catch (InvalidProtocolBufferException e) {
                throw new RefusedException(Why.BAD_MESSAGE, "not an ACCEPTED: " + e.getMessage());
            }
            Agreement spoken = abilities.agreed(a.getVersion(), a.getFeaturesList(), "agent " + a.getAgent());
            Journal journal = cursor.journal();
            received = Positions.require(
                    "received of " + a.getAgent(),
                    a.getReceived(),
                    journal.oldest(),
                    journal.end(),
                    "that is what this journal holds");
            durable = Positions.require("durable", a.getDurable(), 0, received, "so much is received");
            applied = Positions.require("applied", a.getApplied(), 0, received, "so much is received");
            RebuildPlan asked = plan;
            if (asked != null && asked.at() != received) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        a.getAgent() + " begins at " + received + ", and was asked to begin at " + asked.at());
            }
            if (spoken.credit()) {
                Positions.require("the room of " + a.getAgent(), a.getLandsUpTo());
            }
            if (a.getJournalBytes() < 0) {
                throw new RefusedException(Why.BAD_MESSAGE, "a journal of " + a.getJournalBytes() + " bytes");
            }
            // Who sent on the connection before may not have noticed yet that it is gone, and is to note nothing on
            // this one.
            while (!sending.compareAndSet(false, true)) {
                if (closed) {
                    return;
                }
                LockSupport.parkNanos(PeerStream.this, TURN_WAIT_NANOS);
            }
            try {
                begin(a, spoken);
            } finally {
                sending.set(false);
            }
            quietSinceNanos = System.nanoTime();
            s.deadline(settings.silence(), "the peer was to be heard");
            LOG.info(
                    "{}: streaming from position {}, version {}, features {}",
                    name,
                    received,
                    spoken.version(),
                    spoken.features());
            pump();
        }

        /** With the sending flag. */
        private void begin(Accepted a, Agreement spoken) {
            accepted = true;
            toldCommitted = 0;
            toldSync = 0;
            toldConfig = 0;
            toldFloor = 0;
            copySequence = 0;
            refusedForLong = false;
            counted = spoken.credit();
            sentBytes = said;
            landsThere = counted ? a.getLandsUpTo() : Long.MAX_VALUE;
            countedThere = said; // it has read all of that, or would not have answered
            packs = spoken.compression() != Compression.NONE;
            if (packer == null) {
                RunCodec codec = spoken.compression().codec();
                packer = codec == null ? null : new RunPacker(codec);
            }
            cursor.accepted(a.getIncarnation(), received, durable, applied, a.getJournalBytes());
            window.startOver(counted ? said : received);
            ready = !closed;
        }

        /** Cumulative: on one connection nothing falls, and nothing is ahead of what can have been sent. */
        private void acknowledged(ByteBuffer body) throws RefusedException {
            long end = cursor.journal().end();
            String why = "between what it said last and this journal's end";
            received = Positions.require("received", body.getLong(), received, end, why);
            durable = Positions.require("durable", body.getLong(), durable, end, why);
            applied = Positions.require("applied", body.getLong(), applied, end, why);
            if (body.hasRemaining()) {
                long written = body.getLong();
                long writtenDurably = body.getLong();
                if (plan != null || copySequence > 0) { // else they are of a copy on a connection before
                    copiesWritten = copyItem("written", written);
                    copiesDurable = copyItem("durable", writtenDurably);
                }
            }
            if (body.hasRemaining() && counted) {
                long came = body.getLong();
                if (came < countedThere || came > sentBytes) {
                    throw new RefusedException(
                            Why.BAD_MESSAGE,
                            came + " bytes are said to have come, after " + countedThere + " before; sent were "
                                    + sentBytes);
                }
                countedThere = came;
                landsThere = Math.max(landsThere, Positions.require("the room", body.getLong()));
            }
            progressed = true;
        }

        private long copyItem(String what, long sequence) throws RefusedException {
            if (sequence < 0 || sequence > copySequence) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "item " + sequence + " of a copy is said to be " + what + "; sent were " + copySequence);
            }
            return sequence;
        }

        private void refusedByPeer(ByteBuffer body) throws IOException {
            Refusal r = Refusal.parseFrom(body);
            String words = Messages.words(r.getMessage());
            switch (Why.of(r.getWhy())) {
                case FENCED -> cursor.fenced(words);
                case NEEDS_COPY, DIVERGED, FAILED, OTHER_SHAPE, OTHER_VERSION -> {
                    refusedForLong = true;
                    cursor.cannotFollow(words);
                }
                case BAD_MESSAGE -> {
                    // Once, it may have been the wire. At the same place again it is what this journal holds.
                    boolean again = cursor.received() == badBehind;
                    badBehind = cursor.received();
                    boolean damagedHere = again && cursor.refusedAgain(words);
                    refusedForLong = again && !damagedHere;
                    if (!damagedHere) {
                        cursor.lost(words);
                    }
                }
                case NO_SPACE -> {
                    refusedForSpace = true;
                    cursor.withoutSpace(words);
                }
                case UNKNOWN_VOLUME, NOT_READY, OTHER_CONFIG -> cursor.lost(words);
            }
            s.close("refused: " + words);
        }

        @Override
        void handled() {
            if (progressed) {
                progressed = false;
                long now = System.nanoTime();
                if (now - quietSinceNanos > SILENCE_NOTED_NANOS) {
                    quietSinceNanos = now;
                    s.deadline(settings.silence(), "the peer was to be heard");
                }
                window.acknowledged(counted ? countedThere : received, now);
                cursor.progressed(received, durable, applied, isFull());
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
