package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.composite.CompositeMeterRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.ha.RaftHost;
import io.terminus.lockmgr.lock.Share;
import io.terminus.proto.lock.Groups;
import io.terminus.security.Audit;
import io.terminus.security.AuditLog;
import io.terminus.security.Exposure;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One of several lock managers that are one together. They are members of one group, or of several over which the volumes are spread
 * ({@link Groups}): each group has a leader, a log, sessions and locks of its own, and knows nothing of the others.
 *
 * <p>The first group's thread forms all of them.
 */
final class ClusterNode implements LockNode {

    private static final Logger LOG = LoggerFactory.getLogger(ClusterNode.class);

    private static final long LOOK_MILLIS = 200;

    /** As many locks as three times this may be held, as by a single one. */
    private static final int LOCKS_FACTOR = 3;

    private final LockManagerProperties properties;
    private final Member self;
    private final int newestFormat;
    private final @Nullable TlsKeys keys;
    private final AuditLog audit;
    private final Runnable onFailure;
    private final AtomicBoolean failed = new AtomicBoolean();
    private final List<GroupNode> groups = new ArrayList<>();

    private volatile @Nullable RaftHost host;

    /** The first group's thread only. */
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
        this(properties, registry, tls, exposure, hostName, onFailure, RaftHost.Settings.NEWEST_FORMAT);
    }

    /** @param newestFormat that this member reads: for tests of groups whose members are of different versions */
    ClusterNode(
            LockManagerProperties properties,
            MeterRegistry registry,
            ServiceTls tls,
            Exposure exposure,
            String hostName,
            Runnable onFailure,
            int newestFormat) {
        this.properties = properties;
        this.newestFormat = newestFormat;
        this.onFailure = onFailure;
        this.keys = tls.keys();
        List<Member> members;
        List<Leadership.Rules> rules = new ArrayList<>();
        try {
            int count = properties.groups();
            for (int group = 0; group < count; group++) {
                rules.add(new Leadership.Rules(
                        properties.table().withMaxLocks(LOCKS_FACTOR * properties.maxLocks()),
                        new Share(group, count, volume -> Groups.ofVolume(volume, count)),
                        properties.service(),
                        properties.limits().watchers()));
            }
            members = Roster.members(properties.cluster(), hostName);
            String node = Roster.node(properties.cluster(), hostName);
            this.self = members.stream()
                    .filter(one -> one.id().equals(node))
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException(
                            "lockmgr.cluster.node of '" + node + "' is none of the members " + members));
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
        for (Leadership.Rules of : rules) {
            Formation formation = new Formation(
                    properties.dataDir(),
                    properties.cluster().name(),
                    of.share(),
                    self,
                    members,
                    newestFormat,
                    target -> GrpcTls.channel(target, tls.keys()).build());
            groups.add(new GroupNode(of, audit, self, formation, registry(registry, of.share()), this::fail));
        }
    }

    /** Where there are several groups, the metrics of each have its number. */
    private static MeterRegistry registry(MeterRegistry registry, Share share) {
        if (share.groups() == 1) {
            return registry;
        }
        CompositeMeterRegistry ofGroup = new CompositeMeterRegistry();
        ofGroup.config().commonTags("group", String.valueOf(share.group()));
        ofGroup.add(registry);
        return ofGroup;
    }

    /** By their numbers; at least one. */
    List<GroupNode> groups() {
        return groups;
    }

    /** Null: it takes part in nothing yet. */
    @Nullable
    RaftHost host() {
        return host;
    }

    @Override
    public void serve(MutableHandlerRegistry registry, Supplier<@Nullable Executor> loops) {
        if (groups.size() == 1) {
            groups.getFirst().serve(registry, loops, audit);
        } else {
            List<MutableHandlerRegistry> each = new ArrayList<>();
            for (GroupNode group : groups) {
                MutableHandlerRegistry own = new MutableHandlerRegistry();
                group.serve(own, loops, audit);
                each.add(own);
            }
            GroupRouter.route(registry, each, properties.service().messageBytes());
        }
        try {
            RaftHost.requireFree(settings());
        } catch (IOException e) {
            throw new StartRefusedException(e.getMessage() + " (it is the first one of lockmgr.cluster.members)", e);
        }
        try {
            for (GroupNode group : groups) {
                group.formation().recall();
            }
        } catch (IOException e) {
            throw new UncheckedIOException("the state of this member cannot be read", e);
        }
        groups.getFirst().thread().execute(this::form);
    }

    private void form() {
        try {
            List<Formation.Begin> begins = new ArrayList<>();
            for (GroupNode group : groups) {
                switch (group.formation().look()) {
                    case Formation.Begin begin -> begins.add(begin);
                    case Formation.Wait wait -> {
                        if (!wait.why().equals(saidWaiting)) {
                            saidWaiting = wait.why();
                            LOG.info("the group is not formed yet: {}", wait.why());
                        }
                        var unused =
                                groups.getFirst().thread().schedule(this::form, LOOK_MILLIS, TimeUnit.MILLISECONDS);
                        return;
                    }
                }
            }
            begin(begins);
        } catch (StartRefusedException e) {
            LOG.error("this member of the group cannot start: {}", e.getMessage());
            fail();
        } catch (Exception | Error e) {
            LOG.error("this member of the group cannot start", e);
            fail();
        }
    }

    private void begin(List<Formation.Begin> begins) throws IOException, TimeoutException, InterruptedException {
        String name = properties.cluster().name();
        List<RaftHost.Begun> begun = new ArrayList<>();
        for (int i = 0; i < begins.size(); i++) {
            GroupNode group = groups.get(i);
            begun.add(new RaftHost.Begun(
                    group.formation().logName(), begins.get(i).members(), group.events()));
        }
        RaftHost opened = RaftHost.open(settings(), begun);
        try {
            opened.start();
        } catch (IOException | TimeoutException | InterruptedException | RuntimeException e) {
            opened.close();
            throw e;
        }
        host = opened;
        for (int i = 0; i < begins.size(); i++) {
            groups.get(i).begun(opened.groups().get(i), LOOK_MILLIS);
        }
        LOG.info(
                "member {} of the group {}, data in {}",
                self,
                name,
                properties.dataDir().toAbsolutePath());
    }

    private RaftHost.Settings settings() {
        LockManagerProperties.Cluster cluster = properties.cluster();
        return new RaftHost.Settings(
                self,
                properties.dataDir().resolve(Formation.LOG_DIRECTORY),
                properties.bindAddress(),
                cluster.electionTimeout(),
                cluster.snapshotAfter(),
                cluster.keepEntries(),
                keys,
                newestFormat);
    }

    private void fail() {
        if (failed.compareAndSet(false, true)) {
            onFailure.run();
        }
    }

    @Override
    public AdminDesk admin() {
        return groups.size() == 1 ? groups.getFirst().desk() : new GroupsDesk(groups);
    }

    @Override
    public Audit audit() {
        return audit;
    }

    @Override
    public @Nullable String whyNotReady() {
        for (GroupNode group : groups) {
            String why = group.whyNotReady();
            if (why != null) {
                return groups.size() == 1 ? why : "of group " + group.share().group() + ": " + why;
            }
        }
        return null;
    }

    /** Of the group that has waited longest. */
    @Override
    public long nanosSinceTick() {
        long longest = 0;
        for (GroupNode group : groups) {
            LockManager manager = group.manager();
            longest = Math.max(longest, manager == null ? 0 : manager.nanosSinceTick());
        }
        return longest;
    }

    /** In good order: what is queued is still decided, and clients are told. */
    @Override
    public void close() {
        groups.forEach(GroupNode::close);
        RaftHost closing = host;
        if (closing != null) {
            closing.close();
        }
        audit.close();
    }
}
