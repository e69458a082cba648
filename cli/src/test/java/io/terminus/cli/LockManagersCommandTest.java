package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Changes of a group of two lock managers, a and b, that says of itself what a test wants. */
class LockManagersCommandTest {

    @TempDir
    Path directory;

    private final List<String> asked = new CopyOnWriteArrayList<>();
    private Server a;
    private Server b;
    private volatile String leader = "a";

    @BeforeEach
    void start() throws IOException {
        a = serve("a");
        b = serve("b");
    }

    @AfterEach
    void stop() {
        a.shutdownNow();
        b.shutdownNow();
    }

    @Test
    void whenTheLeadGoesElsewhereInTheMidstOfAChangeTheNextLeaderIsAsked() {
        moves = to -> {
            if (leader.equals("a")) {
                leader = "b";
                return Status.UNAVAILABLE.withDescription("move-lead c is not known to be done: b was elected");
            }
            leader = to;
            return null;
        };

        FakeSet.Result lead = run("lead", "--to", "c");

        assertThat(lead.exitCode()).as(lead.err()).isZero();
        assertThat(lead.out()).contains("c leads");
        assertThat(asked).containsExactly("a", "b");
    }

    @Test
    void whatALeaderRefusesIsNotAskedForAgain() {
        moves = to -> Status.ABORTED.withDescription("move-lead c is not known to be done: c does not answer");

        FakeSet.Result lead = run("lead", "--to", "c");

        assertThat(lead.exitCode()).isEqualTo(1);
        assertThat(lead.err()).contains("refused: move-lead c is not known to be done: c does not answer");
        assertThat(asked).containsExactly("a");
    }

    @Test
    void whileNobodyLeadsSomebodyIsWaitedFor() {
        moves = to -> {
            leader = to;
            return null;
        };
        leader = "";
        looks = () -> leader = leader.isEmpty() ? "b" : leader;

        FakeSet.Result lead = run("lead", "--to", "c");

        assertThat(lead.exitCode()).as(lead.err()).isZero();
        assertThat(asked).containsExactly("b");
    }

    private interface Moves {
        @Nullable
        Status to(String member);
    }

    private volatile Moves moves = to -> null;
    /** Done behind each look at the group. */
    private volatile Runnable looks = () -> {};

    private FakeSet.Result run(String... arguments) {
        List<String> command = new ArrayList<>(List.of("lockmgr"));
        command.addAll(List.of(arguments));
        command.addAll(List.of("--at", "localhost:" + a.getPort() + ",localhost:" + b.getPort()));
        try (FakeSet set = new FakeSet(directory)) {
            return set.run(command.toArray(String[]::new));
        }
    }

    private Server serve(String node) throws IOException {
        return NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(new LockClusterGrpc.LockClusterImplBase() {
                    @Override
                    public void describe(DescribeClusterRequest request, StreamObserver<ClusterView> answer) {
                        reply(answer, view(node));
                        looks.run();
                    }

                    @Override
                    public void moveLead(MoveLeadRequest request, StreamObserver<ClusterView> answer) {
                        asked.add(node);
                        Status refusal = moves.to(request.getTo());
                        if (refusal == null) {
                            reply(answer, view(node));
                        } else {
                            answer.onError(refusal.asRuntimeException());
                        }
                    }
                })
                .build()
                .start();
    }

    private ClusterView view(String node) {
        return ClusterView.newBuilder()
                .setNode(node)
                .setLeader(leader)
                .addMembers(member("a", a))
                .addMembers(member("b", b))
                .build();
    }

    private static ClusterMember member(String id, Server at) {
        return ClusterMember.newBuilder()
                .setId(id)
                .setClientAddress("localhost:" + at.getPort())
                .build();
    }

    private static void reply(StreamObserver<ClusterView> to, ClusterView view) {
        to.onNext(view);
        to.onCompleted();
    }
}
