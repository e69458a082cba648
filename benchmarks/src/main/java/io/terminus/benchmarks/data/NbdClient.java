package io.terminus.benchmarks.data;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * As little of an NBD client as it takes to see that an export is served, and when a write is acknowledged; no program that would have to be
 * started first can tell that to the millisecond. One request at a time.
 */
final class NbdClient implements AutoCloseable {

    private static final long MAGIC = 0x4e42444d41474943L;
    private static final long OPTION_MAGIC = 0x49484156454f5054L;
    private static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    private static final int REQUEST_MAGIC = 0x25609513;
    private static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    private static final int FIXED_NEWSTYLE_NO_ZEROES = 3;
    private static final int OPTION_GO = 7;
    private static final int REPLY_ACK = 1;
    private static final int COMMAND_WRITE = 1;

    private static final int CONNECT_MILLIS = 1_000;

    private final Socket socket;
    private final DataInputStream in;
    private final OutputStream out;
    private long cookie;

    private NbdClient(Socket socket) throws IOException {
        this.socket = socket;
        this.in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        this.out = socket.getOutputStream();
    }

    /** Fails at once if this export is not served there now. */
    static NbdClient open(int port, String export, int timeoutMillis) throws IOException {
        Socket socket = new Socket();
        try {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), CONNECT_MILLIS);
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(timeoutMillis);
            NbdClient client = new NbdClient(socket);
            client.negotiate(export);
            return client;
        } catch (IOException e) {
            socket.close();
            throw e;
        }
    }

    /** Returns when it is acknowledged. */
    void write(long offset, byte[] bytes) throws IOException {
        cookie++;
        ByteBuffer request = ByteBuffer.allocate(28 + bytes.length)
                .putInt(REQUEST_MAGIC)
                .putShort((short) 0)
                .putShort((short) COMMAND_WRITE)
                .putLong(cookie)
                .putLong(offset)
                .putInt(bytes.length)
                .put(bytes);
        out.write(request.array());
        int magic = in.readInt();
        int error = in.readInt();
        long answered = in.readLong();
        if (magic != SIMPLE_REPLY_MAGIC || answered != cookie || error != 0) {
            throw new IOException("write at " + offset + " was answered with error " + error);
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private void negotiate(String export) throws IOException {
        if (in.readLong() != MAGIC || in.readLong() != OPTION_MAGIC) {
            throw new SocketException("who answers on port " + socket.getPort() + " does not speak NBD");
        }
        in.readUnsignedShort();
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        ByteBuffer hello = ByteBuffer.allocate(4 + 8 + 4 + 4 + 4 + name.length + 2)
                .putInt(FIXED_NEWSTYLE_NO_ZEROES)
                .putLong(OPTION_MAGIC)
                .putInt(OPTION_GO)
                .putInt(4 + name.length + 2)
                .putInt(name.length)
                .put(name)
                .putShort((short) 0);
        out.write(hello.array());
        while (true) {
            if (in.readLong() != OPTION_REPLY_MAGIC) {
                throw new IOException("no answer to GO " + export);
            }
            in.readInt();
            int kind = in.readInt();
            byte[] said = in.readNBytes(in.readInt());
            if (kind == REPLY_ACK) {
                return;
            }
            if (kind < 0) {
                throw new IOException("export " + export + " is refused: " + new String(said, StandardCharsets.UTF_8));
            }
        }
    }
}
