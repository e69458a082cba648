package io.terminus.agent.peer;

import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * Takes frames apart as they come. The bytes of a run go to where the subclass lands them: those that came with the frame
 * by a copy, the rest straight from the socket. Called by the connection's owner thread only.
 */
abstract class FrameHandler implements DuplexSocket.Handler {

    private static final int STAGING_BYTES = 128 << 10;

    private final ByteBuffer first = ByteBuffer.allocateDirect(STAGING_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private ByteBuffer staging = first;
    private @Nullable ByteBuffer landing;
    private int landingStart;
    private long runAt;
    private int runLeft;
    private long taken;
    private int stagedBefore;

    /** Of a {@link Frame#RUN}, so that those behind it do not wait for long. */
    static final int MAX_RUN_BYTES = 1 << 20;

    /** A whole frame; {@code body} is valid during the call. */
    abstract void frame(Frame type, ByteBuffer body) throws IOException, RefusedException;

    /** A run begins: {@code bytes} bytes from {@code from} on follow. */
    abstract void run(long from, int bytes, long committed, long syncUpTo, long floor)
            throws IOException, RefusedException;

    /** What unpacks runs; null: it was not agreed on that they may come packed. */
    @Nullable
    RunUnpacker unpacker() {
        return null;
    }

    abstract ByteBuffer land(long position, int atMost) throws IOException, RefusedException;

    abstract void landed(int bytes) throws IOException, RefusedException;

    /** So many bytes of a run were copied to where they land, for they came together with others. */
    void copied(int bytes) {}

    /** All that one read brought has been dealt with. */
    abstract void handled() throws IOException;

    /** Bytes that came over the connection. */
    final long taken() {
        return taken;
    }

    /** The other side, or what it sent, is refused: the connection ends. */
    abstract void refused(RefusedException why) throws IOException;

    @Override
    public final ByteBuffer readInto() {
        ByteBuffer to = landing;
        return to == null ? staging : to;
    }

    @Override
    public final void received() throws IOException {
        try {
            ByteBuffer direct = landing;
            if (direct != null) {
                int got = direct.position() - landingStart;
                landing = null;
                taken += got;
                runLeft -= got;
                runAt += got;
                landed(got);
                nextLanding();
            } else {
                taken += staging.position() - stagedBefore;
                staging.flip();
                takeApart();
                staging.compact();
                if (staging.capacity() > STAGING_BYTES && staging.position() == 0) {
                    staging = first.clear();
                }
                stagedBefore = staging.position();
                nextLanding();
            }
            handled();
        } catch (RefusedException e) {
            refused(e);
        }
    }

    private void takeApart() throws IOException, RefusedException {
        while (staging.hasRemaining()) {
            if (runLeft > 0) {
                copyToLanding(staging);
                continue;
            }
            if (staging.remaining() < Frame.HEADER_BYTES) {
                return;
            }
            int body = Frame.bodyBytes(staging, staging.position());
            if (staging.remaining() < Frame.HEADER_BYTES + body) {
                makeRoom(Frame.HEADER_BYTES + body);
                return;
            }
            Frame type = Frame.check(staging, staging.position(), body);
            ByteBuffer b =
                    staging.slice(staging.position() + Frame.HEADER_BYTES, body).order(ByteOrder.LITTLE_ENDIAN);
            staging.position(staging.position() + Frame.HEADER_BYTES + body);
            if (type == Frame.RUN) {
                runBegins(b);
            } else if (type == Frame.PACKED) {
                int packedBytes = runBegins(b);
                landPacked(b, packedBytes);
            } else {
                frame(type, b);
            }
        }
    }

    /** Returns the field that only a packed run has. */
    private int runBegins(ByteBuffer fields) throws IOException, RefusedException {
        long from = fields.getLong();
        int bytes = fields.getInt();
        int packedBytes = fields.getInt();
        if (bytes <= 0 || bytes > MAX_RUN_BYTES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "a run of " + bytes + " bytes; 1 to " + MAX_RUN_BYTES + " are allowed");
        }
        run(
                from,
                bytes,
                Positions.require("committed", fields.getLong()),
                Positions.require("the position to sync up to", fields.getLong()),
                fields.getLong());
        runAt = from;
        runLeft = bytes;
        return packedBytes;
    }

    private void landPacked(ByteBuffer packed, int packedBytes) throws IOException, RefusedException {
        RunUnpacker unpacker = unpacker();
        if (unpacker == null) {
            throw new RefusedException(Why.BAD_MESSAGE, "PACKED was not agreed on for this connection");
        }
        if (packedBytes != packed.remaining()) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "PACKED says " + packedBytes + " packed bytes, and has " + packed.remaining());
        }
        ByteBuffer plain = unpacker.unpack(packed, runLeft);
        while (runLeft > 0) {
            copyToLanding(plain);
        }
    }

    private void copyToLanding(ByteBuffer from) throws IOException, RefusedException {
        ByteBuffer to = land(runAt, Math.min(runLeft, from.remaining()));
        int n = Math.min(Math.min(to.remaining(), runLeft), from.remaining());
        to.put(from.slice(from.position(), n));
        from.position(from.position() + n);
        runLeft -= n;
        runAt += n;
        copied(n);
        landed(n);
    }

    private void nextLanding() throws IOException, RefusedException {
        if (runLeft > 0 && staging.position() == 0) {
            ByteBuffer to = land(runAt, runLeft);
            landing = to;
            landingStart = to.position();
        }
    }

    private void makeRoom(int bytes) {
        if (staging.capacity() < bytes) {
            ByteBuffer larger = ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
            larger.put(staging).flip();
            staging = larger;
        }
    }

    @Override
    public void ended() throws IOException {
        throw new java.io.EOFException("the other side closed the connection");
    }
}
