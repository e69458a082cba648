package io.terminus.lockmgr.client;

import io.github.resilience4j.core.IntervalFunction;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import io.netty.channel.ChannelOption;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.CloseSessionRequest;
import io.terminus.proto.lock.v1.CloseSessionResponse;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.ServerMessage;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongConsumer;
import java.util.regex.Pattern;
import org.agrona.collections.Long2ObjectHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A client of the lock manager: one session, all its locks, one lease.
 *
 * <p>Blocking:
 *
 * <pre>{@code
 * LockClient locks = LockClient.connect(LockClient.Config.of("localhost:7400", "agent-a"));
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
 * <p>Several at once, all or none, also over volumes:
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
 * <p>Threads: any thread may call anything. One owner thread drives the {@link SessionCore} and the stream; what is asked while it is
 * busy leaves as one message of up to 256 operations. One callback thread completes futures and calls the {@link LockListener}, in
 * order; blocking calls are refused there, because it is the thread that would have to end them. At most {@link Config#maxInFlight()} acquires, reads and puts are in flight; the next one fails with TOO_MANY_IN_FLIGHT and is
 * not sent.
 */
public final class LockClient implements AutoCloseable {

    /**
     * @param target host:port, or any name gRPC resolves; unencrypted
     * @param owner who this is, for people: 1 to 128 characters of [A-Za-z0-9._:/-]
     * @param ttl the lease asked for, 300 ms to 10 min; the lock manager has the last word
     * @param maxInFlight bound on acquires, reads and puts without an answer
     * @param closeTimeout how long {@link #close()} tries to give the session back; after that it ends with its ttl
     */
    public record Config(
            String target,
            String owner,
            Duration ttl,
            int maxInFlight,
            Duration closeTimeout,
            LeaseClock clock,
            LockListener listener) {

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
                    LockListener.NONE);
        }

        public Config withTtl(Duration ttl) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener);
        }

        public Config withMaxInFlight(int maxInFlight) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener);
        }

        public Config withCloseTimeout(Duration closeTimeout) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener);
        }

        public Config withClock(LeaseClock clock) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener);
        }

        public Config withListener(LockListener listener) {
            return new Config(target, owner, ttl, maxInFlight, closeTimeout, clock, listener);
        }
    }

    /** For status pages. {@code sessionId} is empty while there is none; {@code lastFailure} is empty while attached. */
    public record Status(
            State state, String sessionId, long epoch, int heldLocks, int requestsInFlight, String lastFailure) {}

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

    /** Messages that may wait for the owner thread; the rest waits in the connection. */
    private static final int MAX_UNREAD_MESSAGES = 16;

    private static final LongConsumer NOTHING = now -> {};

    private final Config config;
    private final ManagedChannel channel;
    private final IntervalFunction backOff;
    private final Thread ownerThread;
    private final ThreadPoolExecutor callbackThread;

    // The way to the owner thread: what is Asked, and LongConsumers that take the time. Bounded by maxInFlight, the
    // grants, and
    // MAX_UNREAD_MESSAGES.
    private final ConcurrentLinkedQueue<Object> inbox = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean parked = new AtomicBoolean();
    private final AtomicInteger inFlight = new AtomicInteger();
    private final AtomicBoolean closing = new AtomicBoolean();
    /** Whoever asks from now on runs what it asks. */
    private volatile boolean ownerless;

    private volatile @Nullable Thread callbacks;

    // The owner's, under the monitor of run().
    private final SessionCore core;
    private final Long2ObjectHashMap<Asked<?>> asked = new Long2ObjectHashMap<>();
    private @Nullable Stream stream;
    /** On System.nanoTime, for this is about politeness and not about leases. */
    private long connectAtNanos;

    private boolean connectWanted;
    private int failedAttempts;
    private String lastFailure = "";
    private String sessionToClose = "";
    private boolean stopped;
    private boolean readyGiven;
    private boolean readyRefused;

    // Seen by all.
    private volatile Status status = new Status(State.CONNECTING, "", 0, 0, 0, "");
    private volatile CompletableFuture<String> ready = new CompletableFuture<>();

    /** Returns at once; {@link #ready()} tells when the session is there. */
    public static LockClient connect(Config config) {
        return connect(
                config,
                NettyChannelBuilder.forTarget(config.target)
                        .usePlaintext()
                        // What gRPC's threads have to do here is to hand over.
                        .directExecutor()
                        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                        // A third of the lease, as for every other silence.
                        .withOption(
                                ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Math.max(500, config.ttl.toMillis() / 3))
                        .build());
    }

    /** The channel is closed with the client. */
    static LockClient connect(Config config, ManagedChannel channel) {
        LockClient client = new LockClient(config, channel);
        client.onOwner(now -> client.core.start());
        client.ownerThread.start();
        return client;
    }

    private LockClient(Config config, ManagedChannel channel) {
        this.config = config;
        this.channel = channel;
        this.backOff =
                IntervalFunction.ofExponentialRandomBackoff(Duration.ofMillis(100), 2.0, 0.5, Duration.ofSeconds(3));
        this.ownerThread = daemon(this::live, "lock-client-" + config.owner);
        // Bounded by what it carries: one task for each run of the owner that had something to tell.
        this.callbackThread =
                new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), this::callbackThread);
        this.core = new SessionCore(
                new SessionCore.Settings(config.owner, config.ttl.toNanos(), config.ttl.toNanos()),
                config.clock,
                new Changes());
    }

    /** Completes with the session's id while a stream is attached; a new future after each break. Fails when the client is closed. */
    public CompletableFuture<String> ready() {
        return ready.copy();
    }

    /** Empty while there is none. */
    public String sessionId() {
        return status.sessionId;
    }

    public Status status() {
        return status;
    }

    // Locks.

    public PendingAcquire acquire(AcquireRequest request) {
        return acquire(request, null);
    }

    PendingAcquire acquire(AcquireRequest request, Grant.@Nullable Keeper keeper) {
        PendingAcquire waiter = new PendingAcquire(this, request, keeper);
        ask(waiter);
        return waiter;
    }

    /**
     * All or none, granted at one moment: 1 to {@link AcquireRequest#MAX_TOGETHER} parts of any volumes, that do not conflict with each
     * other and all wait equally long. Giving up the future gives up the wait, as with {@link PendingAcquire}.
     */
    public CompletableFuture<GrantSet> acquireAll(List<AcquireRequest> parts) {
        List<AcquireRequest> valid = AcquireRequest.requireTogether(parts);
        return ask(new Asked<GrantSet>(this) {
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
        if (Thread.currentThread().equals(callbacks)) {
            throw new IllegalStateException("a blocking call on the callback thread would wait for itself");
        }
    }

    LeaseClock clock() {
        return config.clock;
    }

    void giveUp(Asked<?> given) {
        onOwner(now -> core.cancel(given.requestId));
    }

    CompletableFuture<Void> promote(PendingAcquire waiter, Duration wait) {
        return submit(new Doing(this, (core, now) -> core.promote(waiter.requestId, wait, now)));
    }

    /** What holders want done with their grants. */
    private final class Changes implements Grant.Owner {
        @Override
        public CompletableFuture<Void> release(Grant grant) {
            // At once, on the caller's own thread: it must not find itself believed behind this call.
            grant.markGone();
            return submit(new Doing(LockClient.this, (core, now) -> core.release(grant)));
        }

        @Override
        public void progress(Grant grant, long progress) {
            onOwner(now -> core.progress(grant, progress));
        }

        @Override
        public CompletableFuture<Void> convert(Grant grant, LockMode mode, Duration wait) {
            Grant.Limit limit = grant.limitTo(mode);
            return submit(new Doing(LockClient.this, (core, now) -> core.convert(grant, mode, wait, limit, now)) {
                @Override
                void gaveUp() {
                    giveUp(this);
                }
            });
        }

        @Override
        public CompletableFuture<Void> shrink(Grant grant, LockRange range) {
            Grant.Limit limit = grant.limitTo(range);
            return submit(new Doing(LockClient.this, (core, now) -> core.shrink(grant, range, limit)));
        }

        @Override
        public CompletableFuture<Grant> split(Grant grant, long at) {
            LockRange whole = grant.range();
            Grant.Limit limit = grant.limitTo(new LockRange(whole.startInclusive(), at));
            return submit(new Asked<Grant>(LockClient.this) {
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
        return ask(new Asked<Value>(this) {
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
        if (value.length > Value.MAX_LENGTH_BYTES) {
            throw new IllegalArgumentException(
                    "value of " + value.length + " bytes is longer than " + Value.MAX_LENGTH_BYTES);
        }
        byte[] copy = value.clone();
        if (!admitted()) {
            return CompletableFuture.completedFuture(
                    new PutOutcome.Refused(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
        }
        return submit(new Asked<PutOutcome>(this) {
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
     */
    public CompletableFuture<Void> closeSession(String sessionId) {
        CompletableFuture<Void> told = new CompletableFuture<>();
        closeSession(sessionId, config.ttl)
                .whenComplete((done, failure) -> callBack(List.of((Runnable) () -> {
                    if (failure == null) {
                        told.complete(null);
                    } else {
                        told.completeExceptionally(failure);
                    }
                })));
        return told;
    }

    private CompletableFuture<Void> closeSession(String sessionId, Duration timeout) {
        CompletableFuture<Void> closed = new CompletableFuture<>();
        LockServiceGrpc.newStub(channel)
                .withWaitForReady()
                .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS)
                .closeSession(
                        CloseSessionRequest.newBuilder().setSessionId(sessionId).build(), new StreamObserver<>() {
                            @Override
                            public void onNext(CloseSessionResponse response) {}

                            @Override
                            public void onError(Throwable failure) {
                                closed.completeExceptionally(failure);
                            }

                            @Override
                            public void onCompleted() {
                                closed.complete(null);
                            }
                        });
        return closed;
    }

    /**
     * Stops believing in every grant, ends every request (CLOSED; a put that was sent: {@link PutOutcome.Unknown}) and gives the session
     * back. Takes at most {@link Config#closeTimeout()} and a second; an unreachable lock manager keeps the session until its ttl.
     */
    @Override
    public void close() {
        if (!closing.compareAndSet(false, true)) {
            return;
        }
        CompletableFuture<String> session = new CompletableFuture<>();
        onOwner(now -> {
            core.close();
            perform();
            session.complete(sessionToClose);
        });
        try {
            String id = session.get(config.closeTimeout.toNanos() + 1, TimeUnit.NANOSECONDS);
            if (!id.isEmpty()) {
                closeSession(id, config.closeTimeout).get(config.closeTimeout.toNanos() + 1, TimeUnit.NANOSECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            log.warn("session {} could not be closed and ends with its ttl", sessionToClose, e);
        } finally {
            ownerless = true;
            LockSupport.unpark(ownerThread);
            // What was asked meanwhile is answered with CLOSED here.
            run();
            callbackThread.shutdown();
            channel.shutdownNow();
        }
    }

    // The owner thread.

    private <T> Asked<T> ask(Asked<T> request) {
        if (admitted()) {
            return submit(request);
        }
        request.refuse(new LockRefusedException(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
        return request;
    }

    private <T> Asked<T> submit(Asked<T> request) {
        inbox.add(request);
        wake();
        return request;
    }

    private void onOwner(LongConsumer command) {
        inbox.add(command);
        wake();
    }

    /** Behind an addition to the inbox. One caller wakes the owner, and nobody while it is awake: it looks again before it parks. */
    private void wake() {
        if (parked.get() && parked.compareAndSet(true, false)) {
            LockSupport.unpark(ownerThread);
        }
        if (ownerless) {
            // The core is closed: it only completes what it is asked.
            run();
        }
    }

    private void live() {
        while (!ownerless) {
            long idleNanos = run();
            parked.set(true);
            if (inbox.isEmpty() && idleNanos > 0) {
                LockSupport.parkNanos(this, idleNanos);
            }
            parked.set(false);
        }
    }

    /** Everything that is asked, then everything that follows from it. Returns for how long there is nothing to do by itself. */
    private synchronized long run() {
        long now = config.clock.nanos();
        try {
            Object command = inbox.poll();
            while (command != null) {
                if (command instanceof Asked<?> request) {
                    request.requestId = request.ask(core, now);
                    asked.put(request.requestId, request);
                } else {
                    ((LongConsumer) command).accept(now);
                }
                command = inbox.poll();
            }
            if (connectWanted && System.nanoTime() - connectAtNanos >= 0) {
                connectWanted = false;
                openStream(now);
            }
            core.tick(now);
            perform();
            while (stream != null && stream.call.isReady() && core.flush(now)) {
                perform();
            }
        } catch (RuntimeException | Error e) {
            // A broken invariant: believing on would be worse than stopping.
            log.error("the lock client of {} stops: it found itself in an impossible state", config.owner, e);
            lastFailure = "stopped: " + e;
            stopped = true;
            core.close();
            perform();
        }
        publish();
        long idleNanos = Long.MAX_VALUE;
        if (core.wakeAtNanos() != Long.MAX_VALUE) {
            idleNanos = core.wakeAtNanos() - config.clock.nanos();
        }
        return connectWanted ? Math.min(idleNanos, connectAtNanos - System.nanoTime()) : idleNanos;
    }

    private void perform() {
        List<Object> tidings = new ArrayList<>();
        for (SessionCore.Action action : core.drain()) {
            switch (action) {
                case SessionCore.Action.Complete complete -> {
                    Asked<?> request = asked.remove(complete.requestId());
                    if (request != null) {
                        request.ended(complete.outcome());
                        tidings.add(request);
                    }
                }
                case SessionCore.Action.Send send -> {
                    if (stream != null) {
                        stream.call.onNext(send.message());
                    }
                }
                case SessionCore.Action.Connect connect -> scheduleConnect();
                case SessionCore.Action.Disconnect disconnect -> {
                    lastFailure = disconnect.why();
                    if (stream != null) {
                        stream.call.cancel(disconnect.why(), null);
                        stream = null;
                    }
                    // A stream that fell silent means a connection that may be dead without a word; another stream on
                    // the same
                    // connection would be as silent until TCP gives up, minutes later. This makes the next one connect
                    // anew.
                    channel.enterIdle();
                }
                case SessionCore.Action.CloseSession close -> sessionToClose = close.sessionId();
                case SessionCore.Notice.Attached attached -> {
                    // Not 0: a lock manager that welcomes and then fails must not be asked again without a pause.
                    failedAttempts = 1;
                    lastFailure = "";
                    readyGiven = true;
                    CompletableFuture<String> waiting = ready;
                    tidings.add((Runnable) () -> waiting.complete(attached.sessionId()));
                }
                case SessionCore.Notice.Recalled recalled ->
                    tidings.add((Runnable) () -> tellRecalled(recalled.grant(), recalled.recall()));
                case SessionCore.Notice.Lost lost -> tidings.add((Runnable) () -> tellLost(lost.grant(), lost.why()));
                case SessionCore.Notice.Jeopardy jeopardy -> tidings.add((Runnable) config.listener::jeopardy);
                case SessionCore.Notice.Safe safe -> tidings.add((Runnable) config.listener::safe);
                case SessionCore.Notice.SessionLost over ->
                    tidings.add((Runnable) () -> config.listener.sessionLost(over.why()));
            }
        }
        callBack(tidings);
    }

    private void tellRecalled(Grant grant, Recall recall) {
        Grant.Keeper keeper = grant.keeper;
        if (keeper != null) {
            keeper.recalled(grant, recall);
        } else {
            config.listener.recalled(grant, recall);
        }
    }

    private void tellLost(Grant grant, String why) {
        try {
            Grant.Keeper keeper = grant.keeper;
            if (keeper != null) {
                keeper.lost(grant, why);
            }
            config.listener.lost(grant, why);
        } finally {
            onOwner(now -> core.lossHeard(grant, now));
        }
    }

    /** What is Asked and ended, and Runnables, in their order. */
    private void callBack(List<?> tidings) {
        if (tidings.isEmpty()) {
            return;
        }
        Runnable task = () -> {
            for (Object tiding : tidings) {
                try {
                    if (tiding instanceof Asked<?> request) {
                        request.tell();
                    } else {
                        ((Runnable) tiding).run();
                    }
                } catch (Throwable e) {
                    // Also an AssertionError: what stands behind it in the batch must not be lost with it.
                    log.error("a callback of the lock client of {} failed", config.owner, e);
                }
            }
        };
        try {
            callbackThread.execute(task);
        } catch (RejectedExecutionException closed) {
            task.run();
        }
    }

    private void publish() {
        State state;
        if (closing.get() || stopped) {
            state = State.CLOSED;
        } else if (core.inJeopardy()) {
            state = State.JEOPARDY;
        } else {
            state = core.attached() ? State.ATTACHED : State.CONNECTING;
        }
        status = new Status(state, core.sessionId(), core.epoch(), core.heldCount(), core.pendingCount(), lastFailure);
        if (state == State.CLOSED && !readyRefused) {
            readyRefused = true;
            CompletableFuture<String> waiting = ready;
            LockRefusedException refused = new LockRefusedException(RefusalReason.CLOSED, "the client is closed");
            ready = CompletableFuture.failedFuture(refused);
            callBack(List.of((Runnable) () -> waiting.completeExceptionally(refused)));
        }
    }

    // The stream.

    private void scheduleConnect() {
        if (readyGiven) {
            readyGiven = false;
            ready = new CompletableFuture<>();
        }
        long delayMillis = failedAttempts == 0 ? 0 : backOff.apply(failedAttempts);
        failedAttempts = Math.min(failedAttempts + 1, 30);
        connectAtNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(delayMillis);
        connectWanted = true;
    }

    private void openStream(long nowNanos) {
        if (closing.get()) {
            return;
        }
        // The back-off is ours; gRPC's own would grow to minutes and refuse meanwhile.
        channel.resetConnectBackoff();
        Stream opened = new Stream();
        LockServiceGrpc.newStub(channel).session(opened);
        stream = opened;
        core.streamOpened(nowNanos);
    }

    /** What comes from one stream. gRPC's threads only pass it on. */
    private final class Stream implements ClientResponseObserver<ClientMessage, ServerMessage> {

        @SuppressWarnings("NullAway.Init") // Set by beforeStart, before the call that makes this returns.
        private ClientCallStreamObserver<ClientMessage> call;

        @Override
        public void beforeStart(ClientCallStreamObserver<ClientMessage> call) {
            this.call = call;
            call.disableAutoRequestWithInitial(MAX_UNREAD_MESSAGES);
            call.setOnReadyHandler(() -> onOwner(NOTHING));
        }

        @Override
        public void onNext(ServerMessage message) {
            onOwner(now -> {
                if (this.equals(stream)) {
                    core.received(message, now);
                    call.request(1);
                }
            });
        }

        @Override
        public void onError(Throwable failure) {
            boolean sessionUnknown = failure instanceof StatusRuntimeException ended
                    && ended.getStatus().getCode() == Code.NOT_FOUND;
            closed(sessionUnknown, String.valueOf(failure.getMessage()));
        }

        @Override
        public void onCompleted() {
            closed(false, "the lock manager ended the stream");
        }

        private void closed(boolean sessionUnknown, String why) {
            onOwner(now -> {
                if (this.equals(stream)) {
                    stream = null;
                    lastFailure = why;
                    core.streamClosed(sessionUnknown, why, now);
                }
            });
        }
    }

    // Small things.

    void oneLessInFlight() {
        inFlight.decrementAndGet();
    }

    /**
     * The bound of everything: the inbox, what the core remembers, and the callbacks that were not run yet. An acquire that was given up
     * leaves the count at once, but its Cancel may still be on its way; hence the second part.
     */
    private boolean admitted() {
        if (inFlight.incrementAndGet() > config.maxInFlight || status.requestsInFlight > 4L * config.maxInFlight) {
            inFlight.decrementAndGet();
            return false;
        }
        return true;
    }

    private String tooMany() {
        return config.maxInFlight + " requests are in flight, which is the bound; nothing was sent";
    }

    private Thread callbackThread(Runnable task) {
        Thread thread = daemon(task, "lock-callbacks-" + config.owner);
        callbacks = thread;
        return thread;
    }

    private static Thread daemon(Runnable task, String name) {
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        return thread;
    }
}
