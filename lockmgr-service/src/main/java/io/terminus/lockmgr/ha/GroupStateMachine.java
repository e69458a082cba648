package io.terminus.lockmgr.ha;

import io.terminus.lockmgr.store.ReplicatedState;
import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import org.apache.ratis.proto.RaftProtos.LogEntryProto;
import org.apache.ratis.protocol.Message;
import org.apache.ratis.protocol.RaftGroupId;
import org.apache.ratis.protocol.RaftGroupMemberId;
import org.apache.ratis.protocol.RaftPeerId;
import org.apache.ratis.server.RaftServer;
import org.apache.ratis.server.protocol.TermIndex;
import org.apache.ratis.server.raftlog.RaftLog;
import org.apache.ratis.server.storage.FileInfo;
import org.apache.ratis.server.storage.RaftStorage;
import org.apache.ratis.statemachine.StateMachineStorage;
import org.apache.ratis.statemachine.TransactionContext;
import org.apache.ratis.statemachine.impl.BaseStateMachine;
import org.apache.ratis.statemachine.impl.SimpleStateMachineStorage;
import org.apache.ratis.statemachine.impl.SingleFileSnapshotInfo;
import org.apache.ratis.util.LifeCycle;
import org.apache.ratis.util.MD5FileUtil;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets a {@link ReplicatedState} follow the log, on every member alike, and keeps snapshots of it. Ratis calls it, from one thread at a time.
 *
 * <p>Once it has found that this member is wrong it takes nothing more, whatever comes: the members that agree go on without it.
 */
final class GroupStateMachine extends BaseStateMachine {

    private static final Logger LOG = LoggerFactory.getLogger(GroupStateMachine.class);

    /** Answers to whom an entry came from. */
    static final Message APPLIED = Message.valueOf("applied");

    static final Message VOID = Message.valueOf("void");

    /** What the member does with what happens here. */
    interface Listener {
        /** On the thread of the state machine: the state stands still until this returns. */
        void opened(String leadership, long epoch, ReplicatedState state);

        void leaderReady();

        void leaderChanged(RaftPeerId leader);

        void notLeader();

        /** Takes nothing any more. */
        void failed(String why);
    }

    private final Listener listener;
    private final int newest;
    private final SimpleStateMachineStorage storage = new SimpleStateMachineStorage();
    private volatile ReplicatedState state = new ReplicatedState();
    private volatile boolean failed;

    /** @param newest version of entries and snapshots that is known */
    GroupStateMachine(Listener listener, int newest) {
        this.newest = newest;
        this.listener = listener;
    }

    ReplicatedState state() {
        return state;
    }

    @Override
    public void initialize(RaftServer server, RaftGroupId group, RaftStorage raftStorage) throws IOException {
        super.initialize(server, group, raftStorage);
        getLifeCycle().startAndTransition(() -> {
            storage.init(raftStorage);
            load();
        });
    }

    @Override
    public void pause() {
        if (getLifeCycleState() == LifeCycle.State.RUNNING) {
            getLifeCycle().transition(LifeCycle.State.PAUSING);
            getLifeCycle().transition(LifeCycle.State.PAUSED);
        }
    }

    /** A snapshot of another member has been put into place. */
    @Override
    public void reinitialize() throws IOException {
        storage.loadLatestSnapshot();
        load();
        if (getLifeCycleState() == LifeCycle.State.PAUSED) {
            getLifeCycle().transition(LifeCycle.State.STARTING);
            getLifeCycle().transition(LifeCycle.State.RUNNING);
        }
    }

    private void load() throws IOException {
        SingleFileSnapshotInfo snapshot = storage.getLatestSnapshot();
        if (snapshot == null) {
            return;
        }
        File file = snapshot.getFile().getPath().toFile();
        try (FileInputStream in = new FileInputStream(file)) {
            state = ReplicatedState.read(in, newest);
        } catch (IOException e) {
            throw new IOException("snapshot " + file + " cannot be used: " + e.getMessage(), e);
        }
        setLastAppliedTermIndex(snapshot.getTermIndex());
        LOG.info(
                "snapshot at {}: epoch {}, {} sessions, {} locks, digest {}",
                snapshot.getTermIndex(),
                state.epoch(),
                state.sessionCount(),
                state.lockCount(),
                Long.toHexString(state.digest()));
    }

    @Override
    public StateMachineStorage getStateMachineStorage() {
        return storage;
    }

    @Override
    public CompletableFuture<Message> applyTransaction(TransactionContext transaction) {
        LogEntryProto entry = transaction.getLogEntry();
        TermIndex at = TermIndex.valueOf(entry);
        if (failed) {
            return stopped();
        }
        Message answer;
        try {
            ByteBuffer written = entry.getStateMachineLogEntry().getLogData().asReadOnlyByteBuffer();
            int version = GroupEntry.version(written);
            answer = apply(GroupEntry.read(written, newest), at);
            state.applied(version);
        } catch (RuntimeException e) {
            return fail("entry " + at + " cannot be applied: " + e.getMessage(), e);
        }
        if (failed) {
            return stopped();
        }
        updateLastAppliedTermIndex(at);
        return CompletableFuture.completedFuture(answer);
    }

    private Message apply(GroupEntry entry, TermIndex at) {
        return switch (entry) {
            case GroupEntry.Opening opening -> {
                long epoch = state.open();
                listener.opened(opening.leadership(), epoch, state);
                yield APPLIED;
            }
            case GroupEntry.Decision d ->
                switch (state.take(d.epoch(), d.number(), d.timeNanos(), d.digest(), d.last(), d.items())) {
                    case APPLIED, KEPT -> APPLIED;
                    case VOID -> VOID;
                    case DIFFERS -> {
                        var unused = fail(
                                "before entry " + at + " this member's locks add up to digest "
                                        + Long.toHexString(state.digest()) + " and the leader's to "
                                        + Long.toHexString(d.digest())
                                        + ": one of them is wrong. This member stops; empty its data directory and start it"
                                        + " again, and it takes the leader's",
                                null);
                        yield VOID;
                    }
                };
        };
    }

    private CompletableFuture<Message> fail(String why, @Nullable RuntimeException cause) {
        failed = true;
        LOG.error("{}", why, cause);
        listener.failed(why);
        return stopped();
    }

    private static CompletableFuture<Message> stopped() {
        return CompletableFuture.failedFuture(new IllegalStateException("this member has stopped"));
    }

    /** Appears under its name when all of it is on the disk. */
    @Override
    public long takeSnapshot() throws IOException {
        TermIndex at = getLastAppliedTermIndex();
        if (failed || !state.whole() || at.getIndex() < 0) {
            return RaftLog.INVALID_LOG_INDEX;
        }
        File file = storage.getSnapshotFile(at.getTerm(), at.getIndex());
        File temporary = new File(file.getPath() + ".tmp");
        try (FileOutputStream out = new FileOutputStream(temporary);
                BufferedOutputStream buffered = new BufferedOutputStream(out, 1 << 16)) {
            state.writeTo(buffered);
            buffered.flush();
            out.getFD().sync();
        }
        if (!temporary.renameTo(file)) {
            throw new IOException("snapshot " + temporary + " cannot be renamed to " + file);
        }
        var md5 = MD5FileUtil.computeAndSaveMd5ForFile(file);
        storage.updateLatestSnapshot(
                new SingleFileSnapshotInfo(new FileInfo(file.toPath(), md5), at.getTerm(), at.getIndex()));
        return at.getIndex();
    }

    @Override
    public void notifyLeaderReady() {
        listener.leaderReady();
    }

    @Override
    public void notifyLeaderChanged(RaftGroupMemberId member, RaftPeerId leader) {
        listener.leaderChanged(leader);
    }

    @Override
    public void notifyNotLeader(java.util.Collection<TransactionContext> pending) {
        listener.notLeader();
    }

    @Override
    public void notifyLogFailed(Throwable cause, LogEntryProto entry) {
        failed = true;
        LOG.error("the log of the group cannot be written", cause);
        listener.failed("the log of the group cannot be written: " + cause);
    }
}
