package io.terminus.agent.net;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.concurrent.locks.ReentrantLock;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;

/**
 * The bytes of a non-blocking channel under TLS: the channel's place in {@link DuplexSocket}. Reading is the owner's, writing
 * is done under the socket's send lock, and both may happen at once, as an {@link SSLEngine} allows. The engine's own words
 * (handshakes, key updates, alerts) are answered while reading.
 *
 * <p>Holds at most {@link #RECORDS} records of 16 KiB in either direction, and one decrypted.
 */
final class Tls {

    /** So many at a time: one system call for 64 KiB. */
    private static final int RECORDS = 4;

    private static final ByteBuffer NOTHING = ByteBuffer.allocate(0);

    private final SSLEngine engine;
    private final SocketChannel channel;
    private final ReentrantLock sendLock;
    private final int recordBytes;

    /** Received, not decrypted yet; filled from its position on. */
    private final ByteBuffer in;

    /** Decrypted, not taken yet; to be read from its position on. */
    private ByteBuffer plain = ByteBuffer.allocate(0);

    /** Encrypted, not sent yet; filled from its position on. Under the send lock, as all methods about sending. */
    private ByteBuffer out;

    Tls(SSLEngine engine, SocketChannel channel, ReentrantLock sendLock) {
        this.engine = engine;
        this.channel = channel;
        this.sendLock = sendLock;
        this.recordBytes = engine.getSession().getPacketBufferSize();
        this.in = ByteBuffer.allocateDirect(RECORDS * recordBytes);
        this.out = ByteBuffer.allocateDirect(RECORDS * recordBytes);
    }

    /** Waits until the channel may be ready for one of these operations of a selection key, or fails. */
    interface Wait {
        void until(int operations) throws IOException;
    }

    /** For the side that speaks first, before anything else is read or sent: returns when the handshake is over. */
    void handshake(Wait wait) throws IOException {
        engine.beginHandshake();
        answer(engine.getHandshakeStatus());
        while (true) {
            HandshakeStatus status = engine.getHandshakeStatus();
            if (status != HandshakeStatus.NEED_UNWRAP && status != HandshakeStatus.NEED_UNWRAP_AGAIN) {
                break;
            }
            SSLEngineResult result = unwrapAside();
            switch (result.getStatus()) {
                case CLOSED -> throw new SSLException("the other side ended the TLS handshake");
                case BUFFER_OVERFLOW -> throw new SSLException("a TLS record is larger than the engine says");
                case BUFFER_UNDERFLOW -> {
                    flushAll(wait);
                    wait.until(SelectionKey.OP_READ);
                    if (channel.read(in) < 0) {
                        throw new EOFException("the other side closed the connection in the TLS handshake");
                    }
                }
                case OK -> answer(result.getHandshakeStatus());
            }
        }
        flushAll(wait);
    }

    SSLSession session() {
        return engine.getSession();
    }

    private void flushAll(Wait wait) throws IOException {
        while (!flush()) {
            wait.until(SelectionKey.OP_WRITE);
        }
    }

    /**
     * Decrypts what is there, but not more than fits.
     *
     * @return bytes; 0 if there are none now; -1 if there will be none any more
     */
    int read(ByteBuffer into) throws IOException {
        while (true) {
            if (plain.hasRemaining()) {
                int count = Math.min(plain.remaining(), into.remaining());
                into.put(into.position(), plain, plain.position(), count);
                into.position(into.position() + count);
                plain.position(plain.position() + count);
                return count;
            }
            int before = into.position();
            boolean direct = into.remaining() >= engine.getSession().getApplicationBufferSize();
            SSLEngineResult result = direct ? unwrap(into) : unwrapAside();
            switch (result.getStatus()) {
                case CLOSED -> {
                    return -1;
                }
                case BUFFER_OVERFLOW -> throw new SSLException("a TLS record is larger than the engine says");
                case BUFFER_UNDERFLOW -> {
                    int got = channel.read(in);
                    if (got <= 0) {
                        return got;
                    }
                }
                case OK -> {
                    answer(result.getHandshakeStatus());
                    if (into.position() > before) {
                        return into.position() - before;
                    }
                }
            }
        }
    }

    /** Encrypts and sends as much as the channel takes now, and {@link #RECORDS} records more. */
    void write(ByteBuffer from) throws IOException {
        while (flush() && from.hasRemaining()) {
            while (from.hasRemaining() && out.remaining() >= recordBytes) {
                SSLEngineResult result = engine.wrap(from, out);
                if (result.getStatus() != SSLEngineResult.Status.OK) {
                    throw new SSLException("TLS is over: " + result.getStatus());
                }
                if (result.bytesConsumed() == 0 && result.bytesProduced() == 0) {
                    throw new IllegalStateException("bytes to send before the TLS handshake is over");
                }
            }
        }
    }

    /** Whether there is something encrypted that the channel has not taken. */
    boolean pending() {
        return out.position() > 0;
    }

    /** Sends what is encrypted; returns whether that was all of it. */
    boolean flush() throws IOException {
        if (out.position() > 0) {
            out.flip();
            try {
                channel.write(out);
            } finally {
                out.compact();
            }
        }
        return out.position() == 0;
    }

    /** Says that nothing follows, or why the handshake failed, if the channel takes it at once. */
    void goodbye() {
        try {
            engine.closeOutbound();
            while (!engine.isOutboundDone() && out.remaining() >= recordBytes) {
                if (engine.wrap(NOTHING, out).bytesProduced() == 0) {
                    break;
                }
            }
            flush();
        } catch (IOException e) {
            // The connection ends with or without it.
        }
    }

    private SSLEngineResult unwrap(ByteBuffer into) throws SSLException {
        in.flip();
        try {
            return engine.unwrap(in, into);
        } finally {
            in.compact();
        }
    }

    private SSLEngineResult unwrapAside() throws SSLException {
        int size = engine.getSession().getApplicationBufferSize();
        if (plain.capacity() < size) {
            plain = ByteBuffer.allocateDirect(size);
        }
        plain.clear();
        try {
            return unwrap(plain);
        } finally {
            plain.flip();
        }
    }

    private void answer(HandshakeStatus asked) throws IOException {
        HandshakeStatus now = asked;
        while (true) {
            switch (now) {
                case NEED_TASK -> {
                    for (Runnable task; (task = engine.getDelegatedTask()) != null; ) {
                        task.run();
                    }
                    now = engine.getHandshakeStatus();
                }
                case NEED_WRAP -> now = say();
                case NEED_UNWRAP, NEED_UNWRAP_AGAIN, FINISHED, NOT_HANDSHAKING -> {
                    return;
                }
            }
        }
    }

    private HandshakeStatus say() throws IOException {
        sendLock.lock();
        try {
            if (out.remaining() < recordBytes && !flush()) {
                // One flight of a handshake: bounded by the engine.
                out = ByteBuffer.allocateDirect(2 * out.capacity()).put(out.flip());
            }
            HandshakeStatus next = engine.wrap(NOTHING, out).getHandshakeStatus();
            flush();
            return next;
        } finally {
            sendLock.unlock();
        }
    }
}
