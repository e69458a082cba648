package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.Listener;
import io.terminus.agent.volume.Inbound;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RebuildPlan;
import io.terminus.agent.volume.Reception;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Fetch;
import io.terminus.proto.agent.v1.Refusal;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where writers bring their runs and candidates fetch tails. A connection begins with HELLO or FETCH, within a deadline,
 * and serves that one purpose until it ends.
 */
public final class PeerServer implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(PeerServer.class);
    private static final int MAX_CONNECTIONS = 1_024;
    private static final long SEND_QUEUE_BYTES = 4L << 20;
    private static final int RUN_BYTES = 1 << 20;

    /** As in one write of one block. */
    private static final int SMALL_BYTES = 8 << 10;

    /** Within a COPY's body. */
    private static final int COPY_COMMITTED_AT = 32;

    private static final Duration GREETING_TIMEOUT = Duration.ofSeconds(5);
    private static final Duration LAST_WORDS_TIMEOUT = Duration.ofSeconds(2);

    private final Volumes volumes;
    private final Listener listener;
    private final Set<DuplexSocket> connections = ConcurrentHashMap.newKeySet();

    private PeerServer(Volumes volumes, Listener listener) {
        this.volumes = volumes;
        this.listener = listener;
    }

    public static PeerServer start(InetSocketAddress at, Volumes volumes) throws IOException {
        PeerServer server = new PeerServer(volumes, Listener.bind(at, "peer server", MAX_CONNECTIONS));
        server.listener.start(server::accepted);
        return server;
    }

    public SocketAddress address() {
        return listener.address();
    }

    @Override
    public void close() {
        listener.close();
        connections.forEach(c -> c.close("the agent is stopping"));
    }

    private void accepted(SocketChannel channel, Listener.Place place) throws IOException {
        DuplexSocket s = new DuplexSocket(channel, "peer-in-" + channel.getRemoteAddress(), SEND_QUEUE_BYTES);
        connections.add(s);
        s.deadline(GREETING_TIMEOUT, "a greeting was to come");
        s.start(new Link(s, place));
    }

    private final class Link extends FrameHandler {
        private final DuplexSocket s;
        private final Listener.Place place;
        private final ByteBuffer ack = ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.ACK_BODY_BYTES)
                .order(ByteOrder.LITTLE_ENDIAN);
        private @Nullable Volume volume;
        private @Nullable Inbound inbound;
        private @Nullable Greeting greeting;
        private Reception.@Nullable Needs needs;
        private @Nullable Supply supply;
        private boolean answerDue;
        private boolean smallRun;
        private long syncAfterRun;

        /** Guards {@code ack} and what was acknowledged last: the sync and apply threads acknowledge too. */
        private final Object ackLock = new Object();

        private Inbound.Progress told = new Inbound.Progress(-1, -1, -1, 0, 0);

        Link(DuplexSocket s, Listener.Place place) {
            this.s = s;
            this.place = place;
        }

        @Override
        public void awake() throws IOException {
            Supply journalRuns = supply;
            if (journalRuns != null) {
                journalRuns.send();
            }
        }

        /** One small record at a time comes from a client that waits for each. */
        @Override
        public boolean expectsBytesSoon() {
            return smallRun;
        }

        @Override
        void frame(Frame type, ByteBuffer body) throws IOException, RefusedException {
            switch (type) {
                case HELLO -> greet(Messages.greeting(body));
                case FETCH -> supply(body);
                case STATUS -> {
                    body.getLong(); // its journal's end: nothing to do with it
                    stream().told(body.getLong(), body.getLong(), body.getLong());
                    answerDue = true;
                }
                case CONFIG -> {
                    stream();
                    long version = body.getLong();
                    byte[] block = new byte[body.remaining()];
                    body.get(block);
                    Volume v = volume;
                    if (v != null) {
                        v.told(block, version);
                    }
                }
                case REBUILD -> rebuild(Messages.rebuild(body));
                case COPY -> {
                    Inbound in = stream();
                    in.committed(body.getLong(COPY_COMMITTED_AT));
                    in.copy(Messages.copy(body));
                    answerDue = true;
                }
                case ACCEPTED, REFUSED, RUN, ACK, NEEDS, COMPARED ->
                    throw new RefusedException(Why.BAD_MESSAGE, type + " does not come from a writer");
            }
        }

        private void greet(Greeting hello) throws RefusedException {
            if (inbound != null || supply != null || needs != null) {
                throw new RefusedException(Why.BAD_MESSAGE, "a second greeting on one connection");
            }
            Volume v = find(hello.volume());
            switch (v.accept(hello)) {
                case Reception.Follows follows -> streamBegins(v, hello, follows.inbound());
                case Reception.Needs what -> {
                    LOG.info("volume {}: {} has to copy to this replica: {}", v.name(), hello.writer(), what.why());
                    volume = v;
                    greeting = hello;
                    needs = what;
                    s.send(Frame.NEEDS.of(Messages.needs(what).toByteArray()));
                }
            }
        }

        private void rebuild(RebuildPlan plan) throws RefusedException {
            Volume v = volume;
            Greeting hello = greeting;
            Reception.Needs told = needs;
            if (v == null || hello == null || told == null || inbound != null) {
                throw new RefusedException(Why.BAD_MESSAGE, "REBUILD answers NEEDS");
            }
            s.noDeadline();
            streamBegins(v, hello, v.rebuild(hello, told, plan));
        }

        private void streamBegins(Volume v, Greeting hello, Inbound in) {
            volume = v;
            inbound = in;
            s.noDeadline();
            Inbound.Progress p = in.progress();
            LOG.info(
                    "volume {}: {} streams term {} from position {}",
                    v.name(),
                    hello.writer(),
                    hello.term(),
                    p.received());
            s.send(Frame.ACCEPTED.of(Accepted.newBuilder()
                    .setAgent(volumes.agent())
                    .setIncarnation(v.incarnation())
                    .setReceived(p.received())
                    .setDurable(p.durable())
                    .setApplied(p.applied())
                    .setJournalBytes(v.journalBytes())
                    .build()
                    .toByteArray()));
            in.onProgress(this::progressMade); // no ACK overtakes the answer
            in.onCompared(this::differing);
        }

        @Override
        void run(long from, int bytes, long committed, long syncUpTo, long floor) throws RefusedException {
            stream().told(committed, syncUpTo, floor);
            syncAfterRun = syncUpTo;
            smallRun = bytes <= SMALL_BYTES;
        }

        @Override
        ByteBuffer land(long position, int atMost) throws RefusedException {
            return stream().landing(position, atMost);
        }

        @Override
        void landed(int bytes) throws RefusedException {
            stream().landed(bytes);
            answerDue = true;
        }

        @Override
        void copied(int bytes) {
            Inbound in = inbound;
            if (in != null) {
                in.copied(bytes);
            }
        }

        @Override
        void handled() {
            Inbound in = inbound;
            if (in != null && answerDue) {
                answerDue = false;
                in.syncUpTo(syncAfterRun);
                acknowledge(in, true);
            }
        }

        /** From the sync and apply threads, and when the stream was ended by a newer term. */
        private void progressMade() {
            Inbound in = inbound;
            if (in == null) {
                return;
            }
            RefusedException over = in.endedBecause();
            if (over != null) {
                tell(over);
            } else {
                acknowledge(in, false);
            }
        }

        /** An item that is acknowledged without this counts as equal. */
        private void differing(long sequence, long blocks) {
            ByteBuffer b = Frame.COMPARED.begin(Frame.COMPARED_BODY_BYTES);
            if (s.send(Frame.seal(b.putLong(sequence).putLong(blocks))) == DuplexSocket.Sent.FULL) {
                s.fail(new IOException("the writer does not read what was compared"));
            }
        }

        private void acknowledge(Inbound in, boolean evenIfNothingNew) {
            synchronized (ackLock) {
                Inbound.Progress p = in.progress();
                if (evenIfNothingNew || !p.equals(told)) {
                    told = p;
                    Frame.ACK.begin(ack, Frame.ACK_BODY_BYTES);
                    s.send(Frame.seal(ack.putLong(p.received())
                            .putLong(p.durable())
                            .putLong(p.applied())
                            .putLong(p.copiesWritten())
                            .putLong(p.copiesDurable())));
                }
            }
        }

        private void supply(ByteBuffer body) throws RefusedException, IOException {
            if (inbound != null || supply != null) {
                throw new RefusedException(Why.BAD_MESSAGE, "a second purpose on one connection");
            }
            try {
                Fetch f = Fetch.parseFrom(body);
                Volume v = find(UUID.fromString(f.getVolumeUuid()));
                Journal journal = v.supply(f.getTerm());
                if (f.getFrom() < journal.oldest() || f.getFrom() > f.getTo() || f.getTo() > journal.end()) {
                    throw new RefusedException(
                            Why.BAD_MESSAGE,
                            "[" + f.getFrom() + ", " + f.getTo() + ") is not within this journal's [" + journal.oldest()
                                    + ", " + journal.end() + ")");
                }
                s.noDeadline();
                supply = new Supply(s, journal, f.getFrom(), f.getTo());
                supply.send();
            } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
                throw new RefusedException(Why.BAD_MESSAGE, "not a FETCH: " + e.getMessage());
            }
        }

        private Volume find(UUID uuid) throws RefusedException {
            Volume v = volumes.byUuid(uuid);
            if (v == null) {
                throw new RefusedException(
                        Why.UNKNOWN_VOLUME, "agent " + volumes.agent() + " has no replica of volume " + uuid);
            }
            return v;
        }

        private Inbound stream() throws RefusedException {
            Inbound in = inbound;
            if (in == null) {
                throw new RefusedException(Why.BAD_MESSAGE, "a stream begins with HELLO");
            }
            return in;
        }

        @Override
        void refused(RefusedException why) {
            tell(why);
        }

        private void tell(RefusedException why) {
            LOG.info("{}: refused: {}", s.name(), why.getMessage());
            s.send(Frame.REFUSED.of(Refusal.newBuilder()
                    .setWhy(why.why().code())
                    .setMessage(String.valueOf(why.getMessage()))
                    .build()
                    .toByteArray()));
            s.closeWhenSent("refused", LAST_WORDS_TIMEOUT);
        }

        @Override
        public void closed(String why, @Nullable Throwable failure) {
            connections.remove(s);
            place.close();
        }
    }

    /** Sends journal bytes [from, to) as runs, as fast as the socket takes them. */
    private static final class Supply {
        private final DuplexSocket s;
        private final Journal journal;
        private final long to;
        private long at;

        Supply(DuplexSocket s, Journal journal, long from, long to) {
            this.s = s;
            this.journal = journal;
            this.at = from;
            this.to = to;
        }

        void send() {
            while (at < to && s.queuedBytes() == 0) {
                long end = Math.min(Math.min(to, at + RUN_BYTES), journal.segmentEnd(at));
                ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
                b.putLong(at)
                        .putInt((int) (end - at))
                        .putInt(0)
                        .putLong(0)
                        .putLong(0)
                        .putLong(0);
                s.send(Frame.seal(b));
                s.send(new JournalRun(journal, at, end));
                at = end;
            }
        }
    }
}
