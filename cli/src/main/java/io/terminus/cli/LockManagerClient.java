package io.terminus.cli;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ContentionBucket;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListLocksResponse;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListSessionsResponse;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.ListVolumesResponse;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import io.terminus.proto.lock.v1.WatchVolumesRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** What the command line asks of the lock manager. Calls throw {@link CallFailure}. */
final class LockManagerClient implements AutoCloseable {

    private static final int PAGE = 1000;

    /** A list is for people: a million locks are counted by {@link #volumes}, not printed. */
    static final int LONGEST_LIST = 10_000;

    private static final Duration PAUSE = Duration.ofMillis(50);

    private final PortPlan ports;
    private final Duration deadline;
    private final Map<SetMember, Connection> connections = new EnumMap<>(SetMember.class);

    /** By group: the one that led it when it was last looked for. */
    private final Map<Integer, SetMember> leaders = new HashMap<>();

    /** Over so many the volumes are spread; 0: nobody was asked yet. */
    private int groups;

    LockManagerClient(PortPlan ports, Duration deadline) {
        this.ports = ports;
        this.deadline = deadline;
        for (SetMember member : ports.lockManagerMembers()) {
            connections.put(member, new Connection(member, ports, deadline));
        }
    }

    /** Over so many groups the volumes are spread. */
    synchronized int groups() {
        if (groups == 0) {
            groups = ports.lockManagers() == 1
                    ? 1
                    : found(
                            member -> described(member, 0)
                                    .map(view -> Math.max(1, view.getGroups()))
                                    .orElse(null),
                            "none of the lock managers answers");
        }
        return groups;
    }

    /** The one that can answer for a session. */
    SetMember leaderOfSession(String sessionId) {
        return leader(Groups.ofSession(sessionId));
    }

    /** The one that can answer for a group. */
    private synchronized SetMember leader(int group) {
        if (ports.lockManagers() == 1) {
            return SetMember.LOCKMGR;
        }
        SetMember known = leaders.get(group);
        if (known == null) {
            known = found(
                    member -> leaderKnownTo(member, group),
                    "none of the lock managers leads: 'terminus lockmgr members list' shows them");
            leaders.put(group, known);
        }
        return known;
    }

    /** What one of them answers, who are asked again and again. */
    private <T> T found(Function<SetMember, @Nullable T> asking, String failure) {
        long endNanos = System.nanoTime() + deadline.toNanos();
        while (true) {
            for (SetMember member : ports.lockManagerMembers()) {
                T answer = asking.apply(member);
                if (answer != null) {
                    return answer;
                }
            }
            if (System.nanoTime() - endNanos > 0) {
                throw new Failure(failure);
            }
            pause();
        }
    }

    /** The member that says of itself that it leads, or is said to; null if this one does not answer or knows none. */
    private @Nullable SetMember leaderKnownTo(SetMember member, int group) {
        String named = described(member, group).map(ClusterView::getLeader).orElse("");
        return ports.lockManagerMembers().stream()
                .filter(one -> one.title().equals(named))
                .findFirst()
                .orElse(null);
    }

    private Optional<ClusterView> described(SetMember member, int group) {
        Connection connection = connection(member);
        try {
            return Optional.of(connection
                    .timed(LockClusterGrpc.newBlockingStub(connection.channel()))
                    .withInterceptors(Groups.to(group))
                    .describe(DescribeClusterRequest.getDefaultInstance()));
        } catch (StatusRuntimeException down) {
            return Optional.empty();
        }
    }

    Connection connection(SetMember member) {
        return Objects.requireNonNull(connections.get(member));
    }

    /** Asks the one that leads; of a group, again and again while none does. */
    private <T> T ask(int group, Function<LockAdminGrpc.LockAdminBlockingStub, T> question) {
        long endNanos = System.nanoTime() + deadline.toNanos();
        while (true) {
            try {
                return askLeader(group, question);
            } catch (CallFailure e) {
                boolean another = ports.lockManagers() > 1 && e.code() == Status.Code.UNAVAILABLE;
                if (!another || System.nanoTime() - endNanos > 0) {
                    throw e;
                }
            }
            synchronized (this) {
                leaders.remove(group);
            }
            pause();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(PAUSE);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted while looking for the lock manager that leads", e);
        }
    }

    private <T> T askLeader(int group, Function<LockAdminGrpc.LockAdminBlockingStub, T> question) {
        Connection connection = connection(leader(group));
        return connection.call(() -> question.apply(connection
                .timed(LockAdminGrpc.newBlockingStub(connection.channel()))
                .withInterceptors(Groups.to(group))));
    }

    private <T> T askFor(String volume, Function<LockAdminGrpc.LockAdminBlockingStub, T> question) {
        return ask(Groups.ofVolume(volume, groups()), question);
    }

    /** Of all groups, by name. */
    List<VolumeInfo> volumes() {
        List<VolumeInfo> volumes = new ArrayList<>();
        for (int group = 0; group < groups(); group++) {
            String pageToken = "";
            do {
                ListVolumesRequest request =
                        ListVolumesRequest.newBuilder().setPageToken(pageToken).build();
                ListVolumesResponse page = ask(group, stub -> stub.listVolumes(request));
                volumes.addAll(page.getVolumesList());
                pageToken = page.getNextPageToken();
            } while (!pageToken.isEmpty());
        }
        volumes.sort(Comparator.comparing(VolumeInfo::getName));
        return volumes;
    }

    /**
     * Tells of the volumes of a group as they change, until this lock manager or the connection ends. Has no deadline. A member
     * that does not lead the group refuses.
     */
    void watchVolumes(SetMember member, int group, Consumer<List<VolumeInfo>> to) {
        Connection connection = connection(member);
        connection.call(() -> {
            List<VolumeInfo> volumes = new ArrayList<>();
            LockAdminGrpc.newBlockingStub(connection.channel())
                    .withInterceptors(Groups.to(group))
                    .watchVolumes(WatchVolumesRequest.getDefaultInstance())
                    .forEachRemaining(page -> {
                        volumes.addAll(page.getVolumesList());
                        if (page.getNextPageToken().isEmpty()) {
                            to.accept(List.copyOf(volumes));
                            volumes.clear();
                        }
                    });
            return true;
        });
    }

    /** Holders, or waiters, of one volume; at most {@link #LONGEST_LIST}. */
    List<LockInfo> locks(ListLocksRequest query) {
        List<LockInfo> locks = new ArrayList<>();
        String pageToken = "";
        while (locks.size() < LONGEST_LIST) {
            ListLocksRequest request =
                    query.toBuilder().setLimit(PAGE).setPageToken(pageToken).build();
            ListLocksResponse page = askFor(query.getVolume(), stub -> stub.listLocks(request));
            locks.addAll(page.getLocksList());
            pageToken = page.getNextPageToken();
            if (pageToken.isEmpty()) {
                break;
            }
        }
        return locks;
    }

    /** What is in the way of a request that waits. */
    List<LockInfo> blockers(String sessionId, long requestId) {
        ListBlockersRequest request = ListBlockersRequest.newBuilder()
                .setSessionId(sessionId)
                .setRequestId(requestId)
                .build();
        return ask(
                Groups.ofSession(sessionId), stub -> stub.listBlockers(request).getBlockersList());
    }

    List<ContentionBucket> contention(GetContentionRequest request) {
        return askFor(request.getVolume(), stub -> stub.getContention(request).getBucketsList());
    }

    void configure(String volume, Duration lockDelay) {
        ConfigureVolumeRequest request = ConfigureVolumeRequest.newBuilder()
                .setVolume(volume)
                .setLockDelayMillis(lockDelay.toMillis())
                .build();
        askFor(volume, stub -> stub.configureVolume(request));
    }

    /** Shows what comes until the consumer returns false or the lock manager ends it. Has no deadline. */
    void watch(String volume, Predicate<WatchMessage> to) {
        int group = Groups.ofVolume(volume, groups());
        Connection connection = connection(leader(group));
        WatchRequest request = WatchRequest.newBuilder().setVolume(volume).build();
        connection.call(() -> {
            Iterator<WatchMessage> messages = LockServiceGrpc.newBlockingStub(connection.channel())
                    .withInterceptors(Groups.to(group))
                    .watch(request);
            boolean more = true;
            while (more && messages.hasNext()) {
                more = to.test(messages.next());
            }
            return more;
        });
    }

    /** Those of all groups whose owner's name begins so. */
    List<SessionInfo> sessions(String ownerPrefix) {
        List<SessionInfo> sessions = new ArrayList<>();
        for (int group = 0; group < groups(); group++) {
            String pageToken = "";
            do {
                ListSessionsRequest request = ListSessionsRequest.newBuilder()
                        .setOwnerPrefix(ownerPrefix)
                        .setPageToken(pageToken)
                        .build();
                ListSessionsResponse page = ask(group, stub -> stub.listSessions(request));
                sessions.addAll(page.getSessionsList());
                pageToken = page.getNextPageToken();
            } while (!pageToken.isEmpty());
        }
        return sessions;
    }

    /** Returns at once; the range becomes grantable when the holder knows of it or its lease has ended. */
    void forceRelease(String volume, long lockId) {
        ForceReleaseRequest request = ForceReleaseRequest.newBuilder()
                .setVolume(volume)
                .setLockId(lockId)
                .build();
        askFor(volume, stub -> stub.forceRelease(request));
    }

    @Override
    public void close() {
        connections.values().forEach(Connection::close);
    }
}
