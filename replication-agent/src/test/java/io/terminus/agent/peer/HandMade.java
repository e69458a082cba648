package io.terminus.agent.peer;

import io.terminus.agent.volume.Reception;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Hello;
import io.terminus.proto.agent.v1.Refusal;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** One end of a connection of the peer protocol, frame by frame by hand. */
public final class HandMade implements AutoCloseable {

    private static final int PATIENCE_MILLIS = 60_000;

    record Got(Frame type, ByteBuffer body) {}

    /** Journal bytes that came. */
    public record Run(long from, int bytes) {}

    private final Socket socket;
    private final DataInputStream in;
    private long sentBytes;
    private long receivedBytes;

    public HandMade(Socket socket) throws IOException {
        this.socket = socket;
        socket.setSoTimeout(PATIENCE_MILLIS);
        this.in = new DataInputStream(socket.getInputStream());
    }

    static HandMade connect(SocketAddress to) throws IOException {
        return new HandMade(new Socket(((InetSocketAddress) to).getAddress(), ((InetSocketAddress) to).getPort()));
    }

    /** Bytes that were sent on this connection. */
    long sentBytes() {
        return sentBytes;
    }

    /** Bytes of the other side that can be read at once. */
    int available() throws IOException {
        return in.available();
    }

    void send(ByteBuffer frame) throws IOException {
        byte[] bytes = new byte[frame.remaining()];
        frame.get(bytes);
        socket.getOutputStream().write(bytes);
        sentBytes += bytes.length;
    }

    /** The next frame, whatever it is. */
    Got next() throws IOException {
        byte[] head = new byte[Frame.HEADER_BYTES];
        in.readFully(head);
        int length = ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN).getInt(8);
        byte[] all = Arrays.copyOf(head, head.length + length);
        in.readFully(all, head.length, length);
        receivedBytes += all.length;
        ByteBuffer b = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
        try {
            Frame type = Frame.check(b, 0, Frame.bodyBytes(b, 0));
            ByteBuffer body = b.slice(Frame.HEADER_BYTES, length).order(ByteOrder.LITTLE_ENDIAN);
            if (type == Frame.RUN) {
                in.skipNBytes(body.getInt(8));
                receivedBytes += body.getInt(8);
            }
            return new Got(type, body);
        } catch (io.terminus.agent.volume.RefusedException e) {
            throw new IOException(e);
        }
    }

    /** The next frame of that type; others are passed over. */
    ByteBuffer await(Frame type) throws IOException {
        while (true) {
            Got got = next();
            if (got.type() == type) {
                return got.body();
            }
            if (got.type() == Frame.REFUSED) {
                throw new IOException(
                        "refused: " + Refusal.parseFrom(got.body()).getMessage());
            }
        }
    }

    /** "CODE: words" of the refusal that comes, or is on the way. */
    String refusal() throws IOException {
        while (true) {
            Got got = next();
            if (got.type() == Frame.REFUSED) {
                Refusal r = Refusal.parseFrom(got.body());
                return Why.of(r.getWhy()) + ": " + r.getMessage();
            }
        }
    }

    /** Reads until the other side has closed the connection. */
    public void awaitEnd() throws IOException {
        try {
            while (true) {
                next();
            }
        } catch (EOFException | java.net.SocketException e) {
            // That is what was waited for.
        }
    }

    // ---- as a replica

    /** Answers a greeting: this replica holds everything, and knows these features. Returns where that ends. */
    public long accept(int version, String... features) throws IOException {
        Hello hello = Hello.parseFrom(await(Frame.HELLO));
        send(accepted(hello.getEnd(), hello.getEnd(), hello.getEnd(), version, features));
        return hello.getEnd();
    }

    public void acceptAt(long received, long durable, long applied) throws IOException {
        await(Frame.HELLO);
        send(accepted(received, durable, applied, 1));
    }

    private static ByteBuffer accepted(long received, long durable, long applied, int version, String... features) {
        return Frame.ACCEPTED.of(Accepted.newBuilder()
                .setAgent("b")
                .setIncarnation("boot")
                .setReceived(received)
                .setDurable(durable)
                .setApplied(applied)
                .setJournalBytes(1 << 20)
                .setVersion(version)
                .addAllFeatures(Arrays.asList(features))
                .build()
                .toByteArray());
    }

    public void ack(long... fields) throws IOException {
        ByteBuffer b = Frame.ACK.begin(8 * fields.length);
        for (long field : fields) {
            b.putLong(field);
        }
        send(Frame.seal(b));
    }

    /** With the feature: all bytes that came are counted, and there is room up to that position. */
    public void ackWithRoom(long position, long room) throws IOException {
        ackWithRoom(position, position, room);
    }

    public void ackWithRoom(long received, long durable, long room) throws IOException {
        ack(received, durable, durable, 0, 0, receivedBytes, room);
    }

    /** Reads until the writer says that its journal ends there; returns how many runs it has sent before. */
    public int runsUntilToldOf(long end) throws IOException {
        return takenUntilToldOf(end).size();
    }

    /** The same; returns what came. */
    public List<Run> takenUntilToldOf(long end) throws IOException {
        List<Run> runs = new ArrayList<>();
        while (true) {
            Got got = next();
            if (got.type() == Frame.RUN) {
                runs.add(new Run(got.body().getLong(0), got.body().getInt(8)));
            } else if (got.type() == Frame.STATUS && got.body().getLong(0) == end) {
                return runs;
            }
        }
    }

    /** Reads what has come already. */
    public void takeAll() throws IOException {
        while (available() > 0) {
            next();
        }
    }

    /**
     * Answers a greeting with the news that it cannot just follow, and reads until the connection ends, or this replica is asked
     * to begin anew. Returns whether it is.
     */
    public boolean isAskedToBeginAnew(long common) throws IOException {
        await(Frame.HELLO);
        send(Frame.NEEDS.of(Messages.needs(new Reception.Needs("its image is a mixture", common, "", -1, true))
                .toByteArray()));
        try {
            await(Frame.REBUILD);
            return true;
        } catch (EOFException | java.net.SocketException e) {
            return false;
        }
    }

    /** The next run's first position. */
    public long awaitRun() throws IOException {
        return takeRun().from();
    }

    /** The next run. */
    public Run takeRun() throws IOException {
        ByteBuffer body = await(Frame.RUN);
        return new Run(body.getLong(0), body.getInt(8));
    }

    public void compared(long sequence, long blocks) throws IOException {
        send(Frame.seal(Frame.COMPARED
                .begin(Frame.COMPARED_BODY_BYTES)
                .putLong(sequence)
                .putLong(blocks)));
    }

    /** The last words of a replica that does not go on; the writer closes the connection then. */
    public void refuse(Why why, String words) throws IOException {
        send(Frame.REFUSED.of(Refusal.newBuilder()
                .setWhy(why.code())
                .setMessage(words)
                .build()
                .toByteArray()));
        awaitEnd();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
