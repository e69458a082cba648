package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.Audit;
import io.terminus.security.AuditLog;
import io.terminus.security.Exposure;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One of a group of lock managers. While it leads it has a table and turns like a single one, whose journal is the group's log; the table is
 * made from what the log adds up to, as a single one's is made from its disk at a start. While it does not lead it says who does.
 *
 * <p>The thread "lock-group" forms the group, and begins and ends leaderships, one after the other.
 */
final class ClusterNode implements LockNode {

    private static final Logger LOG = LoggerFactory.getLogger(ClusterNode.class);

    private static final long LOOK_MILLIS = 200;
    private static final long STOP_SECONDS = 10;

    /** As many locks as three times this may be held, as by a single one. */
    private static final int LOCKS_FACTOR = 3;

    private final LockManagerProperties properties;
    private final Leadership.Rules rules;
    private final Leadership.Records records;
    private final Member self;
    private final @Nullable TlsKeys keys;
    private final Formation formation;
    private final AuditLog audit;
    private final Runnable onFailure;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("lock-group").daemon().factory());

    private volatile @Nullable GroupMember member;
    private volatile @Nullable Leadership leadership;
    private volatile boolean failed;

    // "lock-group" only, but for the start
    private @Nullable MutableHandlerRegistry services;
    private @Nullable Supplier<@Nullable Executor> eventLoop;
    private String saidWaiting = "";

    /** Without TLS: see {@link #ClusterNode(LockManagerProperties, MeterRegistry, ServiceTls, Exposure, String, Runnable)}. */
    ClusterNode(LockManagerProperties properties, MeterRegistry registry, Runnable onFailure) {
        this(properties, registry, new ServiceTls(null), new Exposure(false), "", onFailure);
    }

    /**
     * @param hostName of this host, for members that are named by it
     * @param onFailure ends the process; called once, when this member may take part no more
     */
    ClusterNode(
            LockManagerProperties properties,
            MeterRegistry registry,
            ServiceTls tls,
            Exposure exposure,
            String hostName,
            Runnable onFailure) {
        this.properties = properties;
        this.onFailure = onFailure;
        this.keys = tls.keys();
        try {
            this.rules = new Leadership.Rules(
                    properties.table().withMaxLocks(LOCKS_FACTOR * properties.maxLocks()),
                    properties.service(),
                    properties.limits().watchers());
            List<Member> members = Roster.members(properties.cluster(), hostName);
            String node = Roster.node(properties.cluster(), hostName);
            this.self = members.stream()
                    .filter(one -> one.id().equals(node))
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException(
                            "lockmgr.cluster.node of '" + node + "' is none of the members " + members));
            this.formation = new Formation(
                    properties.dataDir(),
                    properties.cluster().name(),
                    self,
                    members,
                    target -> GrpcTls.channel(target, tls.keys()).build());
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException("the settings cannot be used: " + e.getMessage(), e);
        }
        String refusal = exposure.refusal(
                "Raft on port " + self.raftPort(),
                properties.bindAddress(),
                keys != null,
                "set lockmgr.tls.cert, .key and .ca, or");
        if (refusal != null) {
            throw new StartRefusedException(refusal);
        }
        this.audit = new AuditLog(properties.dataDir());
        LongAdder commits = new LongAdder();
        LongAdder decisions = new LongAdder();
        LockMetrics metrics = new LockMetrics(registry, new Counts(commits, decisions), () -> {
            Leadership now = leadership;
            return now == null ? 0 : now.watchers();
        });
        this.records = new Leadership.Records(metrics, audit, commits, decisions);
        gauge(registry, "terminus.group.leads", "1 at the member that leads", view -> leadership == null ? 0 : 1);
        gauge(registry, "terminus.group.term", "Of the group's log", GroupMember.View::term);
        gauge(registry, "terminus.group.epoch", "Of the newest leadership", GroupMember.View::epoch);
        gauge(
                registry,
                "terminus.group.members",
                "Of the group",
                view -> view.members().size());
        gauge(
                registry,
                "terminus.group.lag",
                "Entries that the slowest member lacks, at the leader; that are not applied yet, elsewhere",
                ClusterNode::lag);
    }

    private void gauge(MeterRegistry registry, String name, String what, ToDoubleFunction<GroupMember.View> of) {
        Gauge.builder(name, this, node -> node.view().map(of::applyAsDouble).orElse(0.0))
                .description(what)
                .register(registry);
    }

    private static double lag(GroupMember.View view) {
        long newest = view.commitIndexes().values().stream()
                .mapToLong(index -> index)
                .max()
                .orElse(view.appliedIndex());
        long slowest = view.leads()
                ? view.commitIndexes().values().stream()
                        .mapToLong(index -> index)
                        .min()
                        .orElse(newest)
                : view.appliedIndex();
        return Math.max(0, newest - slowest);
    }

    /** For the metrics, which outlive a leadership. */
    private record Counts(LongAdder commits, LongAdder decisions) implements LockMetrics.Written {
        @Override
        public long syncs() {
            return commits.sum();
        }

        @Override
        public long appends() {
            return decisions.sum();
        }
    }

    Member self() {
        return self;
    }

    Formation formation() {
        return formation;
    }

    /** Empty while the group is not formed. */
    Optional<GroupMember.View> view() {
        return Optional.ofNullable(member).map(GroupMember::view);
    }

    Optional<Member> leader() {
        return view().flatMap(GroupMember.View::leader);
    }

    boolean leads() {
        return leadership != null;
    }

    @Nullable
    GroupMember member() {
        return member;
    }

    @Override
    public void serve(MutableHandlerRegistry registry, Supplier<@Nullable Executor> loops) {
        services = registry;
        eventLoop = loops;
        var unused = registry.addService(new ClusterService(this, audit));
        refuseCalls();
        try {
            GroupMember.requireFree(settings());
        } catch (IOException e) {
            throw new StartRefusedException(e.getMessage() + " (it is the first one of lockmgr.cluster.members)", e);
        }
        try {
            formation.recall();
        } catch (IOException e) {
            throw new UncheckedIOException("the state of this member cannot be read", e);
        }
        thread.execute(this::form);
    }

    private void form() {
        try {
            switch (formation.look()) {
                case Formation.Wait wait -> {
                    if (!wait.why().equals(saidWaiting)) {
                        saidWaiting = wait.why();
                        LOG.info("the group is not formed yet: {}", wait.why());
                    }
                    var unused = thread.schedule(this::form, LOOK_MILLIS, TimeUnit.MILLISECONDS);
                }
                case Formation.Begin begin -> begin(begin.members());
            }
        } catch (Exception | Error e) {
            LOG.error("this member of the group cannot start", e);
            fail();
        }
    }

    private void begin(List<Member> members) throws IOException, TimeoutException, InterruptedException {
        String name = properties.cluster().name();
        GroupMember begun = new GroupMember(settings(), name, members, new Events());
        try {
            begun.start();
        } catch (IOException | TimeoutException | InterruptedException | RuntimeException e) {
            begun.close();
            throw e;
        }
        formation.begun();
        member = begun;
        LOG.info(
                "member {} of the group {}, data in {}",
                self,
                name,
                properties.dataDir().toAbsolutePath());
        var unused = thread.scheduleWithFixedDelay(this::look, LOOK_MILLIS, LOOK_MILLIS, TimeUnit.MILLISECONDS);
    }

    private GroupMember.Settings settings() {
        LockManagerProperties.Cluster cluster = properties.cluster();
        return new GroupMember.Settings(
                self,
                properties.dataDir().resolve(Formation.LOG_DIRECTORY),
                properties.bindAddress(),
                cluster.electionTimeout(),
                cluster.snapshotAfter(),
                cluster.keepEntries(),
                keys);
    }

    /** What no event may have said: an election is won and nobody leads, or the group does not have this member yet. */
    private void look() {
        GroupMember now = member;
        if (now == null || failed) {
            return;
        }
        try {
            if (now.hasStopped()) {
                LOG.error(
                        "the member of the group has stopped: this process ends, so that another start can take part again");
                fail();
                return;
            }
            if (leadership == null) {
                now.claim();
            }
            formation.lookAfter(now.view());
        } catch (RuntimeException e) {
            LOG.warn("looking after the group failed: {}", e.toString());
        } catch (Error e) {
            broken(e); // or nobody would ever look again
        }
    }

    /** What comes behind the end of this member concerns nobody. */
    private void inOrder(Runnable task) {
        try {
            thread.execute(() -> {
                try {
                    task.run();
                } catch (RuntimeException | Error e) {
                    broken(e);
                }
            });
        } catch (RejectedExecutionException e) {
            LOG.debug("said to a member that is closed");
        }
    }

    /** A member that has won and serves nobody would keep the others from leading. */
    private void broken(Throwable e) {
        LOG.error("our own bug, or no memory: this process ends, so that another member can lead", e);
        fail();
    }

    private final class Events implements GroupMember.Listener {
        @Override
        public void leads(GroupMember.Inheritance inheritance) {
            inOrder(() -> lead(inheritance));
        }

        @Override
        public void follows(long epoch) {
            over(epoch);
        }

        @Override
        public void failed(String why) {
            inOrder(ClusterNode.this::fail);
        }
    }

    /** The leadership of this epoch is over, if it runs at all. Any thread. */
    void over(long epoch) {
        inOrder(() -> end(epoch));
    }

    private void lead(GroupMember.Inheritance inheritance) {
        long epoch = inheritance.epoch();
        endLeadership(leadership);
        GroupMember group = member;
        MutableHandlerRegistry registry = services;
        Supplier<@Nullable Executor> loops = eventLoop;
        if (group == null || registry == null || loops == null || failed || !group.holds(epoch)) {
            return;
        }
        long beganNanos = System.nanoTime();
        Leadership begun;
        try {
            begun = Leadership.begin(
                    group, inheritance, rules, records, over -> inOrder(() -> endedByItself(epoch, over)));
        } catch (IllegalStateException e) {
            LOG.error("what the group's log adds up to breaks a rule of locks", e);
            fail();
            return;
        }
        leadership = begun;
        begun.serve(registry, loops);
        LOG.info(
                "leads, epoch {}: {}, after {} ms",
                epoch,
                begun.inherited(),
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - beganNanos));
    }

    /** @param over because the group takes its turns no more; else something is broken */
    private void endedByItself(long epoch, boolean over) {
        if (over) {
            end(epoch);
        } else {
            fail();
        }
    }

    /** Ends the leadership of this epoch. What was said of one that has gone since ends no other. "lock-group" only. */
    private void end(long epoch) {
        Leadership now = leadership;
        if (now != null && now.epoch() == epoch) {
            endLeadership(now);
        }
    }

    private void endLeadership(@Nullable Leadership ending) {
        if (ending == null) {
            return;
        }
        leadership = null;
        refuseCalls();
        ending.cutOff();
        GroupMember group = member;
        if (group != null) {
            group.ended(ending.epoch());
        }
        LOG.info("does not lead any more, epoch {} is over", ending.epoch());
    }

    private void refuseCalls() {
        MutableHandlerRegistry registry = services;
        if (registry != null) {
            var unused = registry.addService(
                    NotLeading.service(LockServiceGrpc.getServiceDescriptor(), self.id(), this::leader));
            unused = registry.addService(
                    NotLeading.service(LockAdminGrpc.getServiceDescriptor(), self.id(), this::leader));
        }
    }

    private void fail() {
        if (!failed) {
            failed = true;
            endLeadership(leadership);
            onFailure.run();
        }
    }

    @Override
    public AdminDesk admin() {
        return new LeadersDesk();
    }

    /** What operators ask is for the member that leads. */
    private final class LeadersDesk implements AdminDesk {

        private LockManager manager() {
            Leadership now = leadership;
            if (now == null) {
                throw new AdminRefusedException(null, NotLeading.sentence(self.id(), leader()));
            }
            return now.manager();
        }

        @Override
        public <T> T ask(Question<T> question) {
            return manager().ask(question);
        }

        @Override
        public void forceRelease(String who, String volume, long lockId) {
            manager().forceRelease(who, volume, lockId);
        }

        @Override
        public void configureVolume(String who, String volume, long lockDelayMillis) {
            manager().configureVolume(who, volume, lockDelayMillis);
        }

        @Override
        public boolean closeSession(String who, String sessionId) {
            return manager().closeSession(who, sessionId);
        }
    }

    @Override
    public Audit audit() {
        return audit;
    }

    @Override
    public @Nullable String whyNotReady() {
        GroupMember.View view = view().orElse(null);
        if (view == null) {
            return "the group is not formed yet";
        }
        if (view.members().stream().noneMatch(one -> one.id().equals(self.id()))) {
            return "member " + self.id() + " waits to be taken into the group";
        }
        return view.leader().isPresent() ? null : "no member is known to lead the group";
    }

    @Override
    public long nanosSinceTick() {
        Leadership now = leadership;
        return now == null ? 0 : now.manager().nanosSinceTick();
    }

    /** In good order: what is queued is still decided, and clients are told. */
    @Override
    public void close() {
        inOrder(() -> {
            Leadership ending = leadership;
            leadership = null;
            refuseCalls();
            if (ending != null) {
                ending.close();
            }
            thread.shutdownNow();
        });
        try {
            if (!thread.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)) {
                LOG.warn("the leadership did not end within {} s", STOP_SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        GroupMember closing = member;
        if (closing != null) {
            closing.close();
        }
        formation.close();
        audit.close();
    }
}
