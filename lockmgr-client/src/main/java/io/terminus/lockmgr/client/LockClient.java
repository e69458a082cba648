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
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.LongConsumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A client of the lock manager: one session, all its locks, one lease.
 *
 * <pre>{@code
 * try (LockClient locks = LockClient.connect(LockClient.Config.of("localhost:7400", "agent-a"))) {
 *     AcquireRequest wanted = AcquireRequest.of("vol1", LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, Duration.ofSeconds(10));
 *     try (Grant grant = locks.acquire(wanted).get()) {
 *         while (grant.believed()) writeOneBlock(grant.token()); // the guard: ask it last, before every reply
 *     }
 * }
 * }</pre>
 *
 * <p>The session is opened in the background, and reopened and re-attached for ever with random exponential back-off (100 ms to 3 s);
 * requests wait for it. Requests survive a broken connection; see {@link PutOutcome.Unknown} for the one thing that cannot.
 *
 * <p>Threads: any thread may call anything. One owner thread drives the {@link SessionCore} and the stream; what is asked while it is
 * busy leaves as one message of up to 256 operations. One callback thread completes futures and calls the {@link LockListener}, in
 * order. At most {@link Config#maxInFlight()} acquires, reads and puts are in flight; the next one fails with TOO_MANY_IN_FLIGHT and is
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

    private final Config config;
    private final ManagedChannel channel;
    private final IntervalFunction backOff;
    private final ScheduledThreadPoolExecutor ownerThread;
    private final ThreadPoolExecutor callbackThread;

    // The way to the owner thread. Bounded by maxInFlight, the grants, and MAX_UNREAD_MESSAGES.
    private final ConcurrentLinkedQueue<LongConsumer> inbox = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean woken = new AtomicBoolean();
    private final AtomicInteger inFlight = new AtomicInteger();
    private final AtomicBoolean closing = new AtomicBoolean();

    // The owner's, under the monitor of run().
    private final SessionCore core;
    private final Map<Long, BiConsumer<Outcome, List<Runnable>>> completions = new HashMap<>();
    private @Nullable Stream stream;
    private @Nullable ScheduledFuture<?> wakeUp;
    private long wakeUpNanos = Long.MAX_VALUE;
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
                        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                        // A third of the lease, as for every other silence.
                        .withOption(
                                ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Math.max(500, config.ttl.toMillis() / 3))
                        .build());
    }

    /** The channel is closed with the client. */
    static LockClient connect(Config config, ManagedChannel channel) {
        LockClient client = new LockClient(config, channel);
        client.submit(now -> client.core.start());
        return client;
    }

    private LockClient(Config config, ManagedChannel channel) {
        this.config = config;
        this.channel = channel;
        this.backOff =
                IntervalFunction.ofExponentialRandomBackoff(Duration.ofMillis(100), 2.0, 0.5, Duration.ofSeconds(3));
        this.ownerThread = new ScheduledThreadPoolExecutor(1, task -> daemon(task, "lock-client-" + config.owner));
        this.ownerThread.setRemoveOnCancelPolicy(true);
        // Bounded by what it carries: one task for each run of the owner that had something to tell.
        this.callbackThread = new ThreadPoolExecutor(
                1,
                1,
                0,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                task -> daemon(task, "lock-callbacks-" + config.owner));
        this.core = new SessionCore(
                new SessionCore.Settings(config.owner, config.ttl.toNanos(), config.ttl.toNanos()),
                config.clock,
                new Grant.Owner() {
                    @Override
                    public CompletableFuture<Void> release(Grant grant) {
                        return LockClient.this.release(grant);
                    }

                    @Override
                    public void progress(Grant grant, long progress) {
                        submit(now -> core().progress(grant, progress));
                    }
                });
    }

    private SessionCore core() {
        return core;
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

    public PendingAcquire acquire(AcquireRequest request) {
        PendingAcquire waiter = new PendingAcquire(this);
        if (!admitted(waiter)) {
            return waiter;
        }
        submit(now -> {
            waiter.requestId = core.acquire(request, now);
            completions.put(waiter.requestId, (outcome, callbacks) -> {
                callbacks.add(() -> {
                    inFlight.decrementAndGet();
                    if (!(outcome instanceof Outcome.Acquired acquired)) {
                        waiter.completeExceptionally(refusal(outcome));
                    } else if (!waiter.complete(acquired.grant())) {
                        // The waiter gave up while the grant was on its way here.
                        acquired.grant().close();
                    }
                });
            });
        });
        waiter.whenComplete((grant, failure) -> {
            if (failure != null && !(failure instanceof LockRefusedException)) {
                submit(now -> core.cancel(waiter.requestId));
            }
        });
        return waiter;
    }

    CompletableFuture<Void> promote(PendingAcquire waiter, Duration wait) {
        CompletableFuture<Void> promoted = new CompletableFuture<>();
        submit(now -> completions.put(core.promote(waiter.requestId, wait, now), done(promoted)));
        return promoted;
    }

    private CompletableFuture<Void> release(Grant grant) {
        // At once, on the caller's own thread: it must not find itself believed behind this call.
        grant.markGone();
        CompletableFuture<Void> released = new CompletableFuture<>();
        submit(now -> completions.put(core.release(grant), done(released)));
        return released;
    }

    /** The volume's value block; version 0 if there never was one. Asked again in a new session if the old one ends. */
    public CompletableFuture<Value> value(String volume) {
        AcquireRequest.requireVolume(volume);
        CompletableFuture<Value> value = new CompletableFuture<>();
        if (admitted(value)) {
            submit(now -> completions.put(core.value(volume), (outcome, callbacks) -> {
                callbacks.add(() -> {
                    inFlight.decrementAndGet();
                    if (outcome instanceof Outcome.ValueRead read) {
                        value.complete(read.value());
                    } else {
                        value.completeExceptionally(refusal(outcome));
                    }
                });
            }));
        }
        return value;
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
        CompletableFuture<PutOutcome> put = new CompletableFuture<>();
        if (!admitted()) {
            put.complete(new PutOutcome.Refused(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
            return put;
        }
        submit(now -> completions.put(core.putValue(grant, expectedVersion, copy), (outcome, callbacks) -> {
            callbacks.add(() -> {
                inFlight.decrementAndGet();
                if (outcome instanceof Outcome.Put ended) {
                    put.complete(ended.outcome());
                } else {
                    put.completeExceptionally(refusal(outcome));
                }
            });
        }));
        return put;
    }

    /**
     * Ends another session, so that its locks can be granted at once: for a process that has made sure that the session's owner is
     * dead, as an agent does by holding the file lock of its data directory. An unknown session counts as closed. Tried for a
     * ttl, then fails with gRPC's StatusRuntimeException.
     */
    public CompletableFuture<Void> closeSession(String sessionId) {
        return closeSession(sessionId, config.ttl);
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
        submit(now -> {
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
            ownerThread.shutdownNow();
            // What was asked meanwhile is answered with CLOSED here.
            run();
            callbackThread.shutdown();
            channel.shutdownNow();
        }
    }

    // The owner thread.

    private void submit(LongConsumer command) {
        inbox.add(command);
        wake();
    }

    private void wake() {
        if (woken.compareAndSet(false, true)) {
            try {
                ownerThread.execute(this::run);
            } catch (RejectedExecutionException closed) {
                // The core is closed: it only completes what it is asked.
                run();
            }
        }
    }

    /** Everything that is asked, then everything that follows from it. */
    private synchronized void run() {
        woken.set(false);
        long now = config.clock.nanos();
        try {
            LongConsumer command = inbox.poll();
            while (command != null) {
                command.accept(now);
                command = inbox.poll();
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
        scheduleWakeUp();
    }

    private void perform() {
        List<Runnable> callbacks = new ArrayList<>();
        for (SessionCore.Action action : core.drain()) {
            switch (action) {
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
                case SessionCore.Action.Send send -> {
                    if (stream != null) {
                        stream.call.onNext(send.message());
                    }
                }
                case SessionCore.Action.Complete complete -> {
                    BiConsumer<Outcome, List<Runnable>> completion = completions.remove(complete.requestId());
                    if (completion != null) {
                        completion.accept(complete.outcome(), callbacks);
                    }
                }
                case SessionCore.Action.CloseSession close -> sessionToClose = close.sessionId();
                case SessionCore.Notice.Attached attached -> {
                    // Not 0: a lock manager that welcomes and then fails must not be asked again without a pause.
                    failedAttempts = 1;
                    lastFailure = "";
                    readyGiven = true;
                    CompletableFuture<String> waiting = ready;
                    callbacks.add(() -> waiting.complete(attached.sessionId()));
                }
                case SessionCore.Notice.Recalled recalled ->
                    callbacks.add(
                            () -> config.listener.recalled(recalled.grant(), recalled.needed(), recalled.deadline()));
                case SessionCore.Notice.Lost lost ->
                    callbacks.add(() -> {
                        try {
                            config.listener.lost(lost.grant(), lost.why());
                        } finally {
                            submit(now -> core.lossHeard(lost.grant(), now));
                        }
                    });
                case SessionCore.Notice.Jeopardy jeopardy -> callbacks.add(config.listener::jeopardy);
                case SessionCore.Notice.Safe safe -> callbacks.add(config.listener::safe);
                case SessionCore.Notice.SessionLost over ->
                    callbacks.add(() -> config.listener.sessionLost(over.why()));
            }
        }
        callBack(callbacks);
    }

    private void callBack(List<Runnable> callbacks) {
        if (callbacks.isEmpty()) {
            return;
        }
        Runnable task = () -> {
            for (Runnable callback : callbacks) {
                try {
                    callback.run();
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
            callBack(List.of(() -> waiting.completeExceptionally(refused)));
        }
    }

    private void scheduleWakeUp() {
        long at = core.wakeAtNanos();
        if (at == wakeUpNanos && wakeUp != null && !wakeUp.isDone()) {
            return;
        }
        if (wakeUp != null) {
            wakeUp.cancel(false);
            wakeUp = null;
        }
        wakeUpNanos = at;
        if (at != Long.MAX_VALUE && !ownerThread.isShutdown()) {
            long delayNanos = Math.max(0, at - config.clock.nanos());
            wakeUp = ownerThread.schedule(this::run, delayNanos, TimeUnit.NANOSECONDS);
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
        ownerThread.schedule(() -> submit(this::openStream), delayMillis, TimeUnit.MILLISECONDS);
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
            call.setOnReadyHandler(LockClient.this::wake);
        }

        @Override
        public void onNext(ServerMessage message) {
            submit(now -> {
                if (stream == this) {
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
            submit(now -> {
                if (stream == this) {
                    stream = null;
                    lastFailure = why;
                    core.streamClosed(sessionUnknown, why, now);
                }
            });
        }
    }

    // Small things.

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

    private boolean admitted(CompletableFuture<?> request) {
        if (!admitted()) {
            request.completeExceptionally(new LockRefusedException(RefusalReason.TOO_MANY_IN_FLIGHT, tooMany()));
            return false;
        }
        return true;
    }

    private String tooMany() {
        return config.maxInFlight + " requests are in flight, which is the bound; nothing was sent";
    }

    private static BiConsumer<Outcome, List<Runnable>> done(CompletableFuture<Void> future) {
        return (outcome, callbacks) -> callbacks.add(() -> {
            if (outcome instanceof Outcome.Done) {
                future.complete(null);
            } else {
                future.completeExceptionally(refusal(outcome));
            }
        });
    }

    private static LockRefusedException refusal(Outcome outcome) {
        return outcome instanceof Outcome.Refused refused
                ? new LockRefusedException(refused.reason(), refused.message())
                : new LockRefusedException(RefusalReason.UNKNOWN_OUTCOME, "unexpected outcome " + outcome);
    }

    private static Thread daemon(Runnable task, String name) {
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        return thread;
    }
}
