package io.terminus.agent.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.net.Listener;
import io.terminus.agent.peer.Abilities.Agreement;
import io.terminus.agent.volume.CopyItem;
import io.terminus.agent.volume.Inbound;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RebuildPlan;
import io.terminus.agent.volume.Reception;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Fetch;
import io.terminus.proto.agent.v1.Hello;
import io.terminus.proto.agent.v1.Refusal;
import io.terminus.security.Identity;
import io.terminus.security.TlsKeys;
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
    private static final int RUN_BYTES = FrameHandler.MAX_RUN_BYTES;

    /** As in one write of one block. */
    private static final int SMALL_BYTES = 8 << 10;

    /** Between two syncs, of a client that waits for each: a write with FUA, or a write and then a flush. */
    private static final int MOST_RUNS_OF_ONE = 2;

    /** Within a COPY's body. */
    private static final int COPY_COMMITTED_AT = 32;

    private static final Duration GREETING_TIMEOUT = Duration.ofSeconds(5);
    /** To read one run of a tail, and to close the connection behind the last one. */
    private static final Duration SUPPLY_TIMEOUT = Duration.ofSeconds(30);

    private static final Duration LAST_WORDS_TIMEOUT = Duration.ofSeconds(2);

    /** A writer that is to say how a copy begins looks through its journal first. */
    private static final Duration REBUILD_TIMEOUT = Duration.ofSeconds(60);

    /** While bytes come, the writer is told so at least this often: also in the middle of a long frame on a slow link. */
    private static final long HEARTBEAT_NANOS = 100_000_000;

    /** A deadline is moved no more often than this, for it costs more than to look at the time. */
    private static final long SILENCE_NOTED_NANOS = 500_000_000;

    private final Volumes volumes;
    private final LinkSettings settings;
    private final Abilities abilities;
    private final Listener listener;
    private final Set<DuplexSocket> connections = ConcurrentHashMap.newKeySet();

    private PeerServer(Volumes volumes, LinkSettings settings, Listener listener) {
        this.volumes = volumes;
        this.settings = settings;
        this.abilities = Abilities.of(settings);
        this.listener = listener;
    }

    public static PeerServer start(InetSocketAddress at, Volumes volumes) throws IOException {
        return start(at, volumes, LinkSettings.DEFAULTS);
    }

    public static PeerServer start(InetSocketAddress at, Volumes volumes, LinkSettings settings) throws IOException {
        PeerServer server = new PeerServer(volumes, settings, Listener.bind(at, "peer server", MAX_CONNECTIONS));
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
        TlsKeys keys = settings.tls();
        if (keys != null) {
            s.startTls(keys.serverEngine());
        }
        connections.add(s);
        s.deadline(GREETING_TIMEOUT, "a greeting was to come");
        s.start(new Link(s, place));
    }

    private final class Link extends FrameHandler {
        private final DuplexSocket s;
        private final Listener.Place place;
        private final ByteBuffer ack = ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.CREDIT_ACK_BODY_BYTES)
                .order(ByteOrder.LITTLE_ENDIAN);
        private @Nullable Volume volume;
        private @Nullable Inbound inbound;
        private @Nullable Greeting greeting;
        private Reception.@Nullable Needs needs;
        private @Nullable Supply supply;
        private Agreement spoken = Agreement.NONE;
        private @Nullable RunUnpacker unpacker;
        private boolean answerDue;
        private boolean smallRun;
        private long syncWanted;
        private long syncAsked;
        private int runsSinceSync;
        private long copySequence;
        private long heardAtNanos = System.nanoTime();
        private volatile long ackedAtNanos;
        private volatile long counted;

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
                case HELLO -> greet(Messages.hello(body));
                case FETCH -> supply(body);
                case STATUS -> {
                    Inbound in = stream();
                    Positions.require(
                            "the end of the writer's journal",
                            body.getLong(),
                            in.progress().received(),
                            Long.MAX_VALUE,
                            "the journal here begins to differ there");
                    long committed = Positions.require("committed", body.getLong());
                    syncWanted = Positions.require("the position to sync up to", body.getLong());
                    in.told(committed, body.getLong());
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
                case COPY -> copy(body);
                case ACCEPTED, REFUSED, RUN, ACK, NEEDS, COMPARED, PACKED ->
                    throw new RefusedException(Why.BAD_MESSAGE, type + " does not come from a writer");
            }
        }

        private void copy(ByteBuffer body) throws RefusedException {
            Inbound in = stream();
            long committed = Positions.require("committed", body.getLong(COPY_COMMITTED_AT));
            CopyItem item = Messages.copy(body);
            // In the stream it comes behind everything that it presupposes.
            Positions.require(
                    "the position of a COPY", item.position(), 0, in.progress().received(), "so much is received");
            long expected = item.kind() == CopyItem.Kind.HORIZON ? 0 : copySequence + 1;
            if (item.sequence() != expected) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "a COPY of kind " + item.kind() + " with the number " + item.sequence() + ", not " + expected);
            }
            copySequence = Math.max(copySequence, expected);
            in.committed(committed);
            in.copy(item);
            answerDue = true;
        }

        private void greet(Hello said) throws RefusedException {
            requireFresh();
            spoken = abilities.agreeWith(
                    Abilities.of(said.hasAbilities(), said.getAbilities()),
                    volumes.agent(),
                    "writer " + said.getWriter());
            Greeting hello = Messages.greeting(said);
            Volume v = volumes.byUuid(hello.volume());
            if (v == null) {
                throw absent(hello);
            }
            PeerIdentity.require(identity(), v.config(), hello.writer());
            switch (v.accept(hello)) {
                case Reception.Follows follows -> streamBegins(v, hello, follows.inbound());
                case Reception.Needs what -> {
                    LOG.info("volume {}: {} has to copy to this replica: {}", v.name(), hello.writer(), what.why());
                    volume = v;
                    greeting = hello;
                    needs = what;
                    s.deadline(REBUILD_TIMEOUT, "the writer was to say how the copy begins");
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
            Positions.require(
                    "the position of a REBUILD",
                    plan.at(),
                    hello.oldest(),
                    Long.MAX_VALUE,
                    "the writer's journal begins there");
            s.noDeadline();
            streamBegins(v, hello, v.rebuild(hello, told, plan));
        }

        private void streamBegins(Volume v, Greeting hello, Inbound in) {
            volume = v;
            inbound = in;
            RunCodec codec = spoken.compression().codec();
            if (codec != null) {
                unpacker = new RunUnpacker(codec);
            }
            heardAtNanos = System.nanoTime();
            s.deadline(settings.silence(), "the writer was to be heard");
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
                    .setVersion(spoken.version())
                    .addAllFeatures(spoken.features())
                    .setLandsUpTo(spoken.credit() ? in.landsUpTo() : 0)
                    .build()
                    .toByteArray()));
            in.onProgress(this::progressMade); // no ACK overtakes the answer
            in.onCompared(this::differing);
        }

        @Override
        void run(long from, int bytes, long committed, long syncUpTo, long floor) throws RefusedException {
            stream().told(committed, floor);
            syncWanted = syncUpTo;
            runsSinceSync++;
            smallRun = bytes <= SMALL_BYTES;
        }

        @Override
        @Nullable
        RunUnpacker unpacker() {
            return unpacker;
        }

        @Override
        ByteBuffer land(long position, int atMost) throws RefusedException {
            Volume v = volume;
            if (v != null) {
                settings.hooks().beforeLanding(v.name());
            }
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
            if (in == null) {
                return;
            }
            long now = System.nanoTime();
            if (now - heardAtNanos > SILENCE_NOTED_NANOS) {
                heardAtNanos = now;
                s.deadline(settings.silence(), "the writer was to be heard");
            }
            counted = taken();
            if (answerDue) {
                answerDue = false;
                boolean oneWaits = smallRun && runsSinceSync <= MOST_RUNS_OF_ONE;
                if (syncWanted > syncAsked) {
                    syncAsked = syncWanted;
                    runsSinceSync = 0;
                }
                boolean told = in.syncUpTo(syncWanted, oneWaits);
                acknowledge(in, !told);
            } else if (now - ackedAtNanos > HEARTBEAT_NANOS) {
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
                    ackedAtNanos = System.nanoTime();
                    Frame.ACK.begin(ack, spoken.credit() ? Frame.CREDIT_ACK_BODY_BYTES : Frame.ACK_BODY_BYTES);
                    ack.putLong(p.received())
                            .putLong(p.durable())
                            .putLong(p.applied())
                            .putLong(p.copiesWritten())
                            .putLong(p.copiesDurable());
                    if (spoken.credit()) {
                        ack.putLong(counted).putLong(in.landsUpTo());
                    }
                    s.send(Frame.seal(ack));
                }
            }
        }

        private void supply(ByteBuffer body) throws RefusedException, IOException {
            requireFresh();
            try {
                Fetch f = Fetch.parseFrom(body);
                abilities.agreeWith(
                        Abilities.of(f.hasAbilities(), f.getAbilities()),
                        volumes.agent(),
                        "the candidate of term " + f.getTerm());
                Volume v = find(UUID.fromString(f.getVolumeUuid()));
                PeerIdentity.require(identity(), v.config(), identity().agent());
                Journal journal = v.supply(f.getTerm());
                if (f.getFrom() < journal.oldest() || f.getFrom() > f.getTo() || f.getTo() > journal.end()) {
                    throw new RefusedException(
                            Why.BAD_MESSAGE,
                            "[" + f.getFrom() + ", " + f.getTo() + ") is not within this journal's [" + journal.oldest()
                                    + ", " + journal.end() + ")");
                }
                Positions.require("the begin of a FETCH", f.getFrom());
                Positions.require("the end of a FETCH", f.getTo());
                Supply runs = new Supply(s, journal, f.getFrom(), f.getTo());
                supply = runs;
                runs.send();
            } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
                throw new RefusedException(Why.BAD_MESSAGE, "not a FETCH: " + e.getMessage());
            }
        }

        private Identity identity() {
            return Identity.of(s.tlsSession());
        }

        private void requireFresh() throws RefusedException {
            if (inbound != null || supply != null || needs != null) {
                throw new RefusedException(Why.BAD_MESSAGE, "a second greeting, or FETCH, on one connection");
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

        /** By name, too: of a replica that cannot be opened nothing else may be known. */
        private RefusedException absent(Greeting hello) {
            try {
                return volumes.absent(VolumeConfig.decode(hello.config()).name());
            } catch (VolumeConfig.UnreadableConfigException e) {
                return new RefusedException(
                        Why.UNKNOWN_VOLUME, "agent " + volumes.agent() + " has no replica of volume " + hello.volume());
            }
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
            RunUnpacker u = unpacker;
            if (u != null) {
                u.close();
            }
        }
    }

    /** Sends journal bytes [from, to) as runs, as fast as the socket takes them. */
    private static final class Supply {
        private final DuplexSocket s;
        private final Journal journal;
        private final long to;
        private final ByteBuffer head = ByteBuffer.allocateDirect(Frame.HEADER_BYTES + Frame.RUN_BODY_BYTES)
                .order(ByteOrder.LITTLE_ENDIAN);
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
                s.deadline(SUPPLY_TIMEOUT, "what was fetched was to be read");
                Frame.RUN.begin(head, Frame.RUN_BODY_BYTES);
                head.putLong(at)
                        .putInt((int) (end - at))
                        .putInt(0)
                        .putLong(0)
                        .putLong(0)
                        .putLong(0);
                s.send(Frame.seal(head));
                if (s.tlsSession() == null) {
                    s.send(new JournalRun(journal, at, end));
                } else {
                    s.send(journal.bytes(at, end));
                }
                at = end;
            }
        }
    }
}
