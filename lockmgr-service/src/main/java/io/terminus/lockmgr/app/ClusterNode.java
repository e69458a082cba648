package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.grpc.LockAdminService;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.Audit;
import io.terminus.security.AuditLog;
import io.terminus.security.Exposure;
import io.terminus.security.ServiceTls;
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

    /** So long every session has under a new leader at least, to find it and to renew its lease there. */
    private static final long GRACE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** As many locks as three times this may be held, as by a single one. */
    private static final int LOCKS_FACTOR = 3;

    private final LockManagerProperties properties;
    private final Settings tableSettings;
    private final ServiceLimits limits;
    private final Member self;
    private final Formation formation;
    private final AuditLog audit;
    private final Runnable onFailure;
    private final LongAdder commits = new LongAdder();
    private final LongAdder decisions = new LongAdder();
    private final LockMetrics metrics;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("lock-group").daemon().factory());

    private volatile @Nullable GroupMember member;
    private volatile @Nullable Leadership leadership;
    private volatile boolean failed;

    // "lock-group" only, but for the start
    private @Nullable MutableHandlerRegistry services;
    private @Nullable Supplier<@Nullable Executor> eventLoop;
    private String saidWaiting = "";

    /** All that lives as long as this member leads. */
    private record Leadership(
            long epoch, LockManager manager, GroupJournal journal, SessionDesk desk, WatchDesk watches) {}

    /** Without TLS: see {@link #ClusterNode(LockManagerProperties, MeterRegistry, ServiceTls, Exposure, Runnable)}. */
    ClusterNode(LockManagerProperties properties, MeterRegistry registry, Runnable onFailure) {
        this(properties, registry, new ServiceTls(null), new Exposure(false), onFailure);
    }

    /** @param onFailure ends the process; called once, when this member may take part no more */
    ClusterNode(
            LockManagerProperties properties,
            MeterRegistry registry,
            ServiceTls tls,
            Exposure exposure,
            Runnable onFailure) {
        this.properties = properties;
        this.onFailure = onFailure;
        try {
            this.tableSettings = properties.table().withMaxLocks(LOCKS_FACTOR * properties.maxLocks());
            this.limits = properties.service();
            List<Member> members =
                    properties.cluster().members().stream().map(Member::parse).toList();
            this.self = members.stream()
                    .filter(one -> one.id().equals(properties.cluster().node()))
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException("lockmgr.cluster.node of '"
                            + properties.cluster().node() + "' is none of lockmgr.cluster.members " + members));
            this.formation = new Formation(
                    properties.dataDir(),
                    properties.cluster().name(),
                    self,
                    members,
                    target -> GrpcTls.channel(target, tls.keys()).build());
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException("the settings cannot be used: " + e.getMessage(), e);
        }
        String raft = self.raftAddress();
        String refusal = exposure.refusal(
                "Raft on port " + raft.substring(raft.lastIndexOf(':') + 1),
                raft.substring(0, raft.lastIndexOf(':')),
                false,
                "for the group's own port there are no certificates yet, so keep it to a network of its own: set");
        if (refusal != null) {
            throw new StartRefusedException(refusal);
        }
        this.audit = new AuditLog(properties.dataDir());
        this.metrics = new LockMetrics(registry, new Counts(commits, decisions), () -> {
            Leadership now = leadership;
            return now == null ? 0 : now.watches.count();
        });
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
        } catch (Exception e) {
            LOG.error("this member of the group cannot start", e);
            fail();
        }
    }

    private void begin(List<Member> members) throws IOException, TimeoutException, InterruptedException {
        LockManagerProperties.Cluster cluster = properties.cluster();
        GroupMember begun = new GroupMember(
                new GroupMember.Settings(
                        self,
                        properties.dataDir().resolve(Formation.LOG_DIRECTORY),
                        cluster.electionTimeout(),
                        cluster.snapshotAfter(),
                        cluster.keepEntries()),
                cluster.name(),
                members,
                new Events());
        begun.start();
        formation.begun();
        member = begun;
        LOG.info(
                "member {} of the group {}, data in {}",
                self,
                cluster.name(),
                properties.dataDir().toAbsolutePath());
        var unused = thread.scheduleWithFixedDelay(this::look, LOOK_MILLIS, LOOK_MILLIS, TimeUnit.MILLISECONDS);
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
        }
    }

    /** What comes behind the end of this member concerns nobody. */
    private void inOrder(Runnable task) {
        try {
            thread.execute(task);
        } catch (RejectedExecutionException e) {
            LOG.debug("said to a member that is closed");
        }
    }

    private final class Events implements GroupMember.Listener {
        @Override
        public void leads(GroupMember.Inheritance inheritance) {
            inOrder(() -> lead(inheritance));
        }

        @Override
        public void follows() {
            inOrder(ClusterNode.this::endLeadership);
        }

        @Override
        public void failed(String why) {
            inOrder(ClusterNode.this::fail);
        }
    }

    private void lead(GroupMember.Inheritance inheritance) {
        endLeadership();
        GroupMember group = member;
        MutableHandlerRegistry registry = services;
        Supplier<@Nullable Executor> loops = eventLoop;
        if (group == null || registry == null || loops == null || failed) {
            return;
        }
        long beganNanos = System.nanoTime();
        LockTable table;
        try {
            table = new LockTable(tableSettings, inheritance.epoch(), inheritance.timeNanos());
            table.restore(inheritance.changes());
            inheritance
                    .renewals()
                    .forEach((session, renewed) ->
                            table.restoreLease(session, renewed, inheritance.timeNanos() + GRACE_NANOS));
        } catch (IllegalStateException e) {
            LOG.error("what the group's log adds up to breaks a rule of locks", e);
            fail();
            return;
        }
        GroupClock clock = new GroupClock(new BootClock(), inheritance.timeNanos());
        SessionDesk desk = new SessionDesk();
        WatchDesk watches = new WatchDesk(properties.limits().watchers());
        GroupJournal journal =
                new GroupJournal(group, inheritance.epoch(), inheritance.timeNanos(), commits, decisions);
        metrics.startOver();
        LockManager manager = new LockManager(
                table,
                journal,
                desk,
                watches,
                audit,
                clock,
                metrics,
                () -> inOrder(journal.over() ? this::endLeadership : this::fail));
        manager.start();
        leadership = new Leadership(inheritance.epoch(), manager, journal, desk, watches);
        var unused =
                registry.addService(new LockService(manager, desk, watches, limits, inheritance.epoch(), loops).bind());
        unused = registry.addService(new LockAdminService(manager, desk, audit).bind());
        LOG.info(
                "leads, epoch {}: {} sessions and {} volumes, after {} ms",
                inheritance.epoch(),
                table.sessionCount(),
                table.volumes().size(),
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - beganNanos));
    }

    private void endLeadership() {
        Leadership ending = leadership;
        if (ending == null) {
            return;
        }
        leadership = null;
        refuseCalls();
        ending.journal.end();
        ending.manager.close();
        LOG.info("does not lead any more, epoch {} is over", ending.epoch);
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
            endLeadership();
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
            return now.manager;
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
        return now == null ? 0 : now.manager.nanosSinceTick();
    }

    /** In good order: what is queued is still decided, and clients are told. */
    @Override
    public void close() {
        inOrder(() -> {
            Leadership ending = leadership;
            leadership = null;
            refuseCalls();
            if (ending != null) {
                ending.manager.close();
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
