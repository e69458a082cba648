package io.terminus.lockmgr.history;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** What the members of a group say of it, each for itself. Who does not answer soon says nothing. */
public final class LockGroupViews implements AutoCloseable {

    private static final long CALL_MILLIS = 1_000;

    private final Map<String, ManagedChannel> channels = new LinkedHashMap<>();

    /** @param targets HOST:PORT for clients of each */
    public LockGroupViews(List<String> targets) {
        for (String target : targets) {
            channels.put(
                    target,
                    ManagedChannelBuilder.forTarget(target)
                            .usePlaintext()
                            .proxyDetector(address -> null)
                            .build());
        }
    }

    /** Of those that answer, in the order of the targets. */
    public List<ClusterView> all() {
        List<ClusterView> views = new ArrayList<>();
        for (ManagedChannel channel : channels.values()) {
            channel.resetConnectBackoff();
            try {
                views.add(LockClusterGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(CALL_MILLIS, TimeUnit.MILLISECONDS)
                        .describe(DescribeClusterRequest.getDefaultInstance()));
            } catch (StatusRuntimeException down) {
                // That is what the tests are about.
            }
        }
        return views;
    }

    /** One that says of itself that it leads, and is not this one. */
    public Optional<String> leader(String not) {
        return all().stream()
                .filter(view -> view.getEpoch() > 0
                        && view.getLeader().equals(view.getNode())
                        && !view.getNode().equals(not))
                .map(ClusterView::getNode)
                .findFirst();
    }

    /** Everyone answers, has applied the same, and it adds up to the same. */
    public boolean agree() {
        List<ClusterView> views = all();
        return views.size() == channels.size() && agree(views);
    }

    /** The same for members that somebody else has asked. */
    public static boolean agree(List<ClusterView> views) {
        return views.stream()
                        .map(view -> view.getAppliedIndex() + " " + view.getDigest())
                        .distinct()
                        .count()
                == 1;
    }

    @Override
    public void close() {
        channels.values().forEach(ManagedChannel::shutdownNow);
    }
}
