package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.AdminRefusedException;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.lock.Share;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.Audit;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One of the groups that this process takes part in. While it leads the group it has a table and turns like a single lock manager, whose
 * journal is the group's log; the table is made from what the log adds up to, as a single one's is made from its disk at a start. While it
 * does not lead it says who does.
 *
 * <p>The group's thread "lock-group" begins and ends leaderships, one after the other.
 */
final class GroupNode {

    private static final Logger LOG = LoggerFactory.getLogger(GroupNode.class);

    private static final long STOP_SECONDS = 10;

    /** So many entries a member may lack and take the lead all the same: whoever gives it waits for them, and takes no turns meanwhile. */
    private static final long SMALL_LAG = 100;

    private final Share share;
    private final Leadership.Rules rules;
    private final Leadership.Records records;
    private final Member self;
    private final Formation formation;
    private final Runnable onFailure;
    private final ScheduledExecutorService thread;

    private volatile @Nullable GroupMember member;
    private volatile @Nullable Leadership leadership;
    private volatile boolean failed;

    // "lock-group" only, but for the start
    private @Nullable MutableHandlerRegistry services;
    private @Nullable Supplier<@Nullable Executor> eventLoop;
    /** Its share of the leads was asked for, or it has led already: from then on the lead is where it is. */
    private volatile boolean tookShare;

    /** @param onFailure called once, when this member may take part no more */
    GroupNode(
            Leadership.Rules rules,
            Audit audit,
            Member self,
            Formation formation,
            MeterRegistry registry,
            Runnable onFailure) {
        this.share = rules.share();
        this.rules = rules;
        this.self = self;
        this.formation = formation;
        this.onFailure = onFailure;
        this.thread = Executors.newSingleThreadScheduledExecutor(Thread.ofPlatform()
                .name("lock-group" + (share.group() == 0 ? "" : "-" + share.group()))
                .daemon()
                .factory());
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
                GroupNode::lag);
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

    Share share() {
        return share;
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

    /** Null: it leads nobody. */
    @Nullable
    LockManager manager() {
        Leadership now = leadership;
        return now == null ? null : now.manager();
    }

    @Nullable
    GroupMember member() {
        return member;
    }

    ScheduledExecutorService thread() {
        return thread;
    }

    /** What the group serves goes into the registry, now and whenever it changes. */
    void serve(MutableHandlerRegistry registry, Supplier<@Nullable Executor> loops, Audit audit) {
        services = registry;
        eventLoop = loops;
        var unused = registry.addService(new ClusterService(this, audit));
        refuseCalls();
    }

    GroupMember.Listener events() {
        return new Events();
    }

    /** It takes part now. */
    void begun(GroupMember begun, long lookMillis) throws IOException {
        formation.begun();
        member = begun;
        var unused = thread.scheduleWithFixedDelay(this::look, lookMillis, lookMillis, TimeUnit.MILLISECONDS);
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
            GroupMember.View view = now.view();
            formation.lookAfter(view);
            takeShare(view);
            raiseFormat(now, view);
        } catch (RuntimeException e) {
            LOG.warn("looking after the group failed: {}", e.toString());
        } catch (Error e) {
            broken(e); // or nobody would ever look again
        }
    }

    /**
     * Of several groups each member is to lead as many as the others: when it has come up it asks once for the lead of its share, of each
     * group the one whose number comes round to it. Nobody gives a lead back to a member that is only there: whoever moved it away had a
     * reason.
     */
    private void takeShare(GroupMember.View view) {
        if (share.groups() == 1
                || tookShare
                || view.epoch() == 0
                || view.members().isEmpty()) {
            return;
        }
        int turn = share.group() % view.members().size();
        Member leader = view.leader().orElse(null);
        if (leader == null || !view.members().get(turn).equals(self)) {
            return;
        }
        if (leader.equals(self)) {
            tookShare = true;
        } else if (lag(view) <= SMALL_LAG) {
            formation.askForLead(leader, () -> tookShare = true);
        }
    }

    /** After an upgrade: once all members read the newer format, the leader writes it. */
    private void raiseFormat(GroupMember now, GroupMember.View view) {
        if (leadership != null && now.format() < now.newestFormat()) {
            formation.askWhatIsRead(view.members());
            int readByAll = formation.readByAll();
            if (readByAll > now.format()) {
                LOG.info("all members read format {}: it is written from now on", readByAll);
                now.readByAll(readByAll);
            }
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
            inOrder(GroupNode.this::fail);
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
                "leads{}, epoch {}: {}, after {} ms",
                ofGroup(),
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
        LOG.info("does not lead{} any more, epoch {} is over", ofGroup(), ending.epoch());
    }

    private String ofGroup() {
        return share.groups() == 1 ? "" : " group " + share.group();
    }

    private void refuseCalls() {
        MutableHandlerRegistry registry = services;
        if (registry != null) {
            var unused = registry.addService(
                    NotLeading.service(LockServiceGrpc.getServiceDescriptor(), self.id(), share, this::leader));
            unused = registry.addService(
                    NotLeading.service(LockAdminGrpc.getServiceDescriptor(), self.id(), share, this::leader));
        }
    }

    private void fail() {
        if (!failed) {
            failed = true;
            endLeadership(leadership);
            onFailure.run();
        }
    }

    /** What operators ask of this group, which is for the member that leads it. */
    AdminDesk desk() {
        return new LeadersDesk();
    }

    private final class LeadersDesk implements AdminDesk {

        private LockManager manager() {
            Leadership now = leadership;
            if (now == null) {
                throw new AdminRefusedException(null, NotLeading.sentence(self.id(), share, leader()));
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

    /** Why nobody can count on this member of the group; null: they can. */
    @Nullable
    String whyNotReady() {
        GroupMember.View view = view().orElse(null);
        if (view == null) {
            return "the group is not formed yet";
        }
        if (view.members().stream().noneMatch(one -> one.id().equals(self.id()))) {
            return "member " + self.id() + " waits to be taken into the group";
        }
        return view.leader().isPresent() ? null : "no member is known to lead the group";
    }

    /** In good order: what is queued is still decided, and clients are told. */
    void close() {
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
        formation.close();
    }
}
