package io.terminus.cli.acceptance;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;

/**
 * An NBD client that sends many requests before it hears of the first, and that leaves a server that no longer answers in the
 * way that shows when the server is through: it says that nothing more comes, and waits for the end.
 *
 * <p>One thread sends, another receives.
 */
final class NbdConnection implements AutoCloseable {

    static final int READ = 0;
    static final int WRITE = 1;
    static final int FLUSH = 3;
    static final int TRIM = 4;
    static final int WRITE_ZEROES = 6;

    static final int FUA = 1;
    static final int NO_HOLE = 2;

    private static final long MAGIC = 0x4e42444d41474943L;
    private static final long OPTION_MAGIC = 0x49484156454f5054L;
    private static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    private static final int REQUEST_MAGIC = 0x25609513;
    private static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    private static final int FIXED_NEWSTYLE_NO_ZEROES = 3;
    private static final int OPTION_GO = 7;
    private static final int REPLY_ACK = 1;
    private static final int DISCONNECT = 2;

    /** The data of a read follows the answer if there is no error, and is the caller's to take. */
    record Answer(long cookie, int error) {}

    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;

    private NbdConnection(Socket socket) throws IOException {
        this.socket = socket;
        this.in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 1 << 16));
        this.out = new DataOutputStream(new BufferedOutputStream(socket.getOutputStream(), 1 << 16));
    }

    /** Fails if this export is not served there now. */
    static NbdConnection open(InetSocketAddress server, String export, int timeoutMillis) throws IOException {
        Socket socket = new Socket();
        try {
            socket.connect(server, timeoutMillis);
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(timeoutMillis);
            NbdConnection connection = new NbdConnection(socket);
            connection.negotiate(export);
            return connection;
        } catch (IOException e) {
            socket.close();
            throw e;
        }
    }

    /** @param payload of a write, else empty */
    void send(int command, int flags, long cookie, long offset, int lengthBytes, byte[] payload) throws IOException {
        out.writeInt(REQUEST_MAGIC);
        out.writeShort(flags);
        out.writeShort(command);
        out.writeLong(cookie);
        out.writeLong(offset);
        out.writeInt(lengthBytes);
        out.write(payload);
        out.flush();
    }

    /**
     * The next answer.
     *
     * @throws SocketTimeoutException there was none for so long, and none has begun
     */
    Answer receive(int timeoutMillis) throws IOException {
        socket.setSoTimeout(timeoutMillis);
        in.mark(1);
        if (in.read() < 0) {
            throw new EOFException("the server closed the connection");
        }
        in.reset();
        // What has begun comes, or the server is away for longer than anybody waits.
        socket.setSoTimeout(60_000);
        if (in.readInt() != SIMPLE_REPLY_MAGIC) {
            throw new AssertionError("an answer does not begin like one");
        }
        int error = in.readInt();
        return new Answer(in.readLong(), error);
    }

    byte[] data(int lengthBytes) throws IOException {
        byte[] data = in.readNBytes(lengthBytes);
        if (data.length < lengthBytes) {
            throw new EOFException("the server closed the connection within an answer");
        }
        return data;
    }

    /** Says that nothing more comes, and returns when the server has closed the connection, with whatever it still did. */
    void leave(int timeoutMillis) throws IOException {
        socket.shutdownOutput();
        socket.setSoTimeout(timeoutMillis);
        byte[] ignored = new byte[1 << 16];
        while (in.read(ignored) >= 0) {
            // Answers that come this late are nobody's.
        }
    }

    void disconnect() throws IOException {
        send(DISCONNECT, 0, 0, 0, 0, new byte[0]);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private void negotiate(String export) throws IOException {
        if (in.readLong() != MAGIC || in.readLong() != OPTION_MAGIC) {
            throw new IOException("who answers there does not speak NBD");
        }
        in.readUnsignedShort();
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        out.writeInt(FIXED_NEWSTYLE_NO_ZEROES);
        out.writeLong(OPTION_MAGIC);
        out.writeInt(OPTION_GO);
        out.writeInt(4 + name.length + 2);
        out.writeInt(name.length);
        out.write(name);
        out.writeShort(0);
        out.flush();
        while (true) {
            if (in.readLong() != OPTION_REPLY_MAGIC) {
                throw new IOException("no answer to GO " + export);
            }
            in.readInt();
            int kind = in.readInt();
            byte[] said = data(in.readInt());
            if (kind == REPLY_ACK) {
                return;
            }
            if (kind < 0) {
                throw new IOException("export " + export + " is refused: " + new String(said, StandardCharsets.UTF_8));
            }
        }
    }
}
