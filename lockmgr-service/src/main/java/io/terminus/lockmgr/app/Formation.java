package io.terminus.lockmgr.app;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.ha.RaftHost;
import io.terminus.lockmgr.lock.Share;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.AddMemberRequest;
import io.terminus.proto.lock.v1.ClusterMember;
import io.terminus.proto.lock.v1.ClusterView;
import io.terminus.proto.lock.v1.DescribeClusterRequest;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.MoveLeadRequest;
import io.terminus.proto.lock.v1.RemoveMemberRequest;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether this member may take part, and as what. A member whose directory is empty must not vote as if it were the one it was: what it had
 * acknowledged, and the group counts on, is gone with its memory. So it asks the others first:
 *
 * <ul>
 *   <li>All answer, and none has a memory: the group begins, with the members of the settings.
 *   <li>One has a memory, and this member belongs to the group: it was wiped. The leader is asked to take it out, then it starts with
 *       nothing, and the leader is asked to take it in again, which it does once it has caught up.
 *   <li>One has a memory, and this member does not belong to the group: it starts and waits to be added.
 *   <li>Else it waits.
 * </ul>
 *
 * <p>From its first start on the file {@value #FILE} in its directory says who it is:
 *
 * <pre>
 *   terminus-member 1
 *   GROUP NODE
 *   forming: nobody has led yet, as far as is known; member; joining: it waits to be added; rejoining: it asks for that
 * </pre>
 *
 * Where volumes are spread over N groups, there is such a file for each, {@value #FILE}-1 and so on for those behind the first, and they say
 * so: their version is 2, and they have a fourth line, {@code groups N}.
 *
 * One thread, but that being taken in is asked for by another, because it takes as long as catching up does.
 */
final class Formation implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(Formation.class);

    static final String FILE = "member";
    static final String LOG_DIRECTORY = "group";
    private static final String HEADER = "terminus-member 1";
    private static final String HEADER_OF_SEVERAL = "terminus-member 2";
    private static final String GROUPS = "groups ";
    private static final String FORMING = "forming";
    private static final String MEMBER = "member";
    private static final String JOINING = "joining";
    private static final String REJOINING = "rejoining";

    private static final long ASK_MILLIS = 1000;

    /** Taking a member in ends when it has caught up. */
    private static final long CHANGE_SECONDS = 35;

    sealed interface Next {}

    /** The group is to be joined or begun with these. */
    record Begin(List<Member> members) implements Next {}

    record Wait(String why) implements Next {}

    private final Path directory;
    private final String group;
    private final Share share;
    private final Member self;
    private final List<Member> configured;
    private final int newestFormat;
    private final Function<String, ManagedChannel> open;
    private final Map<String, ManagedChannel> channels = new HashMap<>(); // guarded by itself
    private final AtomicBoolean asking = new AtomicBoolean();
    /** One thread's, as {@link #lookAfter}. */
    private long askedNanos = System.nanoTime() - TimeUnit.MILLISECONDS.toNanos(ASK_MILLIS);

    private volatile int readByAll;
    private volatile boolean closed;
    private volatile String standing = FORMING;
    private volatile boolean hasFile;

    Formation(Path directory, String group, Member self, List<Member> configured) {
        this(
                directory,
                group,
                Share.ALL,
                self,
                configured,
                RaftHost.Settings.NEWEST_FORMAT,
                target -> GrpcTls.channel(target, null).build());
    }

    /** @param open makes the channel to another member's port for clients */
    Formation(
            Path directory,
            String group,
            Share share,
            Member self,
            List<Member> configured,
            int newestFormat,
            Function<String, ManagedChannel> open) {
        this.open = open;
        this.newestFormat = newestFormat;
        this.share = share;
        this.directory = directory;
        this.group = group;
        this.self = self;
        this.configured = configured;
    }

    private Path file() {
        return directory.resolve(share.group() == 0 ? FILE : FILE + "-" + share.group());
    }

    /** By which the group's log is known, here and among the members. */
    String logName() {
        return share.group() == 0 ? group : group + " group " + share.group();
    }

    List<Member> configured() {
        return configured;
    }

    /**
     * To be called before anybody can ask this member about the group.
     *
     * @throws StartRefusedException if the directory is another member's, or of another number of groups
     */
    void recall() throws IOException {
        if (Files.exists(file())) {
            standing = read();
            hasFile = true;
        }
    }

    /** Has this member started here before, so that there may be a group with a memory whatever is known of it now? */
    boolean hasBegun() {
        return hasFile;
    }

    Next look() throws IOException {
        // What is written down is believed beside the log alone: without it nothing is known of what this member agreed
        // to.
        if (hasFile && GroupMember.hasLog(directory.resolve(LOG_DIRECTORY), logName())) {
            boolean belongs = standing.equals(FORMING) || standing.equals(MEMBER);
            return new Begin(configured.stream()
                    .filter(one -> belongs || !one.equals(self))
                    .toList());
        }
        List<String> silent = new ArrayList<>();
        boolean formed = false;
        for (Member other : configured) {
            if (other.id().equals(self.id())) {
                continue;
            }
            Optional<ClusterView> view = describe(other);
            if (view.isEmpty()) {
                silent.add(other.id() + " at " + other.clientAddress() + " does not answer");
            } else if (view.get().getFormed()) {
                if (view.get().getLeader().equals(other.id())) {
                    return join(view.get()); // others may not have heard yet who belongs to it
                }
                formed = true;
            }
        }
        if (formed) {
            return new Wait("the group has been formed, and nobody is known to lead who could take this member in");
        }
        return silent.isEmpty() ? new Begin(configured) : new Wait(String.join(", ", silent));
    }

    private Next join(ClusterView view) throws IOException {
        List<Member> others = new ArrayList<>();
        boolean belongs = false;
        for (ClusterMember one : view.getMembersList()) {
            if (one.getId().equals(self.id())) {
                belongs = true;
            } else {
                others.add(new Member(one.getId(), one.getRaftAddress(), one.getClientAddress()));
            }
        }
        if (belongs) {
            Optional<Member> leader = others.stream()
                    .filter(one -> one.id().equals(view.getLeader()))
                    .findFirst();
            if (leader.isEmpty()) {
                return new Wait("this member has lost its memory, and nobody leads who could take it out");
            }
            LOG.warn("this member has lost its memory: {} is asked to take it out and in again", leader.get());
            // Written first: if the answer is lost, or this process, the group has no such member and nobody else asks
            // for it.
            standing = REJOINING;
            write();
            try {
                var unused = changing(leader.get())
                        .removeMember(RemoveMemberRequest.newBuilder()
                                .setId(self.id())
                                .build());
            } catch (StatusRuntimeException e) {
                return new Wait(
                        "this member has lost its memory, and " + leader.get().id() + " could not take it out: "
                                + e.getStatus().getDescription());
            }
        } else if (!standing.equals(REJOINING)) {
            standing = JOINING;
        }
        return new Begin(others);
    }

    /** The member has started. Later ones are no first starts. */
    void begun() throws IOException {
        write();
        hasFile = true;
    }

    /** Has the group a memory, as far as was known when this was last written down? */
    boolean formed() {
        return !standing.equals(FORMING);
    }

    /** Keeps what is known in the file, and sees to it that being taken in is asked for, if that is still to be done. Waits for nobody. */
    void lookAfter(GroupMember.View view) {
        boolean belongs = view.members().stream().anyMatch(one -> one.id().equals(self.id()));
        boolean arrived = standing.equals(FORMING) ? view.epoch() > 0 : belongs && !standing.equals(MEMBER);
        if (arrived) {
            standing = MEMBER;
            try {
                write();
            } catch (IOException e) {
                LOG.warn("{} cannot be written: {}", file(), e.toString());
            }
        }
        if (standing.equals(REJOINING) && asking.compareAndSet(false, true)) {
            Thread.ofVirtual().name("lock-group-asks").start(() -> {
                try {
                    askToBeTakenIn(view.members());
                } finally {
                    asking.set(false);
                }
            });
        }
    }

    private void askToBeTakenIn(List<Member> members) {
        for (Member other : members) {
            Optional<ClusterView> seen = describe(other);
            if (seen.isPresent() && seen.get().getLeader().equals(other.id())) {
                try {
                    var unused = changing(other)
                            .addMember(AddMemberRequest.newBuilder()
                                    .setMember(ClusterService.message(self, -1))
                                    .build());
                } catch (StatusRuntimeException e) {
                    LOG.warn("{} could not take this member in: {}", other, e.getStatus());
                }
                return;
            }
        }
    }

    /**
     * Asks the one that leads for the lead, once a second at most. Waits for nobody.
     *
     * @param onDone this member leads
     */
    void askForLead(Member leader, Runnable onDone) {
        if (mayAsk()) {
            Thread.ofVirtual().name("lock-group-asks").start(() -> {
                try {
                    var unused = changing(leader)
                            .moveLead(MoveLeadRequest.newBuilder()
                                    .setTo(self.id())
                                    .build());
                    onDone.run();
                } catch (StatusRuntimeException e) {
                    LOG.info(
                            "{} could not give this member the lead of group {}: {}",
                            leader,
                            share.group(),
                            e.getStatus());
                } finally {
                    asking.set(false);
                }
            });
        }
    }

    /** The newest format of the group's log that this member reads. */
    int newestFormat() {
        return newestFormat;
    }

    /** Nothing is being asked of others now, and nothing was within the last second. */
    private boolean mayAsk() {
        long now = System.nanoTime();
        if (now - askedNanos < TimeUnit.MILLISECONDS.toNanos(ASK_MILLIS) || !asking.compareAndSet(false, true)) {
            return false;
        }
        askedNanos = now;
        return true;
    }

    /** Asks the others what they read, once a second at most. Waits for nobody. */
    void askWhatIsRead(List<Member> members) {
        if (!mayAsk()) {
            return;
        }
        Thread.ofVirtual().name("lock-group-asks").start(() -> {
            try {
                int least = newestFormat;
                for (Member other : members) {
                    if (!other.id().equals(self.id())) {
                        // One of before there were others says nothing, and who does not answer might read none of
                        // them.
                        int read = describe(other)
                                .map(view -> Math.max(1, view.getReadsFormat()))
                                .orElse(0);
                        least = Math.min(least, read);
                    }
                }
                readByAll = least;
            } finally {
                asking.set(false);
            }
        });
    }

    /** The newest format that all members were found to read when they were asked last; 0: not all of them answered. Any thread. */
    int readByAll() {
        return readByAll;
    }

    /** @throws StartRefusedException if the other one has another number of groups, or a log that is not read here */
    private Optional<ClusterView> describe(Member other) {
        ClusterView view;
        try {
            view = stub(other)
                    .withDeadlineAfter(ASK_MILLIS, TimeUnit.MILLISECONDS)
                    .describe(DescribeClusterRequest.getDefaultInstance());
        } catch (StatusRuntimeException e) {
            return Optional.empty();
        }
        int groups = Math.max(1, view.getGroups());
        if (groups != share.groups()) {
            throw new StartRefusedException("lockmgr.groups is " + share.groups() + " here, and " + groups + " at "
                    + other + ": it is the same at every member, for ever");
        }
        if (view.getFormat() > newestFormat) {
            throw new StartRefusedException("the group writes format " + view.getFormat() + ", says " + other
                    + ", and this lock manager reads those to " + newestFormat + ": start a newer version");
        }
        return Optional.of(view);
    }

    private LockClusterGrpc.LockClusterBlockingStub changing(Member leader) {
        return stub(leader).withDeadlineAfter(CHANGE_SECONDS, TimeUnit.SECONDS);
    }

    private LockClusterGrpc.LockClusterBlockingStub stub(Member other) {
        return LockClusterGrpc.newBlockingStub(channel(other)).withInterceptors(Groups.to(share.group()));
    }

    private ManagedChannel channel(Member other) {
        ManagedChannel channel;
        synchronized (channels) {
            channel = channels.computeIfAbsent(other.clientAddress(), open);
            if (closed) {
                channel.shutdownNow();
            }
        }
        channel.resetConnectBackoff();
        return channel;
    }

    private String read() throws IOException {
        Path file = file();
        List<String> lines = Files.readAllLines(file, UTF_8);
        boolean one = lines.size() == 3 && lines.get(0).equals(HEADER);
        boolean several = lines.size() == 4
                && lines.get(0).equals(HEADER_OF_SEVERAL)
                && lines.get(3).startsWith(GROUPS);
        if (!one && !several) {
            throw new StartRefusedException(file + " begins with '" + (lines.isEmpty() ? "" : lines.get(0))
                    + "'; this lock manager knows '" + HEADER + "' and '" + HEADER_OF_SEVERAL + "'");
        }
        String groups = one ? "1" : lines.get(3).substring(GROUPS.length());
        if (!groups.equals(String.valueOf(share.groups()))) {
            throw new StartRefusedException("lockmgr.groups is " + share.groups() + ", and data directory " + directory
                    + " was begun with " + groups + ": where volumes are follows from it, so it stays as it was");
        }
        if (!lines.get(1).equals(whose())) {
            throw new StartRefusedException("data directory " + directory + " belongs to '" + lines.get(1)
                    + "', and this is '" + whose() + "': each member of each group needs its own");
        }
        return lines.get(2);
    }

    private void write() throws IOException {
        Files.createDirectories(directory);
        Path temporary = directory.resolve(file().getFileName() + ".tmp");
        Files.writeString(
                temporary,
                text(),
                UTF_8,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE,
                StandardOpenOption.SYNC);
        Files.move(temporary, file(), StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private String text() {
        String who = whose() + "\n" + standing + "\n";
        return share.groups() == 1
                ? HEADER + "\n" + who
                : HEADER_OF_SEVERAL + "\n" + who + GROUPS + share.groups() + "\n";
    }

    private String whose() {
        return group + " " + self.id();
    }

    @Override
    public void close() {
        synchronized (channels) {
            closed = true;
            channels.values().forEach(ManagedChannel::shutdownNow);
        }
    }
}
