package io.terminus.agent.nbd;

import io.terminus.agent.net.DuplexSocket;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.ssl.SSLEngine;
import org.jspecify.annotations.Nullable;

/**
 * One client's connection to the agent that serves its export, and the copying between the two. The other agent is brought to where the
 * client stands in the handshake: its flags, STARTTLS if there are keys, that it is relayed, what dialect was agreed on, and whether the
 * export is there. The option that led here is sent then, and from there on bytes pass in both directions, and nobody looks at them.
 *
 * <p>Each direction is read by the owner of its socket, and read on only while the other socket holds less than {@link #HELD_BYTES}: who
 * does not read stops whoever sends to it, and costs no more than that.
 */
final class Relay implements DuplexSocket.Handler {

    static final int HELD_BYTES = 256 << 10;

    private static final int BUFFER_BYTES = 256 << 10;
    private static final long QUEUE_LIMIT_BYTES = 4 << 20;
    private static final int REPLY_HEADER_BYTES = 20;
    private static final int MOST_REPLY_BYTES = 64 << 10;

    private final DuplexSocket client;
    private final DuplexSocket upstream;
    private final Deque<byte[]> toSay = new ArrayDeque<>();
    private final CompletableFuture<@Nullable Void> agreed = new CompletableFuture<>();
    private final ByteBuffer fromUpstream = ByteBuffer.allocateDirect(BUFFER_BYTES);
    private final ByteBuffer fromClient = ByteBuffer.allocateDirect(BUFFER_BYTES);
    private volatile boolean splicing;
    private volatile boolean clientEnded;
    private boolean outputEnded;

    /** Its reader has stopped, and is to be woken when there is room: only then, or two owners wake each other for ever. */
    private volatile boolean clientStopped;

    private volatile boolean upstreamStopped;
    private volatile @Nullable String over;

    private Relay(DuplexSocket client, DuplexSocket upstream) {
        this.client = client;
        this.upstream = upstream;
    }

    /**
     * Blocks until the other agent is ready for the client's option, for {@code patience} at most for each of the three steps.
     *
     * @throws IOException if it is not; the message says why
     */
    static Relay open(DuplexSocket client, Handshake.Step.Relay step, Exports.Upstream to, Duration patience)
            throws IOException {
        InetSocketAddress address = to.address().isUnresolved()
                ? new InetSocketAddress(
                        to.address().getHostString(), to.address().getPort())
                : to.address();
        SocketChannel channel = SocketChannel.open();
        try {
            int millis = Math.toIntExact(patience.toMillis());
            channel.socket().connect(address, millis);
            channel.socket().setSoTimeout(millis);
            begin(channel, step.clientFlags(), to.tls().isPresent());
            DuplexSocket upstream = new DuplexSocket(channel, "NBD relay to " + address, QUEUE_LIMIT_BYTES);
            if (to.tls().isPresent()) {
                SSLEngine engine = to.tls().get().get();
                upstream.handshake(engine, patience);
            }
            Relay relay = new Relay(client, upstream);
            relay.agree(step, patience);
            return relay;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /** The part that is never under TLS, while the channel still blocks. */
    private static void begin(SocketChannel channel, int clientFlags, boolean tls) throws IOException {
        DataInputStream in = new DataInputStream(channel.socket().getInputStream());
        DataOutputStream out = new DataOutputStream(channel.socket().getOutputStream());
        if (in.readLong() != Wire.GREETING_MAGIC || in.readLong() != Wire.OPTION_MAGIC) {
            throw new IOException("it does not speak NBD");
        }
        in.readUnsignedShort();
        // Options are answered in the fixed newstyle alone; whether zeros pad the old way in is the client's.
        ByteBuffer first = ByteBuffer.allocate(20).putInt(clientFlags | Wire.FLAG_FIXED_NEWSTYLE);
        if (tls) {
            first.put(option(Wire.OPT_STARTTLS, new byte[0]));
        }
        out.write(first.array(), 0, first.position());
        if (tls) {
            byte[] reply = in.readNBytes(REPLY_HEADER_BYTES);
            if (reply.length < REPLY_HEADER_BYTES || ByteBuffer.wrap(reply).getInt(12) != Wire.REP_ACK) {
                throw new IOException("it does not take TLS");
            }
        }
    }

    private void agree(Handshake.Step.Relay step, Duration patience) throws IOException {
        byte[] name = step.export().getBytes(StandardCharsets.UTF_8);
        toSay.add(option(Wire.OPT_RELAYED, name));
        switch (step.dialect()) {
            case SIMPLE -> {}
            case STRUCTURED -> toSay.add(option(Wire.OPT_STRUCTURED_REPLY, new byte[0]));
            case EXTENDED -> toSay.add(option(Wire.OPT_EXTENDED_HEADERS, new byte[0]));
        }
        toSay.add(option(
                Wire.OPT_INFO,
                ByteBuffer.allocate(4 + name.length + 2)
                        .putInt(name.length)
                        .put(name)
                        .putShort((short) 0)
                        .array()));
        upstream.deadline(patience, "the other agent was to answer in the NBD handshake");
        upstream.send(ByteBuffer.wrap(toSay.element()));
        upstream.start(this);
        try {
            agreed.get(2 * patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            Throwable why = e.getCause() == null ? e : e.getCause();
            throw new IOException(String.valueOf(why.getMessage()), why);
        } catch (TimeoutException e) {
            upstream.close("no answer");
            throw new IOException("no answer", e);
        } catch (InterruptedException e) {
            upstream.close("interrupted");
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    private static byte[] option(int option, byte[] data) {
        return ByteBuffer.allocate(16 + data.length)
                .putLong(Wire.OPTION_MAGIC)
                .putInt(option)
                .putInt(data.length)
                .put(data)
                .array();
    }

    // ---- the client's reader

    /** Where the client's next bytes go; null while the other agent does not read. */
    @Nullable
    ByteBuffer roomForClient() {
        clientStopped = upstream.queuedBytes() > HELD_BYTES;
        if (clientStopped && upstream.queuedBytes() <= HELD_BYTES) {
            clientStopped = false; // it was sent on between the two looks, and nobody would say so again
        }
        return clientStopped ? null : fromClient.clear();
    }

    void clientSent() {
        send(fromClient.flip());
    }

    void send(ByteBuffer bytes) {
        switch (upstream.send(bytes)) {
            case TAKEN, QUEUED, CLOSED -> {}
            case FULL -> upstream.fail(new IOException("more was read of the client than may be held"));
        }
    }

    /** The client sends no more, and may still read. */
    void clientEnded() {
        clientEnded = true;
        upstream.wakeOwner();
    }

    /** The client's socket has sent something on. */
    void clientAwake() {
        String ended = over;
        if (ended != null) {
            client.closeWhenSent(ended, Duration.ofSeconds(5));
        } else if (upstreamStopped && client.queuedBytes() <= HELD_BYTES) {
            upstreamStopped = false;
            upstream.wakeOwner();
        }
    }

    /** Any thread. */
    void close(String why) {
        upstream.close(why);
    }

    // ---- the owner of the other agent's socket

    @Override
    public @Nullable ByteBuffer readInto() {
        upstreamStopped = splicing && client.queuedBytes() > HELD_BYTES;
        if (upstreamStopped && client.queuedBytes() <= HELD_BYTES) {
            upstreamStopped = false; // as above
        }
        return upstreamStopped ? null : fromUpstream;
    }

    @Override
    public void received() throws IOException {
        fromUpstream.flip();
        if (!splicing) {
            hear();
        } else {
            switch (client.send(fromUpstream)) {
                case TAKEN, QUEUED, CLOSED -> {}
                case FULL -> throw new IOException("more was read of the other agent than may be held");
            }
            fromUpstream.position(fromUpstream.limit());
        }
        fromUpstream.compact();
    }

    private void hear() throws IOException {
        while (!splicing && fromUpstream.remaining() >= REPLY_HEADER_BYTES) {
            int at = fromUpstream.position();
            int length = fromUpstream.getInt(at + 16);
            if (fromUpstream.getLong(at) != Wire.OPTION_REPLY_MAGIC || length < 0 || length > MOST_REPLY_BYTES) {
                throw new IOException("the other agent's answer is none");
            }
            if (fromUpstream.remaining() < REPLY_HEADER_BYTES + length) {
                return;
            }
            int type = fromUpstream.getInt(at + 12);
            byte[] data = new byte[length];
            fromUpstream.get(at + REPLY_HEADER_BYTES, data);
            fromUpstream.position(at + REPLY_HEADER_BYTES + length);
            if (type < 0) {
                throw new IOException(new String(data, StandardCharsets.UTF_8));
            }
            if (type == Wire.REP_ACK) {
                toSay.remove();
                if (toSay.isEmpty()) {
                    upstream.noDeadline();
                    splicing = true;
                    agreed.complete(null);
                } else {
                    upstream.send(ByteBuffer.wrap(toSay.element()));
                }
            }
        }
    }

    @Override
    public void awake() throws IOException {
        if (clientEnded && !outputEnded && upstream.queuedBytes() == 0) {
            outputEnded = true;
            upstream.endOutput();
        }
        if (clientStopped && upstream.queuedBytes() <= HELD_BYTES) {
            clientStopped = false;
            client.wakeOwner();
        }
    }

    @Override
    public void ended() {
        upstream.close("the writer has ended the connection");
    }

    @Override
    public void closed(String why, @Nullable Throwable failure) {
        over = "relay to the writer: " + why;
        agreed.completeExceptionally(failure == null ? new IOException(why) : failure);
        client.wakeOwner();
    }
}
