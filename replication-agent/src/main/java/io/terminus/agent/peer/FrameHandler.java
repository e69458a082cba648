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

    /** A whole frame; {@code body} is valid during the call. */
    abstract void frame(Frame type, ByteBuffer body) throws IOException, RefusedException;

    /** A run begins: {@code bytes} bytes from {@code from} on follow. */
    abstract void run(long from, int bytes, long committed, long syncUpTo, long floor)
            throws IOException, RefusedException;

    abstract ByteBuffer land(long position, int atMost) throws IOException, RefusedException;

    abstract void landed(int bytes) throws IOException, RefusedException;

    /** So many bytes of a run were copied to where they land, for they came together with others. */
    void copied(int bytes) {}

    /** All that one read brought has been dealt with. */
    abstract void handled() throws IOException;

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
                runLeft -= got;
                runAt += got;
                landed(got);
                nextLanding();
            } else {
                staging.flip();
                takeApart();
                staging.compact();
                if (staging.capacity() > STAGING_BYTES && staging.position() == 0) {
                    staging = first.clear();
                }
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
                ByteBuffer to = land(runAt, Math.min(runLeft, staging.remaining()));
                int n = Math.min(Math.min(to.remaining(), runLeft), staging.remaining());
                to.put(staging.slice(staging.position(), n));
                staging.position(staging.position() + n);
                runLeft -= n;
                runAt += n;
                copied(n);
                landed(n);
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
                runAt = b.getLong();
                runLeft = b.getInt();
                b.getInt();
                if (runLeft <= 0) {
                    throw new RefusedException(Why.BAD_MESSAGE, "a run of " + runLeft + " bytes");
                }
                run(runAt, runLeft, b.getLong(), b.getLong(), b.getLong());
            } else {
                frame(type, b);
            }
        }
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
