package io.terminus.agent.nbd;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * A plain blocking NBD client. It checks what the server says and nothing of what it is asked to send, so that it can
 * also misbehave. Requests may be pipelined: {@link #submit} sends, {@link #await} gets the answer of one of them. One
 * thread only.
 */
public final class NbdTestClient implements AutoCloseable {

    /** One reply to an option; {@code type} as on the wire. */
    public record OptionReply(int type, byte[] data) {
        public boolean isError() {
            return type < 0;
        }

        public String text() {
            return new String(data, StandardCharsets.UTF_8);
        }
    }

    /** What the handshake told of an export; block sizes are 0 if it did not. */
    public record ExportInfo(
            long sizeBytes,
            int flags,
            String name,
            String description,
            int leastBlockBytes,
            int preferredBlockBytes,
            int mostBlockBytes) {}

    public record Listed(String name, String description) {}

    /** What a reply did not send because it is zeros. */
    public record Hole(long offset, int lengthBytes) {}

    /** What a metadata context says of so many bytes. */
    public record Extent(long lengthBytes, long flags) {}

    /** The answer to a request; {@code data} is empty but for a read, {@code status} but for a question about blocks. */
    public record Reply(
            long cookie,
            int errno,
            byte[] data,
            int contentChunks,
            List<Hole> holes,
            Map<Integer, List<Extent>> status) {
        /** Fails unless the request was carried out. */
        public byte[] ok() {
            if (errno != 0) {
                throw new AssertionError("Request " + cookie + " failed with NBD errno " + errno);
            }
            return data;
        }
    }

    /** The server closed the connection. */
    public static final class Disconnected extends IOException {
        Disconnected(String message) {
            super(message);
        }
    }

    private final SocketChannel channel;
    private final Map<Long, Pending> pending = new HashMap<>();
    private final Map<Long, Reply> answered = new HashMap<>();
    private final List<Long> order = new ArrayList<>();
    private Dialect dialect = Dialect.SIMPLE;
    private long nextCookie = 1;

    private NbdTestClient(SocketChannel channel) {
        this.channel = channel;
    }

    /** Connects, checks the greeting, and asks for the fixed newstyle without padding. */
    public static NbdTestClient connect(SocketAddress at) throws IOException {
        return greeted(connectRaw(at));
    }

    private static NbdTestClient greeted(NbdTestClient client) throws IOException {
        ByteBuffer greeting = client.receive(18);
        check(greeting.getLong() == Wire.GREETING_MAGIC, "greeting magic");
        check(greeting.getLong() == Wire.OPTION_MAGIC, "option magic");
        check(greeting.getShort() == (Wire.FLAG_FIXED_NEWSTYLE | Wire.FLAG_NO_ZEROES), "handshake flags");
        client.send(ByteBuffer.allocate(4)
                .putInt(Wire.FLAG_FIXED_NEWSTYLE | Wire.FLAG_NO_ZEROES)
                .array());
        return client;
    }

    /** Connects and says nothing. */
    public static NbdTestClient connectRaw(SocketAddress at) throws IOException {
        return new NbdTestClient(
                at instanceof UnixDomainSocketAddress unix ? SocketChannel.open(unix) : SocketChannel.open(at));
    }

    /** Connects to an export with structured replies, ready for requests. */
    public static NbdTestClient open(SocketAddress at, String export) throws IOException {
        return chosen(connect(at), export);
    }

    /** The same, from an address of this host's. */
    static NbdTestClient openFrom(SocketAddress from, SocketAddress at, String export) throws IOException {
        SocketChannel channel = SocketChannel.open().bind(from);
        channel.connect(at);
        return chosen(greeted(new NbdTestClient(channel)), export);
    }

    private static NbdTestClient chosen(NbdTestClient client, String export) throws IOException {
        client.structuredReplies();
        client.go(export);
        return client;
    }

    // ---- handshake

    /** Sends an option and returns all its replies, the last of which is the acknowledgement or an error. */
    public List<OptionReply> option(int option, byte... data) throws IOException {
        send(optionBytes(option, data));
        List<OptionReply> replies = new ArrayList<>();
        while (true) {
            ByteBuffer header = receive(20);
            check(header.getLong() == Wire.OPTION_REPLY_MAGIC, "option reply magic");
            check(header.getInt() == option, "a reply to option " + option);
            int type = header.getInt();
            OptionReply reply = new OptionReply(type, receive(header.getInt()).array());
            replies.add(reply);
            if (type == Wire.REP_ACK || reply.isError()) {
                return replies;
            }
        }
    }

    public void structuredReplies() throws IOException {
        check(!option(Wire.OPT_STRUCTURED_REPLY).getLast().isError(), "structured replies");
        dialect = Dialect.STRUCTURED;
    }

    public void extendedHeaders() throws IOException {
        check(!option(Wire.OPT_EXTENDED_HEADERS).getLast().isError(), "extended headers");
        dialect = Dialect.EXTENDED;
    }

    /** Selects contexts; returns their names by number. */
    public Map<Integer, String> selectContexts(String export, String... queries) throws IOException {
        Map<Integer, String> selected = new TreeMap<>();
        for (OptionReply reply : option(Wire.OPT_SET_META_CONTEXT, contextData(export, queries))) {
            if (reply.type() == Wire.REP_META_CONTEXT) {
                ByteBuffer data = ByteBuffer.wrap(reply.data());
                selected.put(data.getInt(), StandardCharsets.UTF_8.decode(data).toString());
            } else {
                check(!reply.isError(), "contexts: " + reply.text());
            }
        }
        return selected;
    }

    public List<Listed> list() throws IOException {
        List<Listed> exports = new ArrayList<>();
        for (OptionReply reply : option(Wire.OPT_LIST)) {
            if (reply.type() == Wire.REP_SERVER) {
                ByteBuffer data = ByteBuffer.wrap(reply.data());
                byte[] name = new byte[data.getInt()];
                data.get(name);
                exports.add(new Listed(
                        text(name), StandardCharsets.UTF_8.decode(data).toString()));
            }
        }
        return exports;
    }

    /** Begins the transmission phase; fails with the server's words if it refuses. */
    public ExportInfo go(String export) throws IOException {
        return info(Wire.OPT_GO, export);
    }

    public ExportInfo info(String export) throws IOException {
        return info(Wire.OPT_INFO, export);
    }

    private ExportInfo info(int option, String export) throws IOException {
        List<OptionReply> replies =
                option(option, goData(export, Wire.INFO_NAME, Wire.INFO_DESCRIPTION, Wire.INFO_BLOCK_SIZE));
        OptionReply last = replies.removeLast();
        if (last.isError()) {
            throw new IOException("Refused with 0x" + Integer.toHexString(last.type()) + ": " + last.text());
        }
        long size = -1;
        int flags = 0;
        int[] blocks = new int[3];
        String name = "";
        String description = "";
        for (OptionReply reply : replies) {
            ByteBuffer data = ByteBuffer.wrap(reply.data());
            switch (data.getShort()) {
                case Wire.INFO_EXPORT -> {
                    size = data.getLong();
                    flags = Short.toUnsignedInt(data.getShort());
                }
                case Wire.INFO_NAME ->
                    name = StandardCharsets.UTF_8.decode(data).toString();
                case Wire.INFO_DESCRIPTION ->
                    description = StandardCharsets.UTF_8.decode(data).toString();
                case Wire.INFO_BLOCK_SIZE -> data.asIntBuffer().get(blocks);
                default -> throw new IOException("Information that was not asked for");
            }
        }
        return new ExportInfo(size, flags, name, description, blocks[0], blocks[1], blocks[2]);
    }

    /** The old way in, which only the export name option allows. */
    public ExportInfo exportName(String export) throws IOException {
        send(optionBytes(Wire.OPT_EXPORT_NAME, export.getBytes(StandardCharsets.UTF_8)));
        ByteBuffer welcome = receive(10);
        return new ExportInfo(welcome.getLong(), Short.toUnsignedInt(welcome.getShort()), export, "", 0, 0, 0);
    }

    // ---- transmission

    public byte[] read(long offset, int lengthBytes) throws IOException {
        return await(submit(Wire.CMD_READ, 0, offset, lengthBytes)).ok();
    }

    public void write(long offset, byte[] data) throws IOException {
        await(submit(Wire.CMD_WRITE, 0, offset, data.length, data)).ok();
    }

    public void writeThrough(long offset, byte[] data) throws IOException {
        await(submit(Wire.CMD_WRITE, Wire.CMD_FLAG_FUA, offset, data.length, data))
                .ok();
    }

    public Map<Integer, List<Extent>> status(int flags, long offset, long lengthBytes) throws IOException {
        Reply reply = await(submit(Wire.CMD_BLOCK_STATUS, flags, offset, lengthBytes));
        reply.ok();
        return reply.status();
    }

    public void trim(long offset, int lengthBytes) throws IOException {
        await(submit(Wire.CMD_TRIM, 0, offset, lengthBytes)).ok();
    }

    public void writeZeroes(long offset, int lengthBytes) throws IOException {
        await(submit(Wire.CMD_WRITE_ZEROES, Wire.CMD_FLAG_NO_HOLE, offset, lengthBytes))
                .ok();
    }

    public void flush() throws IOException {
        await(submit(Wire.CMD_FLUSH, 0, 0, 0)).ok();
    }

    /** Sends a request and returns its cookie. */
    public long submit(int command, int flags, long offset, long lengthBytes, byte... payload) throws IOException {
        long cookie = nextCookie++;
        pending.put(cookie, new Pending(command, flags, offset, lengthBytes));
        if (dialect == Dialect.EXTENDED) {
            int payloadFlag = command == Wire.CMD_WRITE ? Wire.CMD_FLAG_PAYLOAD_LEN : 0;
            send(extendedRequestBytes(command, flags | payloadFlag, cookie, offset, lengthBytes, payload));
        } else {
            send(requestBytes(command, flags, cookie, offset, (int) lengthBytes, payload));
        }
        return cookie;
    }

    /** The answer to one request; those to others are kept. */
    public Reply await(long cookie) throws IOException {
        while (!answered.containsKey(cookie)) {
            receiveReply();
        }
        order.remove(cookie);
        return Optional.ofNullable(answered.remove(cookie)).orElseThrow();
    }

    /** The answer that comes next, whichever request it is to. */
    public Reply next() throws IOException {
        if (order.isEmpty()) {
            receiveReply();
        }
        return await(order.getFirst());
    }

    /** Says goodbye and waits for the server to close. */
    public void disconnect() throws IOException {
        send(requestBytes(Wire.CMD_DISC, 0, 0, 0, 0));
        awaitEnd();
    }

    private void receiveReply() throws IOException {
        int magic = receive(4).getInt();
        if (magic == Wire.SIMPLE_REPLY_MAGIC) {
            check(dialect != Dialect.EXTENDED, "a simple reply beside extended headers");
            ByteBuffer rest = receive(12);
            int errno = rest.getInt();
            long cookie = rest.getLong();
            Pending request = Optional.ofNullable(pending.remove(cookie)).orElseGet(() -> new Pending(-1, 0, 0, 0));
            check(dialect == Dialect.SIMPLE || !request.chunked(), "chunks in answer to " + request.command);
            if (errno == 0 && request.command == Wire.CMD_READ) {
                request.put(request.offset, receive((int) request.length).array());
            }
            request.errno = errno;
            end(cookie, request);
        } else {
            boolean extended = magic == Wire.EXTENDED_REPLY_MAGIC;
            check(
                    extended ? dialect == Dialect.EXTENDED : magic == Wire.STRUCTURED_REPLY_MAGIC,
                    "a reply magic, not " + Integer.toHexString(magic));
            check(dialect == Dialect.EXTENDED || !extended, "an extended reply that was not agreed on");
            receiveChunk(extended);
        }
    }

    private void end(long cookie, Pending request) throws IOException {
        if (request.errno == 0 && request.command == Wire.CMD_READ) {
            check(request.filled == request.length, request.length + " bytes of data, not " + request.filled);
        }
        order.add(cookie);
        Reply reply = new Reply(
                cookie,
                request.errno,
                request.errno == 0 ? request.data : new byte[0],
                request.contentChunks,
                request.holes,
                request.status);
        check(answered.put(cookie, reply) == null, "one reply to " + cookie);
    }

    private void receiveChunk(boolean extended) throws IOException {
        ByteBuffer header = receive(extended ? 28 : 16);
        int flags = header.getShort();
        int type = Short.toUnsignedInt(header.getShort());
        long cookie = header.getLong();
        Pending request = Optional.ofNullable(pending.get(cookie)).orElseGet(() -> new Pending(-1, 0, 0, 0));
        check(extended || request.chunked(), "chunks in answer to " + request.command);
        if (extended) {
            check(header.getLong() == request.offset, "the offset of the request");
        }
        int length = (int) (extended ? header.getLong() : header.getInt());
        ByteBuffer payload = receive(length);
        switch (type) {
            case Wire.REPLY_TYPE_NONE -> check(length == 0 && flags == Wire.REPLY_FLAG_DONE, "nothing, and the end");
            case Wire.REPLY_TYPE_OFFSET_DATA -> {
                long at = payload.getLong();
                byte[] data = new byte[payload.remaining()];
                payload.get(data);
                request.put(at, data);
            }
            case Wire.REPLY_TYPE_OFFSET_HOLE -> {
                long at = payload.getLong();
                int count = payload.getInt();
                request.put(at, new byte[count]);
                request.holes.add(new Hole(at, count));
            }
            case Wire.REPLY_TYPE_BLOCK_STATUS, Wire.REPLY_TYPE_BLOCK_STATUS_EXT -> {
                check(extended == (type == Wire.REPLY_TYPE_BLOCK_STATUS_EXT), "extents of the right width");
                int context = payload.getInt();
                List<Extent> extents = new ArrayList<>();
                int count = extended ? payload.getInt() : payload.remaining() / 8;
                for (int i = 0; i < count; i++) {
                    extents.add(
                            extended
                                    ? new Extent(payload.getLong(), payload.getLong())
                                    : new Extent(Integer.toUnsignedLong(payload.getInt()), payload.getInt()));
                }
                check(!payload.hasRemaining() && count > 0, "whole extents, at least one");
                check(request.status.put(context, extents) == null, "one chunk for a context");
            }
            case Wire.REPLY_TYPE_ERROR -> {
                request.errno = payload.getInt();
                check(request.errno != 0, "an error number");
            }
            default -> throw new IOException("Unknown chunk type " + type);
        }
        if ((flags & Wire.REPLY_FLAG_DONE) != 0) {
            pending.remove(cookie);
            end(cookie, request);
        }
    }

    /** A request that is not answered to its end. */
    private static final class Pending {
        final int command;
        final int flags;
        final long offset;
        final long length;
        byte[] data = {};
        final List<Hole> holes = new ArrayList<>();
        final Map<Integer, List<Extent>> status = new TreeMap<>();
        long filled;
        int contentChunks;
        int errno;

        Pending(int command, int flags, long offset, long length) {
            this.command = command;
            this.flags = flags;
            this.offset = offset;
            this.length = length;
        }

        boolean chunked() {
            return command == Wire.CMD_READ || command == Wire.CMD_BLOCK_STATUS;
        }

        /** Chunks of this server come in order, and without gaps. */
        void put(long at, byte[] bytes) throws IOException {
            check(at == offset + filled, "data at " + (offset + filled) + ", not at " + at);
            check(filled + bytes.length <= length, length + " bytes of data at most");
            if (filled == 0) {
                data = new byte[(int) length];
            }
            System.arraycopy(bytes, 0, data, (int) filled, bytes.length);
            filled += bytes.length;
            contentChunks++;
            check(contentChunks == 1 || (flags & Wire.CMD_FLAG_DF) == 0, "one chunk of data");
        }
    }

    // ---- bytes

    public static byte[] optionBytes(int option, byte... data) {
        return ByteBuffer.allocate(16 + data.length)
                .putLong(Wire.OPTION_MAGIC)
                .putInt(option)
                .putInt(data.length)
                .put(data)
                .array();
    }

    /** The data of GO or INFO. */
    public static byte[] goData(String export, int... infos) {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        ByteBuffer data = ByteBuffer.allocate(4 + name.length + 2 + 2 * infos.length)
                .putInt(name.length)
                .put(name)
                .putShort((short) infos.length);
        for (int info : infos) {
            data.putShort((short) info);
        }
        return data.array();
    }

    /** The data of SET_META_CONTEXT or LIST_META_CONTEXT. */
    public static byte[] contextData(String export, String... queries) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        data.writeBytes(sized(export));
        data.writeBytes(ByteBuffer.allocate(4).putInt(queries.length).array());
        for (String query : queries) {
            data.writeBytes(sized(query));
        }
        return data.toByteArray();
    }

    private static byte[] sized(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(4 + utf8.length)
                .putInt(utf8.length)
                .put(utf8)
                .array();
    }

    public static byte[] extendedRequestBytes(
            int command, int flags, long cookie, long offset, long lengthBytes, byte... payload) {
        return ByteBuffer.allocate(32 + payload.length)
                .putInt(Wire.EXTENDED_REQUEST_MAGIC)
                .putShort((short) flags)
                .putShort((short) command)
                .putLong(cookie)
                .putLong(offset)
                .putLong(lengthBytes)
                .put(payload)
                .array();
    }

    public static byte[] requestBytes(
            int command, int flags, long cookie, long offset, int lengthBytes, byte... payload) {
        return ByteBuffer.allocate(28 + payload.length)
                .putInt(Wire.REQUEST_MAGIC)
                .putShort((short) flags)
                .putShort((short) command)
                .putLong(cookie)
                .putLong(offset)
                .putInt(lengthBytes)
                .put(payload)
                .array();
    }

    public void send(byte... bytes) throws IOException {
        ByteBuffer rest = ByteBuffer.wrap(bytes);
        while (rest.hasRemaining()) {
            channel.write(rest);
        }
    }

    public ByteBuffer receive(int count) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(count);
        while (into.hasRemaining()) {
            int got;
            try {
                got = channel.read(into);
            } catch (EOFException e) {
                throw e;
            } catch (IOException e) {
                throw new Disconnected(String.valueOf(e.getMessage()));
            }
            if (got < 0) {
                throw new Disconnected("The server closed after " + into.position() + " of " + count + " bytes");
            }
        }
        return into.flip();
    }

    /** Waits until the server closes; what it still says is dropped. */
    public void awaitEnd() throws IOException {
        try {
            while (true) {
                receive(1);
            }
        } catch (Disconnected e) {
            return;
        }
    }

    /** No more requests, but answers are still read. */
    public void endOutput() throws IOException {
        channel.shutdownOutput();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private static String text(byte[] utf8) {
        return new String(utf8, StandardCharsets.UTF_8);
    }

    private static void check(boolean holds, String what) throws IOException {
        if (!holds) {
            throw new IOException("The server did not send " + what);
        }
    }
}
