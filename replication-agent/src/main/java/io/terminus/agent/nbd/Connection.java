package io.terminus.agent.nbd;

import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.DuplexSocket.Sent;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantLock;
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
 *   <li>staged input by one request of 32 MiB, data being read by one reply of 32 MiB.
 * </ul>
 */
final class Connection implements DuplexSocket.Handler, Replies {

    private static final Logger LOG = System.getLogger(Connection.class.getName());

    /** Answers that wait for a client that does not read; beyond it, it is not read from. */
    private static final int CLOGGED_BYTES = 64 << 10;

    /** Past this the socket refuses: never reached while the reader stops where it should. */
    static final long QUEUE_LIMIT_BYTES = 4 << 20;

    private static final int SIMPLE_REPLY_BYTES = 16;
    private static final int CHUNK_HEADER_BYTES = 20;
    private static final int REPLIES_BYTES = 16 << 10;

    /** What one read may bring in the transmission phase; a client that has not chosen an export costs less. */
    private static final int STAGED_BYTES = 512 << 10;

    /** Data of small reads is collected up to this, and sent in one write. */
    private static final int READS_BYTES = 256 << 10;

    private final NbdServer server;
    private final DuplexSocket socket;
    private final Limits limits;

    // The reader's own
    private Staging staging = new Staging(Handshake.MOST_STAGED_BYTES);
    private final ReadReplies reads = new ReadReplies();
    private final Requests requests = new Requests();
    private @Nullable Handshake handshake;
    private @Nullable Transmission transmission;
    private @Nullable ClientSession session;
    private boolean structured;
    private boolean leaving;

    /** The reader has stopped at a bound, before a request with a payload of so many bytes. */
    private boolean busy;

    private int refusedBytes;

    // Under the lock
    private final ReentrantLock lock = new ReentrantLock();
    private final InFlight inFlight;
    private final ByteBuffer replies = ByteBuffer.allocateDirect(REPLIES_BYTES);
    private boolean readerWaits;

    private volatile String exportName = "";
    private volatile boolean shuttingDown;

    Connection(NbdServer server, DuplexSocket socket, Exports exports, Limits limits) {
        this.server = server;
        this.socket = socket;
        this.limits = limits;
        this.inFlight = new InFlight(limits.requestsInFlight(), limits.bytesInFlight());
        this.handshake = new Handshake(exports, () -> shuttingDown);
        socket.deadline(limits.handshake(), "the NBD handshake was to end within " + limits.handshake());
        socket.send(ByteBuffer.wrap(Handshake.greeting()));
    }

    // ---- any thread

    /** The export this client uses; empty while it has not chosen one. */
    String exportName() {
        return exportName;
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
        answer(cookie, 0);
    }

    @Override
    public void failed(long cookie, Failure why) {
        answer(cookie, why.errno());
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

    private void answer(long cookie, int errno) {
        lock.lock();
        try {
            putReply(inFlight.remove(cookie), errno);
        } finally {
            lock.unlock();
        }
    }

    /** <pre>0 magic 4 error 8 cookie 16</pre>, also beside structured replies: those are for reads. */
    private void putReply(long clientCookie, int errno) {
        if (replies.remaining() < SIMPLE_REPLY_BYTES) {
            sendReplies();
        }
        replies.putInt(Wire.SIMPLE_REPLY_MAGIC).putInt(errno).putLong(clientCookie);
    }

    private void sendReplies() {
        if (replies.position() == 0) {
            return;
        }
        Sent sent = socket.send(replies.flip());
        replies.clear();
        if (sent == Sent.FULL) {
            socket.close("client does not read its replies");
        }
    }

    // ---- the reader

    @Override
    public @Nullable ByteBuffer readInto() {
        if (leaving || busy) {
            return null;
        }
        Transmission phase = transmission;
        Handshake start = handshake;
        int needed = phase != null ? phase.neededBytes() : start != null ? start.neededBytes() : 1;
        return staging.room(needed);
    }

    @Override
    public void received() throws IOException {
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
    }

    /** Goes on where it had stopped, if it may, and leaves when there is nothing left to answer. */
    @Override
    public void awake() throws IOException {
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
            ClientSession ending = session;
            if (ending != null) {
                ending.close();
            }
        } finally {
            staging.close();
            reads.close();
            server.ended(this);
        }
    }

    private void negotiate(Handshake start) {
        ByteBuffer in = staging.staged();
        while (handshake != null && !leaving) {
            switch (start.advance(in)) {
                case Handshake.Step.NeedMore needMore -> {
                    staging.taken(in);
                    return;
                }
                case Handshake.Step.Reply reply -> sendNegotiation(reply.bytes());
                case Handshake.Step.Leave leave -> leave(leave.why(), leave.last());
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

    private void enter(Handshake start, Handshake.Step.Enter enter) {
        Export export = enter.export();
        // Before the attach: whoever stops the export now either finds this connection by its name, or was stopped
        // first.
        exportName = export.name();
        try {
            session = export.attach(this);
        } catch (DeviceException e) {
            exportName = "";
            switch (start.refusal(String.valueOf(e.getMessage()))) {
                case Handshake.Step.Reply reply -> sendNegotiation(reply.bytes());
                case Handshake.Step.Leave leave -> leave(leave.why(), leave.last());
            }
            return;
        }
        structured = enter.structured();
        transmission = new Transmission(export.sizeBytes(), structured, requests);
        handshake = null;
        socket.noDeadline();
        sendNegotiation(enter.welcome());
    }

    private void leave(String why, byte[] last) {
        LOG.log(Level.INFO, () -> socket.name() + " leaves in the handshake: " + why);
        if (last.length > 0) {
            sendNegotiation(last);
        }
        leaving = true;
    }

    private void sendNegotiation(byte[] bytes) {
        if (socket.send(ByteBuffer.wrap(bytes)) == Sent.FULL) {
            socket.close("client does not read the replies to its options");
        }
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
            attached().write(add(clientCookie, payload.remaining()), offset, payload, fua);
        }

        @Override
        public void zero(long clientCookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            attached().zero(add(clientCookie, 0), offset, lengthBytes, fua, mayPunch);
        }

        @Override
        public void flush(long clientCookie) {
            attached().flush(add(clientCookie, 0));
        }

        @Override
        public void read(long clientCookie, long offset, int lengthBytes) {
            reads.read(clientCookie, offset, lengthBytes);
        }

        @Override
        public void nothing(long clientCookie, boolean read) {
            if (read) {
                reads.empty(clientCookie);
            } else {
                reply(clientCookie, 0);
            }
        }

        @Override
        public void refuse(long clientCookie, boolean read, Failure why) {
            if (read) {
                reads.failed(clientCookie, why);
            } else {
                reply(clientCookie, why.errno());
            }
        }

        private long add(long clientCookie, int payloadBytes) {
            lock.lock();
            try {
                return inFlight.add(clientCookie, payloadBytes);
            } finally {
                lock.unlock();
            }
        }

        private void reply(long clientCookie, int errno) {
            lock.lock();
            try {
                putReply(clientCookie, errno);
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
     * Answers to reads, which the reader makes and sends itself, straight from the buffer that the device filled. It
     * waits until the client took them, so one buffer is enough.
     *
     * <pre>
     *   simple      0 magic 4 error 8 cookie 16 data ...
     *   structured  0 magic 4 flags 6 type 8 cookie 16 length 20 offset 28 data ...
     * </pre>
     */
    private final class ReadReplies implements AutoCloseable {

        private static final int MOST_HEADER_BYTES = CHUNK_HEADER_BYTES + 8;

        private final ElasticBuffer elastic = new ElasticBuffer(0, READS_BYTES);

        void read(long clientCookie, long offset, int lengthBytes) {
            ByteBuffer reply = room(MOST_HEADER_BYTES + lengthBytes);
            int at = reply.position();
            if (structured) {
                chunk(reply, clientCookie, Wire.REPLY_TYPE_OFFSET_DATA, 8 + lengthBytes);
                reply.putLong(offset);
            } else {
                simple(reply, clientCookie, 0);
            }
            ByteBuffer data = reply.slice(reply.position(), lengthBytes);
            try {
                attached().read(offset, data);
                if (data.hasRemaining()) {
                    throw new IllegalStateException("A read of " + lengthBytes + " bytes at " + offset + " left "
                            + data.remaining() + " unfilled");
                }
                reply.position(reply.position() + lengthBytes);
            } catch (DeviceException e) {
                reply.position(at);
                if (e.failure().isPresent()) {
                    failed(clientCookie, e.failure().get());
                } else {
                    disconnect(String.valueOf(e.getMessage()));
                }
            }
        }

        void empty(long clientCookie) {
            ByteBuffer reply = room(MOST_HEADER_BYTES);
            if (structured) {
                chunk(reply, clientCookie, Wire.REPLY_TYPE_NONE, 0);
            } else {
                simple(reply, clientCookie, 0);
            }
        }

        void failed(long clientCookie, Failure why) {
            ByteBuffer reply = room(MOST_HEADER_BYTES);
            if (structured) {
                chunk(reply, clientCookie, Wire.REPLY_TYPE_ERROR, 6);
                reply.putInt(why.errno()).putShort((short) 0);
            } else {
                simple(reply, clientCookie, why.errno());
            }
        }

        /** Waits until the client has taken all of it. */
        void send() throws IOException {
            ByteBuffer collected = elastic.buffer();
            if (collected.position() > 0) {
                int sent = collected.position();
                socket.sendAndWait(collected.flip());
                collected.limit(sent).position(sent);
                elastic.clear();
            }
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
            elastic.grow(Math.max(bytes, READS_BYTES), 0);
            return elastic.buffer();
        }

        private void simple(ByteBuffer reply, long clientCookie, int errno) {
            reply.putInt(Wire.SIMPLE_REPLY_MAGIC).putInt(errno).putLong(clientCookie);
        }

        private void chunk(ByteBuffer reply, long clientCookie, int type, int lengthBytes) {
            reply.putInt(Wire.STRUCTURED_REPLY_MAGIC)
                    .putShort((short) Wire.REPLY_FLAG_DONE)
                    .putShort((short) type)
                    .putLong(clientCookie)
                    .putInt(lengthBytes);
        }

        @Override
        public void close() {
            elastic.close();
        }
    }
}
