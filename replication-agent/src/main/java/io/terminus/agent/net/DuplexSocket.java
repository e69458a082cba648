package io.terminus.agent.net;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * A TCP or unix domain connection whose two directions never wait for each other.
 *
 * <p><b>In:</b> one owner thread selects, reads into the handler's buffer and calls the handler, which may block: that
 * is the back-pressure on the other side. At one request at a time this costs one select and one read: a read that did
 * not fill the buffer has taken all there was, and is not repeated.
 *
 * <p><b>Out:</b> any thread sends. A send writes inline under a short lock and never blocks: what the kernel does not
 * take at once is queued, and the owner sends it on when the socket is writable again. The queue is bounded by
 * {@code queueLimitBytes} plus one send (what was begun must be ended, or the stream cannot be parsed); beyond it
 * {@link #send} takes nothing and says {@link Sent#FULL}, and the caller decides what that means.
 *
 * <p>From {@link #startTls} on both directions are encrypted, and only buffers can be sent.
 *
 * <p>An interrupt of a thread that sends or reads closes the socket (so does every Java channel): do not interrupt.
 */
public final class DuplexSocket implements AutoCloseable {

    /** What became of a send. Only {@link #FULL} may be tried again. */
    public enum Sent {
        /** All bytes are with the kernel. */
        TAKEN,
        /** Some bytes are still here, and will follow in order. */
        QUEUED,
        /** The queue is at its limit: nothing of this send was taken. */
        FULL,
        /** The socket is closed or closing. Of this send, any part may have gone out. */
        CLOSED
    }

    /** Called by the owner thread only. An exception from any of these closes the socket. */
    public interface Handler {

        /**
         * Where the next bytes go: a buffer with room, or null while none are wanted. A direct buffer saves a copy. Asked
         * before every select, so a handler that said null is asked again after {@link DuplexSocket#wakeOwner}.
         */
        @Nullable
        ByteBuffer readInto();

        /** The buffer from {@link #readInto} has got at least one byte more. */
        void received() throws IOException;

        /**
         * The other side will send no more, but may still read: half of all good clients close this way. Nothing is read
         * from here on; the handler ends the connection when it has answered.
         */
        void ended() throws IOException;

        /** Are bytes expected so soon that it is better to look for them than to sleep? Asked before each sleep. */
        default boolean expectsBytesSoon() {
            return false;
        }

        /** The owner has woken, for whatever reason, and is about to look at its socket again. */
        default void awake() throws IOException {}

        /** The last call, made exactly once. {@code failure} is null when this side closed the socket on purpose. */
        void closed(String why, @Nullable Throwable failure);
    }

    private record Closing(String why, @Nullable Throwable failure) {}

    private record Deadline(long atNanos, String what) {}

    private final SocketChannel channel;
    private final String name;
    private final long queueLimitBytes;
    private final Selector selector;
    private final SelectionKey key;
    private final AtomicBoolean started = new AtomicBoolean();
    private final AtomicReference<@Nullable Closing> closing = new AtomicReference<>();

    private final ReentrantLock sendLock = new ReentrantLock();

    @GuardedBy("sendLock")
    private final ArrayDeque<Outbound> queue = new ArrayDeque<>();

    @GuardedBy("sendLock")
    private long queuedBytes;

    /** Set once: no more sends, close when the queue is empty. */
    private volatile @Nullable String lastWords;

    /** The queue is not empty. Written under the lock, read by the owner without it. */
    private volatile boolean backlog;

    private volatile @Nullable Tls tls;
    private volatile @Nullable Deadline deadline;
    private volatile @Nullable Thread owner;
    private final Patience patience = new Patience();

    /** Somebody wants the owner's attention; it may be looking for bytes, and not sleep. */
    private volatile boolean noticed;

    /** Takes over a connected channel. {@code name} is what errors and the thread are named after. */
    public DuplexSocket(SocketChannel channel, String name, long queueLimitBytes) throws IOException {
        this.channel = channel;
        this.name = name;
        this.queueLimitBytes = queueLimitBytes;
        boolean inet = !(channel.getLocalAddress() instanceof UnixDomainSocketAddress);
        if (inet) {
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
        }
        channel.configureBlocking(false);
        this.selector = Selector.open();
        this.key = channel.register(selector, 0);
    }

    /** Opens a connection; blocks for at most {@code timeout}. */
    public static DuplexSocket connect(SocketAddress to, Duration timeout, String name, long queueLimitBytes)
            throws IOException {
        boolean unix = to instanceof UnixDomainSocketAddress;
        SocketChannel channel = unix ? SocketChannel.open(StandardProtocolFamily.UNIX) : SocketChannel.open();
        try {
            if (unix) {
                channel.connect(to);
            } else {
                channel.socket().connect(to, Math.toIntExact(Math.max(1, timeout.toMillis())));
            }
            return new DuplexSocket(channel, name, queueLimitBytes);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /**
     * Opens a connection under TLS; returns when both sides know each other.
     *
     * @param engine of a client
     */
    public static DuplexSocket connect(
            SocketAddress to, Duration timeout, String name, long queueLimitBytes, SSLEngine engine)
            throws IOException {
        return connect(to, timeout, name, queueLimitBytes).handshake(engine, timeout);
    }

    /** The side that speaks first in TLS, before there is an owner; returns when both sides know each other. */
    public DuplexSocket handshake(SSLEngine engine, Duration timeout) throws IOException {
        try {
            Tls secure = new Tls(engine, channel, sendLock);
            deadline(timeout, "the TLS handshake was to end");
            secure.handshake(operations -> {
                select(operations);
                Closing over = closing.get();
                if (over != null) {
                    throw new IOException(over.why, over.failure);
                }
            });
            noDeadline();
            tls = secure;
            return this;
        } catch (IOException | RuntimeException e) {
            fail(e);
            throw e;
        }
    }

    /** Runs the owner on a new daemon thread. */
    public void start(Handler handler) {
        Thread.ofPlatform().name(name).daemon().start(() -> run(handler));
    }

    /** Makes the calling thread the owner, until the socket is closed. */
    public void run(Handler handler) {
        if (!started.compareAndSet(false, true)) {
            Closing before = closing.get();
            if (before == null) {
                throw new IllegalStateException(name + " already has an owner");
            }
            handler.closed(before.why, before.failure);
            return;
        }
        owner = Thread.currentThread();
        try {
            serve(handler);
        } catch (IOException | RuntimeException | Error e) {
            fail(e);
        }
        Closing why = closing.get();
        releaseAll();
        if (why == null) {
            throw new IllegalStateException(name + " left its loop without a cause");
        }
        handler.closed(why.why, why.failure);
    }

    // ---- sending: any thread

    /** Sends the buffers in order, as one. They are the caller's again on return: what is queued was copied. */
    public Sent send(ByteBuffer... buffers) {
        sendLock.lock();
        try {
            if (isClosing()) {
                return Sent.CLOSED;
            }
            if (queue.isEmpty()) {
                if (writeInline(buffers)) {
                    return Sent.TAKEN;
                }
            } else if (queuedBytes + remaining(buffers) > queueLimitBytes) {
                return Sent.FULL;
            }
            for (ByteBuffer buffer : buffers) {
                enqueueCopy(buffer);
            }
            backlog = true;
        } catch (IOException e) {
            fail(e);
            return Sent.CLOSED;
        } finally {
            sendLock.unlock();
        }
        wakeOwner();
        return Sent.QUEUED;
    }

    /**
     * Sends {@code what} behind everything sent before. It belongs to the socket, which says
     * {@link Outbound#released}, unless the answer is {@link Sent#FULL} or {@link Sent#CLOSED}.
     */
    public Sent send(Outbound what) {
        if (tls != null) {
            throw new IllegalStateException(name + ": a file region is sent as it is, and here is TLS");
        }
        sendLock.lock();
        try {
            if (isClosing()) {
                return Sent.CLOSED;
            }
            if (!queue.isEmpty() && queuedBytes + what.remainingBytes() > queueLimitBytes) {
                return Sent.FULL;
            }
            if (queue.isEmpty()) {
                while (!what.done()) {
                    if (what.transferTo(channel) == 0) {
                        break;
                    }
                }
                if (what.done()) {
                    what.released(true);
                    return Sent.TAKEN;
                }
            }
            enqueue(what);
        } catch (IOException e) {
            fail(e);
            return Sent.CLOSED;
        } finally {
            sendLock.unlock();
        }
        wakeOwner();
        return Sent.QUEUED;
    }

    /**
     * For the owner only: sends a buffer and waits until the kernel has all of it, without a copy and without reading.
     * Meanwhile other threads send as ever.
     *
     * @return false if the socket closed meanwhile
     */
    public boolean sendAndWait(ByteBuffer buffer) throws IOException {
        requireOwner();
        sendLock.lock();
        try {
            if (isClosing()) {
                return false;
            }
            if (queue.isEmpty() && writeInline(buffer)) {
                return true;
            }
            enqueue(new Borrowed(buffer));
        } finally {
            sendLock.unlock();
        }
        try {
            while (buffer.hasRemaining() && closing.get() == null) {
                select(SelectionKey.OP_WRITE);
                drain();
            }
        } catch (IOException | CancelledKeyException e) {
            if (closing.get() == null) {
                throw e;
            }
        }
        return !buffer.hasRemaining();
    }

    /** Bytes that were sent here but not taken by the kernel yet. */
    public long queuedBytes() {
        if (!backlog) {
            return 0;
        }
        sendLock.lock();
        try {
            return queuedBytes;
        } finally {
            sendLock.unlock();
        }
    }

    /**
     * For the owner only, or before there is one: whatever is received and sent from now on is under TLS. Everything received before has been taken
     * out of {@link Handler#readInto}'s buffer, everything sent before is with the kernel. The engine's handshake begins
     * with what the other side sends next; until it is over nothing may be sent. A failed one closes the socket.
     */
    public void startTls(SSLEngine engine) {
        if (started.get()) {
            requireOwner();
        }
        sendLock.lock();
        try {
            if (!queue.isEmpty()) {
                throw new IllegalStateException(name + ": bytes sent before TLS are still here");
            }
            tls = new Tls(engine, channel, sendLock);
        } finally {
            sendLock.unlock();
        }
    }

    /** For the owner only, when nothing is queued: says that nothing more is sent. What the other side sends is read on. */
    public void endOutput() throws IOException {
        requireOwner();
        Tls secure = tls;
        if (secure == null) {
            channel.shutdownOutput();
        } else {
            sendLock.lock();
            try {
                secure.goodbye();
            } finally {
                sendLock.unlock();
            }
        }
    }

    /** Who is on the other side, once the handshake is over; null without TLS. */
    public @Nullable SSLSession tlsSession() {
        Tls secure = tls;
        return secure == null ? null : secure.session();
    }

    // ---- life: any thread

    /** Makes the owner call {@link Handler#awake} and {@link Handler#readInto} again. */
    public void wakeOwner() {
        if (!Thread.currentThread().equals(owner)) {
            noticed = true;
            selector.wakeup();
        }
    }

    public boolean calledByOwner() {
        return Thread.currentThread().equals(owner);
    }

    /** Closes the socket unless {@link #noDeadline} or a later deadline comes first: {@code what} was to happen by then. */
    public void deadline(Duration fromNow, String what) {
        deadline = new Deadline(System.nanoTime() + fromNow.toNanos(), what);
        wakeOwner();
    }

    public void noDeadline() {
        deadline = null;
    }

    /** Sends what is queued, for at most {@code atMost}, and closes. Takes no more sends, reads no more. */
    public void closeWhenSent(String why, Duration atMost) {
        sendLock.lock();
        try {
            if (lastWords != null) {
                return;
            }
            lastWords = why;
        } finally {
            sendLock.unlock();
        }
        deadline(atMost, why + ": the last replies were to be read");
    }

    /** Closes at once; what is queued is dropped. Idempotent: the first cause is the one that is told. */
    public void close(String why) {
        close(new Closing(why, null));
    }

    @Override
    public void close() {
        close("closed by this side");
    }

    /** Closes at once because of a failure. */
    public void fail(Throwable failure) {
        String message = failure.getMessage();
        close(new Closing(message == null ? failure.toString() : message, failure));
    }

    public boolean isClosed() {
        return closing.get() != null;
    }

    public String name() {
        return name;
    }

    private void close(Closing cause) {
        if (!closing.compareAndSet(null, cause)) {
            return;
        }
        closeQuietly();
        selector.wakeup();
        if (started.compareAndSet(false, true)) {
            releaseAll(); // never had an owner
        }
    }

    // ---- the owner

    private void serve(Handler handler) throws IOException {
        boolean ended = false;
        boolean moreIsWaiting = tls != null; // a handshake may have brought more than itself
        while (closing.get() == null) {
            noticed = false;
            handler.awake();
            String farewell = lastWords;
            if (farewell != null && !backlog) {
                close(farewell);
                return;
            }
            ByteBuffer into = ended || farewell != null ? null : handler.readInto();
            int got = 0;
            if (into != null && !moreIsWaiting && !backlog && tls == null && handler.expectsBytesSoon()) {
                got = lookFor(into);
            }
            if (got == 0 && (!moreIsWaiting || into == null)) {
                int ready = select((into == null ? 0 : SelectionKey.OP_READ) | (backlog ? SelectionKey.OP_WRITE : 0));
                if (closing.get() != null) {
                    return;
                }
                if ((ready & SelectionKey.OP_READ) == 0) {
                    into = null;
                }
            }
            if (backlog) {
                drain();
            }
            if (into != null) {
                moreIsWaiting = false;
                int room = into.remaining() + Math.max(got, 0);
                Tls secure = tls;
                if (got == 0) {
                    got = secure == null ? channel.read(into) : secure.read(into);
                }
                if (secure != null) {
                    noteBacklog(secure); // what TLS itself had to say
                }
                if (got < 0) {
                    ended = true;
                    handler.ended();
                } else if (got > 0) {
                    handler.received();
                    // A short read took all there was: the select tells of what came since. It does not know what is
                    // decrypted, or received and not decrypted.
                    moreIsWaiting = got == room || secure != null;
                }
            }
        }
    }

    /** Reads without sleeping, for a while; returns 0 if nothing came, or something else is to be done. */
    private int lookFor(ByteBuffer into) throws IOException {
        long nanos = patience.nanos();
        if (nanos == 0) {
            return 0;
        }
        long began = System.nanoTime();
        while (!noticed && !backlog && closing.get() == null) {
            int got = channel.read(into);
            if (got != 0) {
                patience.came();
                return got;
            }
            if (System.nanoTime() - began > nanos) {
                patience.didNotCome();
                return 0;
            }
            Thread.onSpinWait();
        }
        return 0;
    }

    /** Waits for one of the operations, a wake-up, the deadline or the end. */
    private int select(int operations) throws IOException {
        if (closing.get() != null) {
            return 0;
        }
        if (key.interestOps() != operations) {
            key.interestOps(operations);
        }
        Deadline until = deadline;
        if (until == null) {
            selector.select();
        } else {
            long leftNanos = until.atNanos - System.nanoTime();
            if (leftNanos <= 0) {
                fail(new SocketTimeoutException(until.what));
                return 0;
            }
            selector.select(leftNanos / 1_000_000 + 1);
        }
        int ready = closing.get() != null || !key.isValid() ? 0 : key.readyOps();
        selector.selectedKeys().clear();
        return ready;
    }

    private void drain() throws IOException {
        boolean more;
        do {
            more = drainStep(); // the lock is free between two steps, so that nobody waits long to queue a send
        } while (more);
    }

    /** Returns whether there is more to send that the socket may take now. */
    private boolean drainStep() throws IOException {
        sendLock.lock();
        try {
            Outbound head = queue.peek();
            Tls secure = tls;
            if (head == null) {
                backlog = secure != null && !secure.flush();
                return false;
            }
            long before = head.remainingBytes();
            if (secure == null) {
                head.transferTo(channel);
            } else if (head instanceof Plain plain) {
                plain.encryptTo(secure);
            }
            long sent = before - head.remainingBytes();
            queuedBytes -= sent;
            if (!head.done()) {
                return sent > 0;
            }
            queue.remove();
            head.released(true);
            backlog = !queue.isEmpty() || (secure != null && secure.pending());
            return backlog;
        } finally {
            sendLock.unlock();
        }
    }

    private void requireOwner() {
        if (!calledByOwner()) {
            throw new IllegalStateException(name + ": only the owner thread may do this");
        }
    }

    // ---- helpers

    private boolean isClosing() {
        return closing.get() != null || lastWords != null;
    }

    /** Returns whether the kernel took everything. */
    @GuardedBy("sendLock")
    private boolean writeInline(ByteBuffer... buffers) throws IOException {
        Tls secure = tls;
        if (secure != null) {
            for (ByteBuffer buffer : buffers) {
                secure.write(buffer);
            }
            return remaining(buffers) == 0 && !secure.pending();
        }
        if (buffers.length == 1) {
            channel.write(buffers[0]);
            return !buffers[0].hasRemaining();
        }
        // One call takes at most IOV_MAX buffers: go on while it made progress up to there.
        while (channel.write(buffers) > 0) {
            if (remaining(buffers) == 0) {
                return true;
            }
        }
        return remaining(buffers) == 0;
    }

    private void noteBacklog(Tls secure) {
        sendLock.lock();
        try {
            if (secure.pending()) {
                backlog = true;
            }
        } finally {
            sendLock.unlock();
        }
    }

    private static long remaining(ByteBuffer... buffers) {
        long sum = 0;
        for (ByteBuffer buffer : buffers) {
            sum += buffer.remaining();
        }
        return sum;
    }

    @GuardedBy("sendLock")
    private void enqueue(Outbound what) {
        queue.add(what);
        queuedBytes += what.remainingBytes();
        backlog = true;
    }

    @GuardedBy("sendLock")
    private void enqueueCopy(ByteBuffer rest) {
        if (!rest.hasRemaining()) {
            return;
        }
        queuedBytes += rest.remaining();
        if (queue.peekLast() instanceof Chunk last) {
            last.append(rest);
        }
        if (rest.hasRemaining()) {
            queue.add(new Chunk(rest));
        }
    }

    private void releaseAll() {
        closeQuietly();
        try {
            selector.close();
        } catch (IOException | ClosedSelectorException e) {
            // The descriptor is gone either way, and nobody is left who could act on it.
        }
        sendLock.lock();
        try {
            for (Outbound dropped : queue) {
                dropped.released(false);
            }
            queue.clear();
            queuedBytes = 0;
            backlog = false;
        } finally {
            sendLock.unlock();
        }
    }

    private void closeQuietly() {
        Tls secure = tls;
        if (secure != null && channel.isOpen() && sendLock.tryLock()) {
            try {
                secure.goodbye();
            } finally {
                sendLock.unlock();
            }
        }
        try {
            channel.close();
        } catch (IOException e) {
            // Closing is the answer to every failure; there is none to this one.
        }
    }

    /** Bytes that can be encrypted. */
    private interface Plain extends Outbound {
        void encryptTo(Tls tls) throws IOException;
    }

    /** Copied bytes. Small sends share one, so that a client that does not read costs bytes, not objects. */
    private static final class Chunk implements Plain {

        private static final int LEAST_BYTES = 16 << 10;

        private final ByteBuffer bytes;
        private int readAt;

        Chunk(ByteBuffer first) {
            bytes = ByteBuffer.allocate(Math.max(LEAST_BYTES, first.remaining()));
            bytes.put(first);
        }

        void append(ByteBuffer more) {
            int count = Math.min(more.remaining(), bytes.remaining());
            bytes.put(bytes.position(), more, more.position(), count);
            bytes.position(bytes.position() + count);
            more.position(more.position() + count);
        }

        @Override
        public long transferTo(SocketChannel to) throws IOException {
            int sent = to.write(bytes.duplicate().limit(bytes.position()).position(readAt));
            readAt += sent;
            return sent;
        }

        @Override
        public void encryptTo(Tls tls) throws IOException {
            ByteBuffer rest = bytes.duplicate().limit(bytes.position()).position(readAt);
            tls.write(rest);
            readAt = rest.position();
        }

        @Override
        public long remainingBytes() {
            return (long) bytes.position() - readAt;
        }
    }

    /** A buffer whose lender waits for its end. */
    private record Borrowed(ByteBuffer buffer) implements Plain {
        @Override
        public long transferTo(SocketChannel to) throws IOException {
            return to.write(buffer);
        }

        @Override
        public void encryptTo(Tls tls) throws IOException {
            tls.write(buffer);
        }

        @Override
        public long remainingBytes() {
            return buffer.remaining();
        }
    }
}
