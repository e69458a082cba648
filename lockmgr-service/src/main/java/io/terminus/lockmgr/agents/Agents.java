package io.terminus.lockmgr.agents;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.agents.AgentRefusedException.Why;
import io.terminus.lockmgr.agents.ReplicationViews.Said;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.DemoteRequest;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.VerifyProgress;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VolumeConfig;
import io.terminus.security.TlsKeys;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The agents, as far as somebody looks at their volumes. Where they are is in the value blocks; nothing is asked of them, and no
 * thread runs, before the first look. An agent that was looked at is asked for its volumes once a second while somebody looks,
 * every {@value #IDLE_EVERY} s for another {@value #FORGOTTEN_AFTER_SECONDS} s, and is then forgotten: so an operator who reloads
 * the page, or comes back from another one, finds the plots of the minutes before.
 *
 * <p>At most {@value #MOST_AGENTS} agents and {@value #MOST_HISTORIES} plots are kept at a time; beyond that the ones that were
 * looked at longest ago go. Any thread may call.
 */
public final class Agents implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(Agents.class);

    private static final int MOST_AGENTS = 1000;
    private static final int MOST_HISTORIES = 50;
    private static final int FORGOTTEN_AFTER_SECONDS = 900;
    private static final int IDLE_EVERY = 5;
    private static final long LOOKING_NANOS = TimeUnit.SECONDS.toNanos(10);
    /** How long a first look waits for agents that were never asked. */
    private static final long FIRST_LOOK_MILLIS = 1500;

    private static final int PROMOTE_SECONDS = 60;
    /** Behind that of the agent, whose word says more. */
    private static final int PROMOTE_DEADLINE_SECONDS = PROMOTE_SECONDS + 10;

    private static final int CALL_SECONDS = 30;

    private static final class Looked<T> {
        final T what;
        volatile long atNanos;

        Looked(T what, long atNanos) {
            this.what = what;
            this.atNanos = atNanos;
        }
    }

    /** A plot, and where its volume is. */
    private static final class Plot {
        final History history = new History();
        VolumeConfig config; // guarded by the Agents

        Plot(VolumeConfig config) {
            this.config = config;
        }
    }

    private final @Nullable TlsKeys keys;
    private final Map<String, Looked<AgentLink>> links = new LinkedHashMap<>(); // guarded by this
    private final Map<String, Looked<Plot>> plots = new LinkedHashMap<>(); // by uuid; guarded by this
    private final Map<String, Context.CancellableContext> verifications = new ConcurrentHashMap<>(); // by uuid
    private @Nullable ScheduledExecutorService clock; // guarded by this
    private boolean closed; // guarded by this
    private long ticks; // the clock's own

    /** @param keys with which agents are asked; null: without TLS */
    public Agents(@Nullable TlsKeys keys) {
        this.keys = keys;
    }

    /**
     * What is known now of volumes, by name; those that are not replicated are left out.
     *
     * @param values value blocks, by volume
     */
    public Map<String, Replication> look(Map<String, byte[]> values) {
        Map<String, VolumeConfig> configs = new LinkedHashMap<>();
        values.forEach(
                (name, value) -> ReplicationViews.config(name, value).ifPresent(config -> configs.put(name, config)));
        List<CompletableFuture<Answer>> firsts = configs.values().stream()
                .flatMap(config -> config.getReplicasList().stream())
                .map(address -> link(address.getControl()).first())
                .toList();
        CompletableFuture.allOf(firsts.toArray(CompletableFuture[]::new))
                .completeOnTimeout(null, FIRST_LOOK_MILLIS, TimeUnit.MILLISECONDS)
                .join();
        Function<String, Answer> answers = answers();
        Map<String, Replication> seen = new LinkedHashMap<>();
        configs.forEach((name, config) -> seen.put(name, ReplicationViews.view(config, answers)));
        return seen;
    }

    /** The plots of a volume, oldest point first. They begin with the first look at them. */
    public List<Sample> history(String volume, byte[] value) {
        Optional<VolumeConfig> config = ReplicationViews.config(volume, value);
        if (config.isEmpty()) {
            return List.of();
        }
        config.get().getReplicasList().forEach(address -> link(address.getControl()));
        synchronized (this) {
            Looked<Plot> plot = touch(plots, config.get().getUuid(), MOST_HISTORIES, uuid -> new Plot(config.get()));
            plot.what.config = config.get();
            return plot.what.history.points();
        }
    }

    /**
     * Makes an agent the writer; waits until it serves.
     *
     * @return the agent's last word
     */
    public String promote(String volume, byte[] value, String agent, boolean force, boolean acceptDataLoss)
            throws AgentRefusedException {
        VolumeConfig config = replicated(volume, value);
        PromoteRequest request = PromoteRequest.newBuilder()
                .setName(volume)
                .setForce(force)
                .setAcceptDataLoss(acceptDataLoss)
                .setTimeoutMillis(TimeUnit.SECONDS.toMillis(PROMOTE_SECONDS))
                .build();
        return call(agent, () -> {
            Iterator<PromoteProgress> words =
                    stub(config, agent, PROMOTE_DEADLINE_SECONDS).promote(request);
            String last = "";
            while (words.hasNext()) {
                last = words.next().getMessage();
            }
            return last;
        });
    }

    /** Ends service of a volume, in good order, until an agent is promoted. */
    public void demote(String volume, byte[] value) throws AgentRefusedException {
        VolumeConfig config = replicated(volume, value);
        String writer = writer(config);
        call(
                writer,
                () -> stub(config, writer, CALL_SECONDS)
                        .demote(DemoteRequest.newBuilder().setName(volume).build()));
    }

    /**
     * Has the writer compare its replicas with what it has; returns when that has begun. It ends with {@link #stopVerifying}, and
     * with this process.
     *
     * @param repair replace what differs by what the writer has
     */
    public void verify(String volume, byte[] value, boolean repair) throws AgentRefusedException {
        VolumeConfig config = replicated(volume, value);
        String writer = writer(config);
        VerifyRequest request =
                VerifyRequest.newBuilder().setName(volume).setRepair(repair).build();
        AgentLink link = link(config, writer);
        Context.CancellableContext context = Context.ROOT.withCancellation();
        if (verifications.putIfAbsent(config.getUuid(), context) != null) {
            // To stop it here and now would stop the new one: the agent hears of the end of a call later.
            throw new AgentRefusedException(
                    Why.NOT_NOW, "a comparison of '" + volume + "' that was begun here is under way: stop it first");
        }
        Verifying verifying = new Verifying(() -> verifications.remove(config.getUuid(), context));
        context.run(() -> AgentControlGrpc.newStub(link.channel()).verify(request, verifying));
        call(writer, () -> {
            try {
                return verifying.begun.orTimeout(CALL_SECONDS, TimeUnit.SECONDS).join();
            } catch (CompletionException e) {
                throw Status.fromThrowable(e.getCause()).asRuntimeException();
            }
        });
    }

    private static final class Verifying implements io.grpc.stub.StreamObserver<VerifyProgress> {

        final CompletableFuture<Boolean> begun = new CompletableFuture<>();
        private final Runnable over;

        Verifying(Runnable over) {
            this.over = over;
        }

        @Override
        public void onNext(VerifyProgress progress) {
            begun.complete(true);
        }

        @Override
        public void onError(Throwable failure) {
            over.run();
            begun.completeExceptionally(failure);
        }

        @Override
        public void onCompleted() {
            over.run();
            begun.complete(true);
        }
    }

    /** Stops a comparison that was begun here; false: there is none. */
    public boolean stopVerifying(String volume, byte[] value) throws AgentRefusedException {
        Context.CancellableContext running =
                verifications.remove(replicated(volume, value).getUuid());
        if (running != null) {
            running.cancel(null);
        }
        return running != null;
    }

    @Override
    public synchronized void close() {
        closed = true;
        if (clock != null) {
            clock.shutdownNow();
        }
        verifications.values().forEach(context -> context.cancel(null));
        links.values().forEach(link -> link.what.close());
        links.clear();
        plots.clear();
    }

    // ---- looking

    private synchronized AgentLink link(String control) {
        boolean known = links.containsKey(control);
        AgentLink link = touch(links, control, MOST_AGENTS, address -> new AgentLink(address, keys)).what;
        if (!known) {
            link.ask();
        }
        if (clock == null && !closed) {
            clock = Executors.newSingleThreadScheduledExecutor(
                    Thread.ofPlatform().name("agents").daemon().factory());
            clock.scheduleWithFixedDelay(this::tick, 1, 1, TimeUnit.SECONDS);
        }
        return link;
    }

    /** Looked at now, so the last to go. The caller holds this. */
    private static <T> Looked<T> touch(Map<String, Looked<T>> all, String key, int most, Function<String, T> made) {
        long now = System.nanoTime();
        Looked<T> there = all.remove(key);
        Looked<T> looked = there == null ? new Looked<>(made.apply(key), now) : there;
        looked.atNanos = now;
        if (all.size() >= most) {
            discard(all.remove(all.keySet().iterator().next()));
        }
        all.put(key, looked);
        return looked;
    }

    private static void discard(@Nullable Looked<?> gone) {
        if (gone != null && gone.what instanceof AgentLink link) {
            link.close();
        }
    }

    private synchronized Function<String, Answer> answers() {
        Map<String, Answer> answers = new HashMap<>();
        links.forEach((control, link) -> answers.put(control, link.what.last()));
        return control -> answers.getOrDefault(control, Answer.NONE_YET);
    }

    private void tick() {
        try {
            step(System.nanoTime(), System.currentTimeMillis());
        } catch (RuntimeException e) {
            // The next second is another chance.
            LOG.warn("cannot look at the agents", e);
        }
    }

    private void step(long nowNanos, long nowMillis) {
        boolean all = ticks++ % IDLE_EVERY == 0;
        Function<String, Answer> answers = answers();
        synchronized (this) {
            forget(links, nowNanos);
            forget(plots, nowNanos);
            for (Looked<Plot> plot : plots.values()) {
                if (all || nowNanos - plot.atNanos < LOOKING_NANOS) {
                    plot.what.history.add(ReplicationViews.writer(plot.what.config, answers), nowMillis);
                }
            }
            for (Looked<AgentLink> link : links.values()) {
                if (all || nowNanos - link.atNanos < LOOKING_NANOS) {
                    link.what.ask();
                }
            }
        }
    }

    private static <T> void forget(Map<String, Looked<T>> all, long nowNanos) {
        List<Looked<T>> gone = new ArrayList<>();
        all.values().removeIf(looked -> {
            boolean old = nowNanos - looked.atNanos > TimeUnit.SECONDS.toNanos(FORGOTTEN_AFTER_SECONDS);
            if (old) {
                gone.add(looked);
            }
            return old;
        });
        gone.forEach(Agents::discard);
    }

    // ---- asking

    private interface Call<T> {
        T run() throws AgentRefusedException;
    }

    private static <T> T call(String agent, Call<T> call) throws AgentRefusedException {
        try {
            return call.run();
        } catch (StatusRuntimeException e) {
            Status status = e.getStatus();
            String said = "agent " + agent + ": "
                    + (status.getDescription() == null ? status.getCode() : status.getDescription());
            throw new AgentRefusedException(why(status), said);
        }
    }

    /** The one place where an agent's codes become what a caller may believe. */
    static Why why(Status status) {
        return switch (status.getCode()) {
            case NOT_FOUND -> Why.UNKNOWN;
            case INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED -> Why.INVALID;
            case ABORTED, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, ALREADY_EXISTS, PERMISSION_DENIED, UNAUTHENTICATED ->
                Why.NOT_NOW;
            case UNAVAILABLE -> Why.UNREACHABLE;
            case OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, DATA_LOSS -> Why.OUTCOME_UNKNOWN;
        };
    }

    private AgentControlGrpc.AgentControlBlockingStub stub(VolumeConfig config, String agent, int seconds)
            throws AgentRefusedException {
        return AgentControlGrpc.newBlockingStub(link(config, agent).channel())
                .withDeadlineAfter(seconds, TimeUnit.SECONDS);
    }

    private AgentLink link(VolumeConfig config, String agent) throws AgentRefusedException {
        for (ReplicaAddress address : config.getReplicasList()) {
            if (address.getAgent().equals(agent)) {
                return link(address.getControl());
            }
        }
        throw new AgentRefusedException(
                Why.UNKNOWN, "volume '" + config.getName() + "' has no replica at an agent '" + agent + "'");
    }

    /** Who says that it writes, else who did last. */
    private String writer(VolumeConfig config) {
        look(Map.of(config.getName(), config.toByteArray()));
        Said writer = ReplicationViews.writer(config, answers());
        return writer == null ? config.getWriter() : writer.status().getWriter();
    }

    private static VolumeConfig replicated(String volume, byte[] value) throws AgentRefusedException {
        return ReplicationViews.config(volume, value)
                .orElseThrow(() ->
                        new AgentRefusedException(Why.UNKNOWN, "volume '" + volume + "' is not one of the agents'"));
    }
}
