package io.terminus.lockmgr.app;

import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.proto.lock.v1.AddMemberRequest;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import io.terminus.proto.lock.v1.RemoveMemberRequest;
import io.terminus.security.Audit;
import io.terminus.security.grpc.Caller;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Who belongs to a group and who leads it, for operators and for members that start. Changes wait on gRPC's own threads. */
final class ClusterService extends LockClusterGrpc.LockClusterImplBase {

    private static final long NOT_KNOWN = -1;

    private final GroupNode node;
    private final Audit audit;

    ClusterService(GroupNode node, Audit audit) {
        this.node = node;
        this.audit = audit;
    }

    static ClusterMember message(Member member, long commitIndex) {
        return ClusterMember.newBuilder()
                .setId(member.id())
                .setRaftAddress(member.raftAddress())
                .setClientAddress(member.clientAddress())
                .setCommitIndex(commitIndex)
                .build();
    }

    @Override
    public void describe(DescribeClusterRequest request, StreamObserver<ClusterView> out) {
        if (node.view().isEmpty() && node.formation().hasBegun()) {
            // Whether there is a group it cannot say yet: a member without memory would begin one beside those that
            // only start again.
            out.onError(Status.UNAVAILABLE
                    .withDescription("member " + node.self().id() + " is starting")
                    .asRuntimeException());
            return;
        }
        reply(out, view());
    }

    @Override
    public void addMember(AddMemberRequest request, StreamObserver<ClusterView> out) {
        Member added;
        try {
            ClusterMember wanted = request.getMember();
            added = Member.parse(wanted.getId() + "=" + wanted.getRaftAddress() + "/" + wanted.getClientAddress());
        } catch (IllegalArgumentException e) {
            out.onError(Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
            return;
        }
        change(
                out,
                "add-member",
                added.toString(),
                group -> group.changeMembers(members -> {
                    List<Member> more = without(added.id(), members);
                    more.add(added);
                    return more;
                }));
    }

    @Override
    public void removeMember(RemoveMemberRequest request, StreamObserver<ClusterView> out) {
        String id = request.getId();
        if (id.equals(node.self().id()) && node.leads()) {
            String what = node.share().groups() == 1
                    ? "leads"
                    : "leads group " + node.share().group();
            out.onError(Status.FAILED_PRECONDITION
                    .withDescription("member " + id + " " + what + ": move the lead first")
                    .asRuntimeException());
        } else {
            change(out, "remove-member", id, group -> group.changeMembers(members -> without(id, members)));
        }
    }

    private static List<Member> without(String id, List<Member> members) {
        List<Member> others = new ArrayList<>(members);
        others.removeIf(one -> one.id().equals(id));
        return others;
    }

    @Override
    public void moveLead(MoveLeadRequest request, StreamObserver<ClusterView> out) {
        String to = request.getTo();
        if (node.view().stream()
                .flatMap(view -> view.members().stream())
                .noneMatch(one -> one.id().equals(to))) {
            out.onError(Status.NOT_FOUND
                    .withDescription("'" + to + "' is no member of the group")
                    .asRuntimeException());
            return;
        }
        change(out, "move-lead", to, group -> group.moveLead(to));
    }

    private interface Change {
        void on(GroupMember group) throws IOException, TimeoutException, InterruptedException;
    }

    private void change(StreamObserver<ClusterView> out, String action, String what, Change change) {
        GroupMember group = node.member();
        if (group == null || !node.leads()) {
            out.onError(Status.UNAVAILABLE
                    .withDescription(NotLeading.sentence(node.self().id(), node.share(), node.leader()))
                    .asRuntimeException(NotLeading.trailers(node.leader())));
            return;
        }
        String failure = carryOut(change, group);
        audit.record(Caller.current().toString(), action, what + ofGroup(), failure == null ? "done" : failure);
        if (failure == null) {
            reply(out, view());
        } else {
            out.onError(Status.ABORTED
                    .withDescription(action + " " + what + " is not known to be done: " + failure)
                    .asRuntimeException());
        }
    }

    private String ofGroup() {
        return node.share().groups() == 1 ? "" : " in group " + node.share().group();
    }

    private static @Nullable String carryOut(Change change, GroupMember group) {
        try {
            change.on(group);
            return null;
        } catch (IOException e) {
            return String.valueOf(e.getMessage());
        } catch (TimeoutException e) {
            return "it takes longer than expected, and goes on";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "interrupted";
        }
    }

    private ClusterView view() {
        ClusterView.Builder to = ClusterView.newBuilder()
                .setNode(node.self().id())
                .setGroup(node.share().group())
                .setGroups(node.share().groups())
                .setReadsFormat(node.formation().newestFormat());
        GroupMember group = node.member();
        if (group != null) {
            to.setFormat(group.format());
        }
        GroupMember.View view = node.view().orElse(null);
        if (view == null) {
            node.formation().configured().forEach(member -> to.addMembers(message(member, NOT_KNOWN)));
            return to.build();
        }
        view.members()
                .forEach(member ->
                        to.addMembers(message(member, view.commitIndexes().getOrDefault(member.id(), NOT_KNOWN))));
        return to.setFormed(node.formation().formed() || view.epoch() > 0)
                .setEpoch(view.epoch())
                .setTerm(view.term())
                .setLeader(view.leader().map(Member::id).orElse(""))
                .setAppliedIndex(view.appliedIndex())
                .setDigest(view.digest())
                .build();
    }

    private static void reply(StreamObserver<ClusterView> out, ClusterView view) {
        out.onNext(view);
        out.onCompleted();
    }
}
