package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.grpc.Context;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.proto.lock.v1.AddMemberRequest;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.RemoveMemberRequest;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class FormationTest {

    @TempDir
    Path directory;

    private final Leader leader = new Leader();
    private Server server;

    /** Leads a group in which this member was, takes it out, and is in no hurry to take it in again. */
    private static final class Leader extends LockClusterGrpc.LockClusterImplBase {
        private final AtomicInteger asked = new AtomicInteger();
        private final AtomicReference<@Nullable Context> answerAwaited = new AtomicReference<>();
        private String address = "";

        @Override
        public void describe(DescribeClusterRequest request, StreamObserver<ClusterView> out) {
            out.onNext(ClusterView.newBuilder()
                    .setNode("b")
                    .setLeader("b")
                    .setFormed(true)
                    .addMembers(member("a", "127.0.0.1:2"))
                    .addMembers(member("b", address))
                    .build());
            out.onCompleted();
        }

        private static ClusterMember member(String id, String address) {
            return ClusterMember.newBuilder()
                    .setId(id)
                    .setRaftAddress("127.0.0.1:1")
                    .setClientAddress(address)
                    .build();
        }

        @Override
        public void removeMember(RemoveMemberRequest request, StreamObserver<ClusterView> out) {
            out.onNext(ClusterView.getDefaultInstance());
            out.onCompleted();
        }

        @Override
        public void addMember(AddMemberRequest request, StreamObserver<ClusterView> out) {
            answerAwaited.set(Context.current());
            asked.incrementAndGet();
        }
    }

    @BeforeEach
    void start() throws IOException {
        server = NettyServerBuilder.forPort(0).addService(leader).build().start();
        leader.address = "127.0.0.1:" + server.getPort();
    }

    @AfterEach
    void stop() {
        server.shutdownNow();
    }

    @Test
    void whoIsNotTakenInYetWaitsForNobodyAndAsksOnceAtATime() throws IOException {
        Member self = Member.parse("a=127.0.0.1:1/127.0.0.1:2");
        Member other = Member.parse("b=127.0.0.1:1/" + leader.address);
        try (Formation formation = new Formation(directory, "test", self, List.of(self, other))) {
            Formation.Next next = formation.look();
            GroupMember.View view =
                    new GroupMember.View(1, 1, Optional.of(other), false, List.of(other), Map.of(), 1, 0);

            formation.lookAfter(view);
            await().until(() -> leader.answerAwaited.get() != null);
            formation.lookAfter(view);
            Context waiting = leader.answerAwaited.get();

            assertThat(next).isEqualTo(new Formation.Begin(List.of(other)));
            assertThat(waiting).isNotNull().matches(context -> !context.isCancelled(), "is still asked");
            assertThat(leader.asked).hasValue(1);
        }
    }
}
