package io.terminus.agent.nbd;

import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.DuplexSocket.Sent;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import org.jspecify.annotations.Nullable;

/**
 * One client: the shell around {@link Handshake} and {@link Transmission}.
 *
 * <p>Its reader, the owner of the socket, decodes everything that one read brought, hands it to the session, tells the
 * session that this was all, and only then waits: for the socket, or for its client to take the data of its reads.
 * Answers to all else come from any thread through {@link Replies}; they are collected under a short lock and sent
 * without waiting. What is kept for a client is bounded:
 *
 * <ul>
 *   <li>unanswered requests and their payload by {@link InFlight}: at the bound the reader stops;
 *   <li>answers the client does not take by {@link #CLOGGED_BYTES} and one per request in flight: there the reader stops;
 *   <li>staged input by 2 MiB, and by one request of 32 MiB for those that have a place among {@link LargeRequests};
 *   <li>data being read by {@link #PIECE_BYTES}: larger answers leave in pieces.
 * </ul>
 */
final class Connection implements DuplexSocket.Handler, Replies {

    private static final Logger LOG = System.getLogger(Connection.class.getName());

    /** Answers that wait for a client that does not read; beyond it, it is not read from. */
    private static final int CLOGGED_BYTES = 64 << 10;

    /** Past this the socket refuses: never reached while the reader stops where it should. */
    static final long QUEUE_LIMIT_BYTES = 4 << 20;

    private static final int REPLIES_BYTES = 16 << 10;

    private static final long RELAY_RETRY_MILLIS = 200;

    /** What one read may bring in the transmission phase; a client that has not chosen an export costs less. */
    private static final int STAGED_BYTES = 512 << 10;

    /** Data is read in pieces of this, and answers to small reads are collected up to it and sent in one write. */
    private static final int PIECE_BYTES = 256 << 10;

    /** Above this a request needs a place among the large ones before its payload is read. */
    private static final int UNASKED_BYTES = ElasticBuffer.KEPT_BYTES;

    /** From here on a read is looked through for holes; sending a smaller one costs less than the question. */
    private static final int SPARSE_BYTES = 64 << 10;

    /** Smaller holes are sent as data. */
    private static final int LEAST_HOLE_BYTES = 4096;

    private final NbdServer server;
    private final DuplexSocket socket;
    private final Security security;
    private final Exports exports;
    private final Limits limits;
    private final LargeRequests largeRequests;

    // The reader's own
    private Staging staging = new Staging(Handshake.MOST_STAGED_BYTES);
    private final ReadReplies reads = new ReadReplies();
    private final Requests requests = new Requests();
    private @Nullable Handshake handshake;
    private @Nullable Transmission transmission;
    private @Nullable ClientSession session;
    private volatile @Nullable Export export;
    private List<Handshake.Selected> contexts = List.of();
    private volatile @Nullable Relay relay;
    private volatile String relayedWriter = "";
    private boolean knowsHoles;
    private boolean leaving;

    /** This connection has a place among the large requests. */
    private boolean large;

    /** It is waited for the rest of a large request, with a deadline that runs from the last byte on. */
    private boolean stalling;

    /** The reader has stopped at a bound, before a request with a payload of so many bytes. */
    private boolean busy;

    private int refusedBytes;

    // Under the lock
    private final ReentrantLock lock = new ReentrantLock();
    private final InFlight inFlight;
    private ReplyFormat format = new ReplyFormat(Dialect.SIMPLE);
    private final ByteBuffer firstReplies = ByteBuffer.allocateDirect(REPLIES_BYTES);
    private ByteBuffer replies = firstReplies;
    private boolean readerWaits;

    /** A part of an answer has left, and its rest follows: nothing else may come between, so replies are collected. */
    private boolean withinAnAnswer;

    private volatile String exportName = "";
    private volatile boolean shuttingDown;

    Connection(
            NbdServer server,
            DuplexSocket socket,
            Exports exports,
            Security security,
            Limits limits,
            LargeRequests largeRequests) {
        this.server = server;
        this.socket = socket;
        this.security = security;
        this.limits = limits;
        this.largeRequests = largeRequests;
        this.inFlight = new InFlight(limits.requestsInFlight(), limits.bytesInFlight());
        this.exports = new AdmittedExports(exports, security.admission(), socket::tlsSession);
        this.handshake = new Handshake(this.exports, security, () -> shuttingDown);
        socket.deadline(limits.handshake(), "the NBD handshake was to end within " + limits.handshake());
        socket.send(ByteBuffer.wrap(Handshake.greeting()));
    }

    // ---- any thread

    /** The export this client uses; empty while it has not chosen one. */
    String exportName() {
        return exportName;
    }

    /** Requests that are not answered yet; reads are answered before the next request is looked at. */
    int requestsInFlight() {
        lock.lock();
        try {
            return inFlight.count();
        } finally {
            lock.unlock();
        }
    }

    long bufferBytes() {
        return (long) staging.capacityBytes() + reads.capacityBytes() + replies.capacity() + socket.queuedBytes();
    }

    /** Makes the reader look again whether it may go on. */
    void wake() {
        socket.wakeOwner();
    }

    /** Refuses what comes from now on, answers what is in flight, and closes. */
    void shutDown() {
        shuttingDown = true;
        socket.wakeOwner();
    }

    @Override
    public void disconnect(String why) {
        socket.close(why);
    }

    @Override
    public void done(long cookie) {
        lock.lock();
        try {
            long clientCookie = inFlight.remove(cookie);
            format.done(replyRoom(), clientCookie, inFlight.offset(cookie), false);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void failed(long cookie, Failure why) {
        tell(why);
        lock.lock();
        try {
            long clientCookie = inFlight.remove(cookie);
            format.failed(replyRoom(), clientCookie, inFlight.offset(cookie), why, false);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void flush() {
        boolean wake;
        lock.lock();
        try {
            sendReplies();
            wake = readerWaits;
            readerWaits = false;
        } finally {
            lock.unlock();
        }
        if (wake) {
            socket.wakeOwner();
        }
    }

    private void tell(Failure why) {
        Export served = export;
        if (served != null) {
            served.failed(why);
        }
    }

    private ByteBuffer replyRoom() {
        if (replies.remaining() < ReplyFormat.MOST_HEADER_BYTES) {
            if (withinAnAnswer) {
                // No more than one reply for each request in flight: the reader takes none until its answer is out.
                replies = ByteBuffer.allocate(2 * replies.capacity()).put(replies.flip());
            } else {
                sendReplies();
            }
        }
        return replies;
    }

    private void sendReplies() {
        if (replies.position() == 0 || withinAnAnswer) {
            return;
        }
        Sent sent = socket.send(replies.flip());
        replies = firstReplies.clear();
        if (sent == Sent.FULL) {
            socket.close("client does not read its replies");
        }
    }

    private void holdReplies() {
        lock.lock();
        try {
            withinAnAnswer = true;
        } finally {
            lock.unlock();
        }
    }

    private void releaseReplies() {
        lock.lock();
        try {
            if (withinAnAnswer) {
                withinAnAnswer = false;
                sendReplies();
            }
        } finally {
            lock.unlock();
        }
    }

    // ---- the reader

    @Override
    public @Nullable ByteBuffer readInto() {
        Relay to = relay;
        if (to != null) {
            return leaving ? null : to.roomForClient();
        }
        if (leaving || busy) {
            return null;
        }
        Transmission phase = transmission;
        Handshake start = handshake;
        int needed = phase != null ? phase.neededBytes() : start != null ? start.neededBytes() : 1;
        if (needed > UNASKED_BYTES && !large) {
            large = largeRequests.take(this);
            if (!large) {
                return null;
            }
        } else if (needed <= UNASKED_BYTES && large && staging.shrink()) {
            largeRequests.give(this, true);
            large = false;
        }
        ByteBuffer room = staging.room(needed);
        if (large && !stalling) {
            stalling = true;
            socket.deadline(limits.stall(), "the rest of a large request was to come within " + limits.stall());
        }
        return room;
    }

    @Override
    public void received() throws IOException {
        Relay to = relay;
        if (to != null) {
            to.clientSent();
            return;
        }
        if (stalling) {
            stalling = false;
            socket.noDeadline();
        }
        if (handshake != null) {
            negotiate(handshake);
        }
        if (transmission != null) {
            serve(transmission);
        }
    }

    @Override
    public void ended() {
        leaving = true;
        Relay to = relay;
        if (to != null) {
            to.clientEnded();
        }
    }

    /** Goes on where it had stopped, if it may, and leaves when there is nothing left to answer. */
    @Override
    public void awake() throws IOException {
        Relay to = relay;
        if (to != null) {
            if (shuttingDown) {
                to.close("server is shutting down");
            }
            to.clientAwake();
            return;
        }
        if (shuttingDown && transmission != null) {
            transmission.shutDown();
        }
        while (busy && transmission != null && mayGoOn()) {
            serve(transmission);
        }
        if ((leaving || shuttingDown) && !busy && idle()) {
            socket.closeWhenSent(leaving ? "client has left" : "server is shutting down", limits.shutdown());
        }
    }

    @Override
    public void closed(String why, @Nullable Throwable failure) {
        try {
            if (failure != null) {
                LOG.log(Level.INFO, () -> socket.name() + " was disconnected: " + why);
                if (failure instanceof RuntimeException || failure instanceof Error) {
                    LOG.log(Level.ERROR, socket.name() + " met a bug", failure);
                }
            } else {
                LOG.log(Level.DEBUG, () -> socket.name() + " ended: " + why);
            }
            Relay to = relay;
            if (to != null) {
                to.close("client has gone: " + why);
            }
            ClientSession ending = session;
            if (ending != null) {
                ending.close();
            }
        } finally {
            largeRequests.give(this, large);
            staging.close();
            reads.close();
            server.ended(this);
        }
    }

    private void negotiate(Handshake start) throws IOException {
        ByteBuffer in = staging.staged();
        while (handshake != null && !leaving && !socket.isClosed()) {
            Handshake.Step step = start.advance(in);
            if (step instanceof Handshake.Step.Relay elsewhere) {
                step = relay(start, elsewhere);
            }
            switch (step) {
                case Handshake.Step.Relay elsewhere -> relayed(elsewhere, in);
                case Handshake.Step.NeedMore needMore -> {
                    staging.taken(in);
                    return;
                }
                case Handshake.Step.Reply reply -> sendNegotiation(reply.bytes());
                case Handshake.Step.Leave leave -> leave(leave.why(), leave.last());
                case Handshake.Step.StartTls startTls -> startTls(startTls);
                case Handshake.Step.Enter enter -> enter(start, enter);
            }
        }
        staging.taken(in);
        if (transmission != null) {
            Staging larger = new Staging(STAGED_BYTES);
            larger.room(1).put(in);
            staging.close();
            staging = larger;
        }
    }

    /**
     * Opens the way to the agent that serves the export; while none does, as during a failover, looks again for some seconds.
     *
     * @return the same step if bytes may pass from here on; else what to do instead: it is served here by now, or cannot be had
     */
    private Handshake.Step relay(Handshake start, Handshake.Step.Relay step) {
        long untilNanos = System.nanoTime() + limits.relay().toNanos();
        socket.deadline(limits.relay().plus(limits.handshake()), "the NBD handshake was to go on at another agent");
        while (true) {
            String why;
            switch (exports.find(step.export())) {
                case Exports.Lookup.Elsewhere elsewhere -> {
                    try {
                        Relay opened =
                                Relay.open(socket, step, elsewhere.locator().locate(), limits.relayStep());
                        exportName = step.export();
                        relayedWriter = exports.writer(exportName);
                        relay = opened; // last: from now on others look whether the writer is still the same
                        return step;
                    } catch (IOException e) {
                        why = "volume " + step.export()
                                + " is not served by this agent, and cannot be reached at its writer: "
                                + e.getMessage();
                    }
                }
                case Exports.Lookup.Found here -> {
                    return start.advance(ByteBuffer.wrap(step.option()));
                }
                case Exports.Lookup.Unavailable unavailable -> why = unavailable.why();
                case Exports.Lookup.Unknown unknown -> {
                    return start.advance(ByteBuffer.wrap(step.option()));
                }
            }
            if (shuttingDown || socket.isClosed() || System.nanoTime() - untilNanos > 0) {
                return start.refusal(why);
            }
            try {
                Thread.sleep(RELAY_RETRY_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return start.refusal(why);
            }
        }
    }

    /** From here on bytes pass: the option first, and what the client has sent behind it. */
    private void relayed(Handshake.Step.Relay step, ByteBuffer in) {
        Relay to = relay;
        if (to == null) {
            throw new IllegalStateException("no relay to pass the option to");
        }
        exportName = step.export();
        handshake = null;
        socket.noDeadline();
        to.send(ByteBuffer.wrap(step.option()));
        to.send(in);
        in.position(in.limit());
    }

    /** Ends the connection if it is relayed to one that does not write any more. Any thread. */
    void checkWriter() {
        Relay to = relay;
        if (to != null && !exports.writer(exportName).equals(relayedWriter)) {
            to.close("the writer of " + exportName + " has changed");
        }
    }

    private void startTls(Handshake.Step.StartTls step) throws IOException {
        if (!socket.sendAndWait(ByteBuffer.wrap(step.last()))) {
            return;
        }
        SSLContext context = security.tls().orElseThrow().get();
        SSLEngine engine = context.createSSLEngine();
        engine.setUseClientMode(false);
        engine.setNeedClientAuth(true);
        engine.setEnabledProtocols(security.protocols().toArray(String[]::new));
        socket.startTls(engine);
    }

    private void enter(Handshake start, Handshake.Step.Enter enter) throws IOException {
        Export export = enter.export();
        // Before the attach: whoever stops the export now either finds this connection by its name, or was stopped
        // first.
        exportName = export.name();
        speak(enter.dialect());
        try {
            this.export = export;
            session = export.attach(this);
        } catch (DeviceException e) {
            exportName = "";
            switch (start.refusal(String.valueOf(e.getMessage()))) {
                case Handshake.Step.Reply reply -> sendNegotiation(reply.bytes());
                case Handshake.Step.Leave leave -> leave(leave.why(), leave.last());
            }
            return;
        }
        contexts = enter.contexts();
        knowsHoles = export.contexts().contains(MetaContext.ALLOCATION);
        transmission =
                new Transmission(export.sizeBytes(), export.readOnly(), enter.dialect(), !contexts.isEmpty(), requests);
        handshake = null;
        sendNegotiation(enter.welcome());
        socket.noDeadline();
    }

    private void speak(Dialect dialect) {
        lock.lock();
        try {
            format = new ReplyFormat(dialect);
        } finally {
            lock.unlock();
        }
    }

    private void leave(String why, byte[] last) throws IOException {
        LOG.log(Level.INFO, () -> socket.name() + " leaves in the handshake: " + why);
        if (last.length > 0) {
            sendNegotiation(last);
        }
        leaving = true;
    }

    /** Waits until the client took it, within the deadline of the handshake: nothing is collected for those who do not. */
    private void sendNegotiation(byte[] bytes) throws IOException {
        socket.sendAndWait(ByteBuffer.wrap(bytes));
    }

    private void serve(Transmission phase) throws IOException {
        ByteBuffer in = staging.staged();
        Transmission.Progress progress = phase.advance(in);
        staging.taken(in);
        forward();
        reads.send();
        busy = false;
        switch (progress) {
            case NEED_MORE -> {}
            case BUSY -> busy = true;
            case GOODBYE -> leaving = true;
            case BROKEN -> socket.fail(new IOException("bad request magic: this is not the NBD protocol"));
        }
    }

    /** Before anything waits: the session forwards what it has, and collected answers leave. */
    private void forward() {
        if (session != null) {
            session.endOfBatch();
        }
        flush();
    }

    private boolean mayGoOn() {
        lock.lock();
        try {
            boolean room = inFlight.admits(refusedBytes) && !clogged();
            readerWaits = !room; // checked and set under one lock: who answers next sees it, and wakes the reader
            return room;
        } finally {
            lock.unlock();
        }
    }

    private boolean clogged() {
        return socket.queuedBytes() > CLOGGED_BYTES;
    }

    private boolean idle() {
        lock.lock();
        try {
            readerWaits = inFlight.count() > 0;
            if (!readerWaits) {
                sendReplies(); // the last one may be collected, and its flush would come too late
            }
            return !readerWaits;
        } finally {
            lock.unlock();
        }
    }

    /** Decoded requests on their way to the session. */
    private final class Requests implements Transmission.Requests {

        @Override
        public boolean admits(int payloadBytes) {
            refusedBytes = payloadBytes;
            lock.lock();
            try {
                // A closed connection takes nothing more from what is staged.
                return inFlight.admits(payloadBytes) && !clogged() && !socket.isClosed();
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void write(long clientCookie, long offset, ByteBuffer payload, boolean fua) {
            attached().write(add(clientCookie, offset, payload.remaining()), offset, payload, fua);
        }

        @Override
        public void zero(long clientCookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            attached().zero(add(clientCookie, offset, 0), offset, lengthBytes, fua, mayPunch);
        }

        @Override
        public void flush(long clientCookie) {
            attached().flush(add(clientCookie, 0, 0));
        }

        @Override
        public void read(long clientCookie, long offset, int lengthBytes, boolean whole) {
            reads.read(clientCookie, offset, lengthBytes, whole);
        }

        @Override
        public void status(long clientCookie, long offset, long lengthBytes, boolean one) {
            reads.status(clientCookie, offset, lengthBytes, one);
        }

        @Override
        public void cache(long clientCookie, long offset, long lengthBytes) {
            attached().cache(offset, lengthBytes);
            nothing(clientCookie, offset, false);
        }

        @Override
        public void nothing(long clientCookie, long offset, boolean chunked) {
            lock.lock();
            try {
                format.done(replyRoom(), clientCookie, offset, chunked);
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void refuse(long clientCookie, long offset, boolean chunked, Failure why) {
            tell(why);
            lock.lock();
            try {
                format.failed(replyRoom(), clientCookie, offset, why, chunked);
            } finally {
                lock.unlock();
            }
        }

        private long add(long clientCookie, long offset, int payloadBytes) {
            lock.lock();
            try {
                return inFlight.add(clientCookie, offset, payloadBytes);
            } finally {
                lock.unlock();
            }
        }
    }

    private ClientSession attached() {
        ClientSession attached = session;
        if (attached == null) {
            throw new IllegalStateException("No session in the transmission phase");
        }
        return attached;
    }

    /**
     * Answers to reads and to questions about blocks, which the reader makes and sends itself, straight from the buffer that
     * the device filled. It waits until the client took them, so one buffer is enough, and a client that takes nothing is
     * not read from.
     *
     * <p>A large read leaves in pieces: in chunks of its own each, holes between them as such, where the client allows it;
     * else behind one header, and then a failure of a later piece comes too late for an error in a simple reply.
     */
    private final class ReadReplies implements AutoCloseable {

        private static final int BUFFER_BYTES = PIECE_BYTES + 4096;

        private final ElasticBuffer elastic = new ElasticBuffer(0, BUFFER_BYTES);
        private final Extents extents = new Extents();

        /** What is collected ends within an answer. */
        private boolean unfinished;

        void read(long cookie, long offset, int lengthBytes, boolean whole) {
            boolean inPieces = format.chunked() && !whole;
            if (inPieces && knowsHoles && lengthBytes >= SPARSE_BYTES) {
                sparse(cookie, offset, lengthBytes);
            } else if (inPieces || lengthBytes <= PIECE_BYTES) {
                data(cookie, offset, offset, offset + lengthBytes, offset + lengthBytes);
            } else {
                stream(cookie, offset, lengthBytes);
            }
        }

        void status(long cookie, long offset, long lengthBytes, boolean one) {
            for (int i = 0; i < contexts.size(); i++) {
                Handshake.Selected asked = contexts.get(i);
                extents.start(lengthBytes, one ? 1 : Extents.MOST);
                try {
                    attached().status(asked.context(), offset, lengthBytes, extents);
                } catch (DeviceException e) {
                    failed(cookie, offset, e);
                    return;
                }
                if (extents.count() == 0) {
                    throw new IllegalStateException(
                            asked.context().name() + " says nothing about the " + lengthBytes + " bytes at " + offset);
                }
                ByteBuffer reply =
                        room(ReplyFormat.MOST_HEADER_BYTES + extents.count() * ReplyFormat.MOST_EXTENT_BYTES);
                format.status(reply, cookie, offset, asked.id(), extents, i == contexts.size() - 1);
            }
        }

        /** Holes first, data afterwards: what is written in between is seen in part, as it is without holes. */
        private void sparse(long cookie, long offset, int lengthBytes) {
            extents.start(lengthBytes, Extents.MOST);
            try {
                attached().status(MetaContext.ALLOCATION, offset, lengthBytes, extents);
            } catch (DeviceException e) {
                failed(cookie, offset, e);
                return;
            }
            long end = offset + lengthBytes;
            long dataFrom = offset;
            long at = offset;
            for (int i = 0; i < extents.count(); i++) {
                int length = (int) extents.lengthBytes(i);
                if ((extents.flags(i) & MetaContext.ZERO) != 0 && length >= LEAST_HOLE_BYTES) {
                    if (dataFrom < at && !data(cookie, offset, dataFrom, at, end)) {
                        return;
                    }
                    format.hole(room(ReplyFormat.MOST_HEADER_BYTES), cookie, offset, at, length, at + length == end);
                    dataFrom = at + length;
                }
                at += length;
            }
            if (dataFrom < end) {
                data(cookie, offset, dataFrom, end, end);
            }
        }

        /** A chunk for each piece of [from, to). Returns whether the answer may go on. */
        private boolean data(long cookie, long offset, long from, long to, long answerEnd) {
            for (long at = from; at < to; ) {
                int length = (int) Math.min(PIECE_BYTES, to - at);
                ByteBuffer reply = room(ReplyFormat.MOST_HEADER_BYTES + length);
                int start = reply.position();
                format.data(reply, cookie, offset, at, length, at + length == answerEnd);
                try {
                    fill(reply, at, length);
                } catch (DeviceException e) {
                    reply.position(start);
                    failed(cookie, offset, e);
                    return false;
                }
                at += length;
                if (socket.isClosed()) {
                    return false;
                }
            }
            return true;
        }

        /** All pieces behind one header, with nothing in between: see {@link #send}. */
        private void stream(long cookie, long offset, int lengthBytes) {
            long end = offset + lengthBytes;
            ByteBuffer reply = room(BUFFER_BYTES);
            int start = reply.position();
            format.data(reply, cookie, offset, offset, lengthBytes, false);
            unfinished = true;
            @Nullable DeviceException failed = null;
            for (long at = offset; at < end && !socket.isClosed(); ) {
                int length = (int) Math.min(PIECE_BYTES, end - at);
                if (at > offset) {
                    reply = room(length);
                }
                try {
                    if (failed == null) {
                        fill(reply, at, length);
                    }
                } catch (DeviceException e) {
                    if (at == offset) {
                        reply.position(start);
                        unfinished = false;
                        failed(cookie, offset, e);
                        return;
                    }
                    if (!format.chunked() || e.failure().isEmpty()) {
                        disconnect(at + " of a read at " + offset + ": " + e.getMessage());
                        return;
                    }
                    failed = e;
                }
                if (failed != null) {
                    // The client has been promised so many bytes; the chunk behind them says what they are worth.
                    reply.put(new byte[length]);
                }
                at += length;
            }
            unfinished = false;
            if (failed != null) {
                failed(cookie, offset, failed);
            } else if (format.chunked()) {
                format.done(room(ReplyFormat.MOST_HEADER_BYTES), cookie, offset, true);
            }
        }

        private void fill(ByteBuffer reply, long offset, int lengthBytes) throws DeviceException {
            ByteBuffer data = reply.slice(reply.position(), lengthBytes);
            attached().read(offset, data);
            if (data.hasRemaining()) {
                throw new IllegalStateException(
                        "A read of " + lengthBytes + " bytes at " + offset + " left " + data.remaining() + " unfilled");
            }
            reply.position(reply.position() + lengthBytes);
        }

        private void failed(long cookie, long offset, DeviceException why) {
            if (why.failure().isPresent()) {
                tell(why.failure().get());
                format.failed(
                        room(ReplyFormat.MOST_HEADER_BYTES),
                        cookie,
                        offset,
                        why.failure().get(),
                        true);
            } else {
                disconnect(String.valueOf(why.getMessage()));
            }
        }

        /** Waits until the client has taken all of it. If it ends within an answer, other replies wait for the rest. */
        void send() throws IOException {
            ByteBuffer collected = elastic.buffer();
            if (collected.position() > 0) {
                if (unfinished) {
                    holdReplies();
                }
                int sent = collected.position();
                socket.sendAndWait(collected.flip());
                collected.limit(sent).position(sent);
                elastic.clear();
                if (!unfinished) {
                    releaseReplies();
                }
            }
        }

        int capacityBytes() {
            return elastic.buffer().capacity();
        }

        private ByteBuffer room(int bytes) {
            if (elastic.buffer().remaining() < bytes && elastic.buffer().position() > 0) {
                forward(); // waiting may be long: what came before this read must not wait with it
                try {
                    send();
                } catch (IOException e) {
                    socket.fail(e);
                    elastic.clear();
                }
            }
            elastic.grow(BUFFER_BYTES, 0);
            return elastic.buffer();
        }

        @Override
        public void close() {
            elastic.close();
        }
    }
}
