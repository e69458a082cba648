package io.terminus.lockmgr.client;

import io.github.resilience4j.core.IntervalFunction;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongConsumer;
import org.agrona.collections.Long2ObjectHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads of a {@link LockClient}, and its stream: carries what is asked to the {@link SessionCore}, and what the core decides to the
 * lock manager and to the callers.
 *
 * <pre>
 *   any thread ----> inbox ----> owner: the event loop of the connection <----> lock manager
 *                      ^                 |
 *                      '-- callbacks <---'
 * </pre>
 *
 * <p>The owner of the core is the thread that writes and reads the connection, so that nobody has to be woken between the two. Everything
 * that has come together in the inbox while it was busy is done in one go, and leaves in as few messages as it fits into; and everything
 * that one message answers goes to the callback thread in one go.
 *
 * <p>What callbacks ask for is kept back while others of the same go wait behind them, so that it leaves together: to the end of the go, and
 * for {@value #HOLD_BACK_NANOS} ns from its beginning at most. A callback that is alone keeps nothing back.
 */
final class ClientLoop {

    private static final Logger log = LoggerFactory.getLogger(LockClient.class);

    /** Messages that may wait for the owner; the rest waits in the connection. */
    private static final int MAX_UNREAD_MESSAGES = 16;

    static final long HOLD_BACK_NANOS = 1_000_000;

    private static final long NO_GO = Long.MIN_VALUE;

    private static final LongConsumer NOTHING = now -> {};

    private final LockClient.Config config;
    private final Managers managers;
    private final IntervalFunction backOff;
    private final ScheduledExecutorService owner;
    private final Callbacks callbacks;
    private final Others others;

    // The way to the owner: what is Asked, and LongConsumers that take the time. Bounded by maxInFlight, the
    // grants, and MAX_UNREAD_MESSAGES.
    private final ConcurrentLinkedQueue<Object> inbox = new ConcurrentLinkedQueue<>();
    /** A run is on its way that will find what is in the inbox now. */
    private final AtomicBoolean runAsked = new AtomicBoolean();

    private final AtomicBoolean closing = new AtomicBoolean();
    /** Whoever asks from now on runs what it asks. */
    private volatile boolean ownerless;

    /** Several callbacks that were handed over together and are not all begun. */
    private final AtomicInteger goes = new AtomicInteger();

    /** When the callback thread began with such a go; {@link #NO_GO}: it is at the last of it, or at none. It alone writes this. */
    private volatile long goSinceNanos = NO_GO;

    /** The owner does not come by itself for what is kept back in a go that begins now. */
    private volatile boolean unwatched;

    // The owner's, under the monitor of run().
    private final SessionCore core;
    private final Long2ObjectHashMap<Asked<?>> asked = new Long2ObjectHashMap<>(1024, 0.4f);
    private @Nullable Stream stream;
    /** On System.nanoTime, for this is about politeness and not about leases. */
    private long connectAtNanos;

    private @Nullable ScheduledFuture<?> alarm;
    /** On System.nanoTime; counts while there is an alarm. */
    private long alarmAtNanos;

    private boolean connectWanted;
    private int failedAttempts;
    /** Another lock manager is to be asked now, which need not wait for what this one did. */
    private boolean askNextAtOnce;

    private String lastFailure = "";
    private String sessionToClose = "";
    private boolean stopped;
    private boolean readyGiven;
    private boolean readyRefused;

    // Seen by all.
    private volatile LockClient.Status status = new LockClient.Status(LockClient.State.CONNECTING, "", 0, 0, 0, "");
    private volatile CompletableFuture<String> ready = new CompletableFuture<>();

    /** What is not this group's. Called by the owner. */
    interface Others {
        /** Over so many groups the volumes are spread. */
        void learned(int groups);

        /** This request is for that group, and this one is over it. */
        void moved(Asked<?> request, int group);
    }

    /**
     * @param owner one thread, that of the channel's connections where it can be, which never waits
     * @param group whose lock managers these are
     * @param groups 0: not known yet
     */
    ClientLoop(
            LockClient.Config config,
            Managers managers,
            ScheduledExecutorService owner,
            Callbacks callbacks,
            Grant.Owner grantOwner,
            int group,
            int groups,
            Others others) {
        this.config = config;
        this.managers = managers;
        this.callbacks = callbacks;
        this.others = others;
        // A group has another leader within a second or so, and who finds it late holds what others wait for.
        this.backOff = managers.several()
                ? IntervalFunction.ofExponentialRandomBackoff(Duration.ofMillis(50), 1.5, 0.5, Duration.ofMillis(250))
                : IntervalFunction.ofExponentialRandomBackoff(Duration.ofMillis(100), 2.0, 0.5, Duration.ofSeconds(3));
        this.owner = owner;
        this.core = new SessionCore(
                new SessionCore.Settings(
                        config.owner(), config.ttl().toNanos(), config.ttl().toNanos(), group, groups),
                config.clock(),
                grantOwner);
    }

    void start() {
        onOwner(now -> core.start());
    }

    SessionCore core() {
        return core;
    }

    LockClient.Status status() {
        return status;
    }

    CompletableFuture<String> ready() {
        return ready;
    }

    /** Ends everything here; the future brings the session that is to be given back, if there is one. False: that was done before. */
    boolean close(CompletableFuture<String> session) {
        if (!closing.compareAndSet(false, true)) {
            return false;
        }
        onOwner(now -> {
            core.close();
            perform();
            session.complete(sessionToClose);
        });
        return true;
    }

    /** The end, behind {@link #close}. What was asked meanwhile, and what is asked from now on, is answered with CLOSED. */
    void stop() {
        ownerless = true;
        run();
        synchronized (this) {
            if (alarm != null) {
                alarm.cancel(false);
            }
        }
    }

    // The owner.

    <T> Asked<T> submit(Asked<T> request) {
        request.loop = this;
        inbox.add(request);
        wake();
        return request;
    }

    void onOwner(LongConsumer command) {
        inbox.add(command);
        wake();
    }

    /** Behind an addition to the inbox. */
    private void wake() {
        if (!keepsBack()) {
            askForRun();
        }
    }

    /** Only the first one does: the others are found by the same run. */
    private void askForRun() {
        if (ownerless) {
            // The core is closed: it only completes what it is asked.
            run();
        } else if (!runAsked.get() && runAsked.compareAndSet(false, true)) {
            try {
                owner.execute(this::ownerRuns);
            } catch (RejectedExecutionException over) {
                run();
            }
        }
    }

    /** The clock comes behind the addition: whoever looks when the time is over finds what was kept back. */
    private boolean keepsBack() {
        return callbacks.isThread(Thread.currentThread())
                && goSinceNanos != NO_GO
                && System.nanoTime() - goSinceNanos < HOLD_BACK_NANOS;
    }

    private void ownerRuns() {
        runAsked.set(false);
        setAlarm(run());
    }

    /** Sees to it that the owner comes by itself. An alarm that is too early does no harm. */
    private synchronized void setAlarm(long delayNanos) {
        if (ownerless || delayNanos == Long.MAX_VALUE) {
            return;
        }
        long atNanos = System.nanoTime() + delayNanos;
        if (alarm != null) {
            if (alarmAtNanos - atNanos <= 0) {
                return;
            }
            alarm.cancel(false);
        }
        alarmAtNanos = atNanos;
        alarm = owner.schedule(this::alarmed, Math.max(0, delayNanos), TimeUnit.NANOSECONDS);
    }

    private void alarmed() {
        synchronized (this) {
            alarm = null;
        }
        ownerRuns();
    }

    /** Everything that is asked, then everything that follows from it. Returns for how long there is nothing to do by itself. */
    private synchronized long run() {
        long now = config.clock().nanos();
        while (!go(now) && !inbox.isEmpty()) {
            // What stood behind the command that failed is ended as well: nobody else comes for it.
        }
        publish();
        long idleNanos = Long.MAX_VALUE;
        if (core.wakeAtNanos() != Long.MAX_VALUE) {
            idleNanos = core.wakeAtNanos() - config.clock().nanos();
        }
        if (connectWanted) {
            idleNanos = Math.min(idleNanos, connectAtNanos - System.nanoTime());
        }
        return Math.min(idleNanos, keptBackNanos());
    }

    /** For how long the owner may leave alone what callbacks keep back. */
    private long keptBackNanos() {
        if (goes.get() == 0) {
            // What the go kept back behind our look at the inbox must not wait for its last callback.
            return inbox.isEmpty() || runAsked.get() ? Long.MAX_VALUE : HOLD_BACK_NANOS;
        }
        unwatched = true; // Before the look: a go that begins behind it sees this, and asks for a run.
        long sinceNanos = goSinceNanos;
        boolean over = sinceNanos != NO_GO && System.nanoTime() - sinceNanos >= HOLD_BACK_NANOS;
        if (over && inbox.isEmpty()) {
            return Long.MAX_VALUE; // However long its callback takes: it keeps nothing back any more.
        }
        unwatched = false;
        return HOLD_BACK_NANOS;
    }

    /** False: it failed, and the core is closed. */
    private boolean go(long now) {
        Asked<?> asking = null;
        try {
            Object command = inbox.poll();
            while (command != null) {
                if (command instanceof Asked<?> request) {
                    asking = request;
                    ClientLoop home = request.home();
                    if (home.equals(this)) {
                        request.requestId = request.ask(core, request.askedAt(now));
                        asked.put(request.requestId, request);
                    } else {
                        home.submit(request);
                    }
                    asking = null;
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
            return true;
        } catch (RuntimeException | Error e) {
            breakDown(e, asking);
            return false;
        }
    }

    /** A broken invariant: believing on would be worse than stopping. */
    private void breakDown(Throwable why, @Nullable Asked<?> asking) {
        log.error("the lock client of {} stops: it found itself in an impossible state", config.owner(), why);
        stopped = true;
        try {
            core.close();
            perform();
        } catch (RuntimeException | Error e) {
            log.error("the lock client of {} could not even stop in order", config.owner(), e);
        }
        connectWanted = false;
        lastFailure = "stopped: " + why;
        // Of what broke down, no more answers will come.
        List<Asked<?>> left = new ArrayList<>(asked.values());
        asked.clear();
        if (asking != null) {
            left.add(asking);
        }
        left.forEach(request -> request.ended(new Outcome.Refused(RefusalReason.CLOSED, lastFailure)));
        callBack(left);
    }

    private void perform() {
        List<Object> tidings = new ArrayList<>();
        try {
            perform(tidings);
        } finally {
            callBack(tidings); // Also if it failed: what is among them is not asked any more.
        }
    }

    private void perform(List<Object> tidings) {
        boolean noticed = false;
        for (SessionCore.Action action : core.drain()) {
            noticed |= action instanceof SessionCore.Notice;
            switch (action) {
                case SessionCore.Action.Complete complete -> {
                    Asked<?> request = asked.remove(complete.requestId());
                    if (request != null && complete.outcome() instanceof Outcome.Elsewhere elsewhere) {
                        others.moved(request, elsewhere.group());
                    } else if (request != null) {
                        request.ended(complete.outcome());
                        tidings.add(request);
                    }
                }
                case SessionCore.Action.Send send -> {
                    if (stream != null) {
                        stream.call.onNext(send.encoded());
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
                    managers.channel().enterIdle();
                    askNextAtOnce = managers.moveOn(null);
                }
                case SessionCore.Action.CloseSession close -> sessionToClose = close.sessionId();
                case SessionCore.Notice.Attached attached -> {
                    // Not 0: a lock manager that welcomes and then fails must not be asked again without a pause.
                    failedAttempts = 1;
                    managers.welcomed();
                    others.learned(core.groups());
                    lastFailure = "";
                    readyGiven = true;
                    CompletableFuture<String> waiting = ready;
                    tidings.add((Runnable) () -> waiting.complete(attached.sessionId()));
                }
                case SessionCore.Notice.Recalled recalled ->
                    tidings.add((Runnable) () -> tellRecalled(recalled.grant(), recalled.recall()));
                case SessionCore.Notice.Lost lost -> tidings.add((Runnable) () -> tellLost(lost.grant(), lost.why()));
                case SessionCore.Notice.Jeopardy jeopardy -> tidings.add((Runnable) config.listener()::jeopardy);
                case SessionCore.Notice.Safe safe -> tidings.add((Runnable) config.listener()::safe);
                case SessionCore.Notice.SessionLost over ->
                    tidings.add((Runnable) () -> config.listener().sessionLost(over.why()));
            }
        }
        if (noticed) {
            publish(); // Who is told that the session is there finds it there.
        }
    }

    private void tellRecalled(Grant grant, Recall recall) {
        Grant.Keeper keeper = grant.keeper;
        if (keeper != null) {
            keeper.recalled(grant, recall);
        } else {
            config.listener().recalled(grant, recall);
        }
    }

    private void tellLost(Grant grant, String why) {
        try {
            Grant.Keeper keeper = grant.keeper;
            if (keeper != null) {
                keeper.lost(grant, why);
            }
            config.listener().lost(grant, why);
        } finally {
            onOwner(now -> core.lossHeard(grant, now));
        }
    }

    /** What is Asked and ended, and Runnables, in their order. */
    void callBack(List<?> tidings) {
        if (tidings.isEmpty()) {
            return;
        }
        if (tidings.size() > 1) {
            goes.incrementAndGet();
        }
        callbacks.execute(() -> tell(tidings));
    }

    private void tell(List<?> tidings) {
        int last = tidings.size() - 1;
        if (last > 0) {
            goSinceNanos = System.nanoTime();
            if (unwatched) {
                askForRun();
            }
        }
        for (int i = 0; i <= last; i++) {
            if (i == last && last > 0) {
                goSinceNanos = NO_GO;
                goes.decrementAndGet();
            }
            Object tiding = tidings.get(i);
            try {
                if (tiding instanceof Asked<?> request) {
                    request.tell();
                } else {
                    ((Runnable) tiding).run();
                }
            } catch (Throwable e) {
                // Also an AssertionError: what stands behind it in the batch must not be lost with it.
                log.error("a callback of the lock client of {} failed", config.owner(), e);
            }
        }
        if (!inbox.isEmpty()) {
            askForRun();
        }
    }

    private void publish() {
        LockClient.State state;
        if (closing.get() || stopped) {
            state = LockClient.State.CLOSED;
        } else if (core.inJeopardy()) {
            state = LockClient.State.JEOPARDY;
        } else {
            state = core.attached() ? LockClient.State.ATTACHED : LockClient.State.CONNECTING;
        }
        status = new LockClient.Status(
                state, core.sessionId(), core.epoch(), core.heldCount(), core.pendingCount(), lastFailure);
        if (state == LockClient.State.CLOSED && !readyRefused) {
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
        long delayMillis = failedAttempts == 0 || askNextAtOnce ? 0 : backOff.apply(failedAttempts);
        failedAttempts = Math.min(failedAttempts + (askNextAtOnce ? 0 : 1), 30);
        askNextAtOnce = false;
        connectAtNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(delayMillis);
        connectWanted = true;
    }

    private void openStream(long nowNanos) {
        if (closing.get()) {
            return;
        }
        // The back-off is ours; gRPC's own would grow to minutes and refuse meanwhile.
        ManagedChannel channel = managers.channel();
        channel.resetConnectBackoff();
        Stream opened = new Stream();
        var unused = ClientCalls.asyncBidiStreamingCall(
                managers.calls(channel).newCall(SessionWire.method(), CallOptions.DEFAULT), opened);
        stream = opened;
        core.streamOpened(nowNanos);
    }

    /** What comes from one stream. gRPC's threads only pass it on. */
    private final class Stream implements ClientResponseObserver<byte[], Received> {

        @SuppressWarnings("NullAway.Init") // Set by beforeStart, before the call that makes this returns.
        private ClientCallStreamObserver<byte[]> call;
        /** The owner's. */
        private int unrequested;

        @Override
        public void beforeStart(ClientCallStreamObserver<byte[]> call) {
            this.call = call;
            call.disableAutoRequestWithInitial(MAX_UNREAD_MESSAGES);
            call.setOnReadyHandler(() -> onOwner(NOTHING));
        }

        @Override
        public void onNext(Received message) {
            onOwner(now -> {
                if (this.equals(stream)) {
                    core.received(message, now);
                    // Not one by one: each time wakes gRPC's thread.
                    if (++unrequested == MAX_UNREAD_MESSAGES / 2) {
                        unrequested = 0;
                        call.request(MAX_UNREAD_MESSAGES / 2);
                    }
                }
            });
        }

        @Override
        public void onError(Throwable failure) {
            boolean sessionUnknown = failure instanceof StatusRuntimeException ended
                    && ended.getStatus().getCode() == Code.NOT_FOUND;
            closed(sessionUnknown, String.valueOf(failure.getMessage()), failure);
        }

        @Override
        public void onCompleted() {
            closed(false, "the lock manager ended the stream", null);
        }

        private void closed(boolean sessionUnknown, String why, @Nullable Throwable failure) {
            onOwner(now -> {
                if (this.equals(stream)) {
                    stream = null;
                    lastFailure = why;
                    // An answer about the session is one of the lock manager that leads.
                    askNextAtOnce = !sessionUnknown && managers.moveOn(failure);
                    core.streamClosed(sessionUnknown, why, now);
                }
            });
        }
    }
}
