package io.terminus.lockmgr.client;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.ssl.SslContext;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.CloseSessionResponse;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.IntFunction;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A client of the lock manager: one session, all its locks, one lease. Where volumes are spread over several groups of lock managers it has
 * a session with each group whose volumes it asks for: a session that is lost takes the locks of its group with it and no others.
 *
 * <p>Blocking:
 *
 * <pre>{@code
 * LockClient locks = LockClient.connect(LockClient.Config.of("localhost:10811", "agent-a"));
 * AcquireRequest wanted = AcquireRequest.of("vol1", LockRange.of(0, 4096), LockMode.EXCLUSIVE, Duration.ofSeconds(10));
 * try (Grant grant = locks.lock(wanted)) {
 *     while (grant.believed()) writeOneBlock(grant.token()); // the guard: ask it last, before every reply
 * }
 * }</pre>
 *
 * <p>Without waiting, and without an exception where somebody else has it:
 *
 * <pre>{@code
 * Optional<Grant> free = locks.tryLock("vol1", LockRange.of(0, 4096), LockMode.SHARED);
 * if (free.isPresent()) {
 *     try (Grant grant = free.get()) {
 *         read(grant);
 *     }
 * }
 * }</pre>
 *
 * <p>Asynchronous; whoever gives up the future gives up the wait:
 *
 * <pre>{@code
 * locks.acquire(wanted)
 *         .thenCompose(grant -> write(grant.token()).whenComplete((done, failure) -> grant.close()))
 *         .exceptionally(failure -> report(failure)); // a LockRefusedException names the reason
 * }</pre>
 *
 * <p>Several at once, all or none, also over volumes (of one group, where there are several: else it is refused with INVALID_ARGUMENT):
 *
 * <pre>{@code
 * try (GrantSet both = locks.lockAll(List.of(
 *         AcquireRequest.of("vol1", from, LockMode.SHARED, Duration.ofSeconds(10)),
 *         AcquireRequest.of("vol2", to, LockMode.EXCLUSIVE, Duration.ofSeconds(10))))) {
 *     copy(both.get(0), both.get(1));
 * }
 * }</pre>
 *
 * <p>Used again and again from this process: {@link LockCache}. More room than is needed, if nobody minds: {@link
 * AcquireRequest#withDesired}. What a grant can become: {@link Grant#convert}, {@link Grant#shrink}, {@link Grant#split}.
 *
 * <p>The session is opened in the background, and reopened and re-attached for ever with random exponential back-off (100 ms to 3 s);
 * requests wait for it. Requests survive a broken connection; see {@link PutOutcome.Unknown} for the one thing that cannot.
 *
 * <p>Threads: any thread may call anything. The event loop of the connection, which the clients of a process share as far as it has
 * cores, drives the {@link SessionCore} and the stream; what is asked while it is
 * busy leaves as one message of up to 256 operations. One callback thread completes futures and calls the {@link LockListener}, in
 * order; blocking calls are refused there, because it is the thread that would have to end them. At most {@link Config#maxInFlight()} acquires, reads and puts are in flight; the next one fails with TOO_MANY_IN_FLIGHT and is
 * not sent.
 */
public final class LockClient implements AutoCloseable {

    /**
     * @param target host:port, or any name gRPC resolves; of a group those of its members, with commas between them
     * @param owner who this is, for people: 1 to 128 characters of [A-Za-z0-9._:/-]
     * @param ttl the lease asked for, 300 ms to 10 min; the lock manager has the last word
     * @param maxInFlight bound on acquires, reads and puts without an answer
     * @param closeTimeout how long {@link #close()} tries to give the session back; after that it ends with its ttl
     * @param tls what shows this side's certificate and checks the lock manager's; null: unencrypted
     */
    public record Config(
            String target,
            String owner,
            Duration ttl,
            int maxInFlight,
            Duration closeTimeout,
            LeaseClock clock,
            LockListener listener,
            @Nullable SslContext tls) {

        private static final Pattern OWNER = Pattern.compile("[A-Za-z0-9._:/-]{1,128}");

        public Config {
            if (!OWNER.matcher(owner).matches()) {
                throw new IllegalArgumentException(
                        "owner '" + owner + "' is not 1 to 128 characters of [A-Za-z0-9._:/-]");
            }
            if (ttl.compareTo(Duration.ofMillis(300)) < 0 || ttl.compareTo(Duration.ofMinutes(10)) > 0) {
                throw new IllegalArgumentException("ttl " + ttl + " is not within 300 ms and 10 min");
            }
            if (maxInFlight < 1) {
                throw new IllegalArgumentException("maxInFlight " + maxInFlight + " is less than 1");
            }
            if (closeTimeout.isNegative()) {
                throw new IllegalArgumentException("closeTimeout " + closeTimeout + " is negative");
            }
        }

        /** A ttl of 10 s, 8192 requests in flight, 3 s to close, the system's clock, no listener. */
        public static Config of(String target, String owner) {
            return new Config(
                    target,
                    owner,
                    Duration.ofSeconds(10),
                    8192,
                    Duration.ofSeconds(3),
                    LeaseClock.system(),
                    LockListener.NONE,
                    null);
        }

        public Config withTtl(Duration ttl) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }

        public Config withMaxInFlight(int maxInFlight) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }

        public Config withCloseTimeout(Duration closeTimeout) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }

        public Config withClock(LeaseClock clock) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }

        public Config withTls(SslContext tls) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }

        public Config withListener(LockListener listener) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener, tls);
        }
    }

    /** For status pages. {@code sessionId} is empty while there is none; {@code lastFailure} is empty while attached. */
    public record Status(
            State state, String sessionId, long epoch, int heldLocks, int requestsInFlight, String lastFailure) {

        private static Status of(List<Status> each) {
            return new Status(
                    each.stream()
                            .map(Status::state)
                            .max(Comparator.comparing(WORSE::indexOf))
                            .orElseThrow(),
                    each.stream()
                            .map(Status::sessionId)
                            .filter(id -> !id.isEmpty())
                            .collect(Collectors.joining(",")),
                    each.stream().mapToLong(Status::epoch).max().orElseThrow(),
                    each.stream().mapToInt(Status::heldLocks).sum(),
                    each.stream().mapToInt(Status::requestsInFlight).sum(),
                    each.stream()
                            .map(Status::lastFailure)
                            .filter(why -> !why.isEmpty())
                            .findFirst()
                            .orElse(""));
        }
    }

    /** From good to bad. */
    private static final List<State> WORSE = List.of(State.ATTACHED, State.CONNECTING, State.JEOPARDY, State.CLOSED);

    public enum State {
        /** No stream is attached; what is held may still be believed. */
        CONNECTING,
        ATTACHED,
        /** Belief has ended without the session being known to be lost. */
        JEOPARDY,
        CLOSED
    }

    private static final Logger log = LoggerFactory.getLogger(LockClient.class);

    /** A Welcome names every lock held, at some 100 bytes each. */
    private static final int MAX_MESSAGE_BYTES = 256 << 20;

    private static final int MOST_REFERRALS = 3;

    private final Config config;
    private final Callbacks callbacks;
    private final IntFunction<Way> open;
    /** By group; the first is always there, others from their first use on. Set under this. */
    private final AtomicReferenceArray<@Nullable Link> links = new AtomicReferenceArray<>(Groups.MOST);

    /** Over so many the volumes are spread; 0: nobody has said so yet. */
    private volatile int groups;

    private final AtomicInteger inFlight = new AtomicInteger();
    private boolean closed; // guarded by this

    /** Returns at once; {@link #ready()} tells when the session is there. */
    public static LockClient connect(Config config) {
        return connect(config, group -> {
            EventLoop eventLoop = EventLoops.ALL.next();
            return new Way(
                    eventLoop,
                    () -> {},
                    new Managers(config.target, group, target -> channel(config, target, eventLoop)));
        });
    }

    private static ManagedChannel channel(Config config, String target, EventLoop eventLoop) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
        SslContext tls = config.tls;
        return (tls == null ? builder.usePlaintext() : builder.sslContext(tls))
                .channelType(NioSocketChannel.class, InetSocketAddress.class)
                .eventLoopGroup(eventLoop)
                // What gRPC's threads have to do here is to hand over.
                .directExecutor()
                .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                // A third of the lease, as for every other silence.
                .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Math.max(500, config.ttl.toMillis() / 3))
                .build();
    }

    /** The channel is closed with the client. */
    static LockClient connect(Config config, ManagedChannel channel) {
        return connect(config, group -> {
            ScheduledThreadPoolExecutor owner = new ScheduledThreadPoolExecutor(
                    1,
                    Thread.ofPlatform()
                            .daemon()
                            .name("lock-client-" + config.owner)
                            .factory());
            owner.setRemoveOnCancelPolicy(true);
            return new Way(owner, owner::shutdownNow, Managers.only(channel, group));
        });
    }

    /**
     * To the lock managers of a group.
     *
     * @param over runs when the client has ended, so that its owner may
     */
    private record Way(ScheduledExecutorService owner, Runnable over, Managers managers) {}

    private static LockClient connect(Config config, IntFunction<Way> open) {
        LockClient client = new LockClient(config, open);
        var unused = client.link(0);
        return client;
    }

    private LockClient(Config config, IntFunction<Way> open) {
        this.config = config;
        this.open = open;
        this.callbacks = new Callbacks(config.owner);
    }

    /** The session with one group: what is held there, and what that group's lock managers are asked. */
    private final class Link implements ClientLoop.Others {
        final Managers managers;
        final ClientLoop loop;
        private final Runnable over;

        Link(int group) {
            Way way = open.apply(group);
            this.managers = way.managers;
            this.over = way.over;
            this.loop = new ClientLoop(config, managers, way.owner, callbacks, new Changes(this), group, groups, this);
        }

        @Override
        public void learned(int howMany) {
            if (groups == 0) {
                groups = howMany;
            }
        }

        @Override
        public void moved(Asked<?> request, int group) {
            link(group).loop.submit(request);
        }

        Channel calls() {
            return managers.calls(managers.channel());
        }
    }

    /** Opened if need be. */
    private Link link(int group) {
        Link there = links.get(group);
        return there == null ? opened(group) : there;
    }

    private synchronized Link opened(int group) {
        Link there = links.get(group);
        if (there == null && closed) {
            there = links.get(0); // which refuses whatever it is asked now
        }
        if (there == null) {
            there = new Link(group);
            links.set(group, there);
            there.loop.start();
        }
        return there;
    }

    /** Before anybody has said how many groups there are, the first one is asked: what is not its own it gives on. */
    private Link linkOf(String volume) {
        return link(Groups.ofVolume(volume, groups));
    }

    private List<Link> opened() {
        List<Link> all = new ArrayList<>();
        for (int group = 0; group < links.length(); group++) {
            Link one = links.get(group);
            if (one != null) {
                all.add(one);
            }
        }
        return all;
    }

    /** Of the first group. For tests. */
    ClientLoop loop() {
        return link(0).loop;
    }

    /** Of all clients of the process. They are never ended: who does nothing costs a thread that sleeps. */
    private static final class EventLoops {
        static final EventLoopGroup ALL = new MultiThreadIoEventLoopGroup(
                Runtime.getRuntime().availableProcessors(),
                new DefaultThreadFactory("lock-client", true),
                NioIoHandler.newFactory());
    }

    /** Of the lock manager that is asked now for a volume: of a group, the one that leads, as far as is known. For calls beside the session. */
    public Channel channel(String volume) {
        return linkOf(volume).calls();
    }

    /**
     * Completes with the session's id while a stream is attached; a new future after each break. Fails when the client is closed. Where
     * volumes are spread over several groups it is the first group's session; those of others are opened when they are needed.
     */
    public CompletableFuture<String> ready() {
        return link(0).loop.ready().copy();
    }

    /** Empty while there is none. Of several groups the ids of all sessions, with commas between them, as {@link #closeSession} takes them. */
    public String sessionId() {
        return status().sessionId;
    }

    /** The session in which a volume is locked; empty while there is none. */
    public String sessionId(String volume) {
        Link there = links.get(Groups.ofVolume(volume, groups));
        return there == null ? "" : there.loop.status().sessionId;
    }

    /** Of several groups: what is worst, all their locks and requests, the newest epoch. */
    public Status status() {
        List<Status> each = opened().stream().map(one -> one.loop.status()).toList();
        return each.size() == 1 ? each.getFirst() : Status.of(each);
    }

    // Locks.

    public PendingAcquire acquire(AcquireRequest request) {
        Objects.requireNonNull(request, "request");
        return acquire(request, null);
    }

    PendingAcquire acquire(AcquireRequest request, Grant.@Nullable Keeper keeper) {
        PendingAcquire waiter = new PendingAcquire(this, request, keeper);
        ask(request.volume(), waiter);
        return waiter;
    }

    /**
     * All or none, granted at one moment: 1 to {@link AcquireRequest#MAX_TOGETHER} parts of any volumes, that do not conflict with each
     * other and all wait equally long. Giving up the future gives up the wait, as with {@link PendingAcquire}.
     */
    public CompletableFuture<GrantSet> acquireAll(List<AcquireRequest> parts) {
        List<AcquireRequest> valid = AcquireRequest.requireTogether(parts);
        return ask(valid.getFirst().volume(), new Asked<GrantSet>(this) {
            @Override
            long ask(SessionCore core, long nowNanos) {
                return core.acquireAll(valid, nowNanos);
            }

            @Override
            @Nullable
            GrantSet result(Outcome outcome) {
                return outcome instanceof Outcome.AcquiredAll all ? all.grants() : null;
            }

            @Override
            void gaveUp() {
                giveUp(this);
            }

            @Override
            void discard(GrantSet grants) {
                grants.close();
            }
        });
    }

    /**
     * {@link #acquire} for a thread that waits. An interrupt gives up the wait.
     *
     * @throws LockRefusedException with the reason: DEADLINE when the wait is over, WOULD_BLOCK for a try, DEADLOCK, ...
     */
    public Grant lock(AcquireRequest request) throws InterruptedException {
        return await(acquire(request));
    }

    /** {@link #acquireAll} for a thread that waits, as {@link #lock}. */
    public GrantSet lockAll(List<AcquireRequest> parts) throws InterruptedException {
        return await(acquireAll(parts));
    }

    /** As {@link #lock}, but empty if somebody is in the way for as long as the request waits. */
    public Optional<Grant> tryLock(AcquireRequest request) throws InterruptedException {
        try {
            return Optional.of(lock(request));
        } catch (LockRefusedException e) {
            if (e.reason() == RefusalReason.WOULD_BLOCK || e.reason() == RefusalReason.DEADLINE) {
                return Optional.empty();
            }
            throw e;
        }
    }

    /** The lock if it is free: asked once, recalls nobody. */
    public Optional<Grant> tryLock(String volume, LockRange range, LockMode mode) throws InterruptedException {
        return tryLock(AcquireRequest.of(volume, range, mode, Duration.ZERO));
    }

    /** For blocking calls: a refusal is thrown as such, an interrupt gives up. */
    <T extends AutoCloseable> T await(CompletableFuture<T> waited) throws InterruptedException {
        requireNotCallbackThread();
        try {
            return waited.get();
        } catch (InterruptedException e) {
            if (!waited.cancel(false)) {
                waited.thenAccept(LockClient::giveBack);
            }
            throw e;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof LockRefusedException refused) {
                throw new LockRefusedException(refused);
            }
            throw new IllegalStateException("a wait for a lock ended in an unforeseen way", e);
        }
    }

    private static void giveBack(AutoCloseable grant) {
        switch (grant) {
            case Grant one -> one.close();
            case GrantSet several -> several.close();
            default -> throw new IllegalStateException("not a grant: " + grant);
        }
    }

    void requireNotCallbackThread() {
        if (callbacks.isThread(Thread.currentThread())) {
            throw new IllegalStateException("a blocking call on the callback thread would wait for itself");
        }
    }

    LeaseClock clock() {
        return config.clock;
    }

    void giveUp(Asked<?> given) {
        ClientLoop at = given.loop;
        at.onOwner(now -> {
            if (at.equals(given.loop)) {
                at.core().cancel(given.requestId);
            } else {
                giveUp(given); // it has been given on meanwhile
            }
        });
    }

    CompletableFuture<Void> promote(PendingAcquire waiter, Duration wait) {
        return waiter.loop.submit(new Doing(this, (core, now) -> core.promote(waiter.requestId, wait, now)) {
            @Override
            ClientLoop home() {
                return waiter.loop;
            }
        });
    }

    /** What holders want done with their grants. */
    private final class Changes implements Grant.Owner {
        private final Link link;

        Changes(Link link) {
            this.link = link;
        }

        @Override
        public CompletableFuture<Void> release(Grant grant) {
            // At once, on the caller's own thread: it must not find itself believed behind this call.
            grant.markGone();
            return link.loop.submit(new Doing(LockClient.this, (core, now) -> core.release(grant)));
        }

        @Override
        public void progress(Grant grant, long progress) {
            link.loop.onOwner(now -> link.loop.core().progress(grant, progress));
        }

        @Override
        public CompletableFuture<Void> convert(Grant grant, LockMode mode, Duration wait) {
            Objects.requireNonNull(mode, "mode");
            Grant.Limit limit = grant.limitTo(mode);
            return link.loop.submit(
                    new Doing(LockClient.this, (core, now) -> core.convert(grant, mode, wait, limit, now)) {
                        @Override
                        void gaveUp() {
                            giveUp(this);
                        }
                    });
        }

        @Override
        public CompletableFuture<Void> shrink(Grant grant, LockRange range) {
            Grant.Limit limit = grant.limitTo(range);
            return link.loop.submit(new Doing(LockClient.this, (core, now) -> core.shrink(grant, range, limit)));
        }

        @Override
        public CompletableFuture<Grant> split(Grant grant, long at) {
            LockRange whole = grant.range();
            Grant.Limit limit = grant.limitTo(new LockRange(whole.startInclusive(), at));
            return link.loop.submit(new Asked<Grant>(LockClient.this) {
                @Override
                long ask(SessionCore core, long nowNanos) {
                    return core.split(grant, at, whole.endExclusive(), limit);
                }

                @Override
                @Nullable
                Grant result(Outcome outcome) {
                    return outcome instanceof Outcome.Acquired upper ? upper.grant() : null;
                }

                @Override
                void discard(Grant upper) {
                    upper.close();
                }

                @Override
                boolean counted() {
                    return false;
                }
            });
        }
    }

    /** Something that is done or refused. Bounded by the grants there are, not by maxInFlight: giving back is never refused. */
    private static class Doing extends Asked<Void> {

        interface Call {
            long ask(SessionCore core, long nowNanos);
        }

        private final Call call;

        Doing(LockClient client, Call call) {
            super(client);
            this.call = call;
        }

        @Override
        long ask(SessionCore core, long nowNanos) {
            return call.ask(core, nowNanos);
        }

        @Override
        boolean done(Outcome outcome) {
            return outcome instanceof Outcome.Done;
        }

        @Override
        boolean counted() {
            return false;
        }
    }

    // Value blocks and sessions.

    /** The volume's value block; version 0 if there never was one. Asked again in a new session if the old one ends. */
    public CompletableFuture<Value> value(String volume) {
        AcquireRequest.requireVolume(volume);
        return ask(volume, new Asked<Value>(this) {
            @Override
            long ask(SessionCore core, long nowNanos) {
                return core.value(volume);
            }

            @Override
            @Nullable
            Value result(Outcome outcome) {
                return outcome instanceof Outcome.ValueRead read ? read.value() : null;
            }
        });
    }

    /**
     * Compare-and-set of the grant's volume's value block; the grant must cover the whole volume in PW or EX. The future always
     * completes with an outcome, never with an exception.
     */
    public CompletableFuture<PutOutcome> putValue(Grant grant, long expectedVersion, byte[] value) {
        Objects.requireNonNull(grant, "grant");
        if (value.length > Value.MAX_LENGTH_BYTES) {
            throw new IllegalArgumentException(
                    "value of " + value.length + " bytes is longer than " + Value.MAX_LENGTH_BYTES);
        }
        byte[] copy = value.clone();
        if (!admitted()) {
            return CompletableFuture.completedFuture(
                    new PutOutcome.Refused(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
        }
        return linkOf(grant.volume()).loop.submit(new Asked<PutOutcome>(this) {
            @Override
            long ask(SessionCore core, long nowNanos) {
                return core.putValue(grant, expectedVersion, copy);
            }

            @Override
            @Nullable
            PutOutcome result(Outcome outcome) {
                return outcome instanceof Outcome.Put put ? put.outcome() : null;
            }
        });
    }

    /**
     * Ends another session, so that its locks can be granted at once: for a process that has made sure that the session's owner is
     * dead, as an agent does by holding the file lock of its data directory. An unknown session counts as closed. Tried for a
     * ttl, then fails with gRPC's StatusRuntimeException.
     *
     * @param sessionId or several, with commas between them
     */
    public CompletableFuture<Void> closeSession(String sessionId) {
        CompletableFuture<Void> told = new CompletableFuture<>();
        List<CompletableFuture<Void>> each = Stream.of(sessionId.split(","))
                .map(id -> closeSession(id, config.ttl))
                .toList();
        allOf(each)
                .whenComplete((done, failure) -> link(0).loop.callBack(List.of((Runnable) () -> {
                    if (failure == null) {
                        told.complete(null);
                    } else {
                        told.completeExceptionally(
                                failure instanceof CompletionException e && e.getCause() != null
                                        ? e.getCause()
                                        : failure);
                    }
                })));
        return told;
    }

    private CompletableFuture<Void> closeSession(String sessionId, Duration timeout) {
        CompletableFuture<Void> ended = new CompletableFuture<>();
        // Who is asked first need not lead the session's group: it names the one that does.
        Link there = links.get(Groups.ofSession(sessionId));
        Managers managers = (there == null ? link(0) : there).managers;
        closeSession(
                sessionId, System.nanoTime() + timeout.toNanos(), managers, managers.channel(), MOST_REFERRALS, ended);
        return ended;
    }

    private static CompletableFuture<Void> allOf(List<CompletableFuture<Void>> each) {
        CompletableFuture<Void> all = CompletableFuture.completedFuture(null);
        for (CompletableFuture<Void> one : each) {
            all = all.thenCompose(before -> one);
        }
        return all;
    }

    /** @param referrals so often another lock manager may be named as the one that leads */
    private void closeSession(
            String sessionId,
            long untilNanos,
            Managers managers,
            Channel at,
            int referrals,
            CompletableFuture<Void> ended) {
        LockServiceGrpc.newStub(at)
                .withInterceptors(Groups.to(Groups.ofSession(sessionId)))
                .withWaitForReady()
                .withDeadlineAfter(Math.max(1, untilNanos - System.nanoTime()), TimeUnit.NANOSECONDS)
                .closeSession(
                        CloseSessionRequest.newBuilder().setSessionId(sessionId).build(), new StreamObserver<>() {
                            @Override
                            public void onNext(CloseSessionResponse response) {}

                            @Override
                            public void onError(Throwable failure) {
                                Channel leader = referrals == 0 ? null : managers.namedBy(failure);
                                if (leader == null) {
                                    ended.completeExceptionally(failure);
                                } else {
                                    closeSession(sessionId, untilNanos, managers, leader, referrals - 1, ended);
                                }
                            }

                            @Override
                            public void onCompleted() {
                                ended.complete(null);
                            }
                        });
    }

    /**
     * Stops believing in every grant, ends every request (CLOSED; a put that was sent: {@link PutOutcome.Unknown}) and gives the session
     * back. Takes at most {@link Config#closeTimeout()} and a second; an unreachable lock manager keeps the session until its ttl. Any
     * thread may close, also a callback; who comes second does not wait for the first.
     */
    @Override
    public void close() {
        synchronized (this) {
            closed = true; // no other session is opened
        }
        List<Link> all = opened();
        List<CompletableFuture<Void>> given = new ArrayList<>();
        for (Link link : all) {
            CompletableFuture<String> session = new CompletableFuture<>();
            if (!link.loop.close(session)) {
                return;
            }
            given.add(session.thenCompose(id ->
                    id.isEmpty() ? CompletableFuture.completedFuture(null) : closeSession(id, config.closeTimeout)));
        }
        try {
            allOf(given).get(config.closeTimeout.toNanos() + 1, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            log.warn("the session of {} could not be closed and ends with its ttl", config.owner, e);
        } finally {
            for (Link link : all) {
                link.loop.stop();
                link.managers.shutdownNow();
                link.over.run();
            }
            callbacks.linger();
        }
    }

    // What is in flight.

    private <T> Asked<T> ask(String volume, Asked<T> request) {
        if (admitted()) {
            return linkOf(volume).loop.submit(request);
        }
        request.refuse(new LockRefusedException(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
        return request;
    }

    void oneLessInFlight() {
        inFlight.decrementAndGet();
    }

    /**
     * The bound of everything: the inbox, what the core remembers, and the callbacks that were not run yet. An acquire that was given up
     * leaves the count at once, but its Cancel may still be on its way; hence the second part.
     */
    private boolean admitted() {
        if (inFlight.incrementAndGet() > config.maxInFlight || requestsInFlight() > 4L * config.maxInFlight) {
            inFlight.decrementAndGet();
            return false;
        }
        return true;
    }

    private long requestsInFlight() {
        long all = 0;
        for (int group = 0; group < Math.max(1, groups); group++) {
            Link one = links.get(group);
            all += one == null ? 0 : one.loop.status().requestsInFlight;
        }
        return all;
    }

    private String tooMany() {
        return config.maxInFlight + " requests are in flight, which is the bound; nothing was sent";
    }
}
