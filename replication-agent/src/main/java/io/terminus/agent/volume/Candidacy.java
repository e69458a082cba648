package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeAuthority.Block;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.agent.volume.VolumeMeasures.ElectionOutcome;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether this agent is to write the volume: what the value block asks of it, the wait for the lock, the election, and how a term ends.
 *
 * <pre>
 *   REPLICA --(last writer, or automatic failover)--> STANDBY --(granted)--> CANDIDATE --(TERM committed)--> WRITER
 *      ^------(lock lost, fenced, handed over, election not won in time)------------------------------------------'
 * </pre>
 *
 * <p>All of that is decided on the volume's own thread, which talks to the lock manager and never waits for a network. An election waits
 * for many things, and has a thread of its own.
 */
final class Candidacy implements Writer.Owner {

    static final String DEMOTED = "demoted: served by nobody until an agent is promoted";

    private static final Logger LOG = LoggerFactory.getLogger(Candidacy.class);
    private static final long TICK_MILLIS = 100;
    private static final long RETRY_MILLIS = 1_000;

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final Following following;
    private final WriterSeat seat;
    private final Runnable onDeleted;
    private final ScheduledExecutorService thread;

    private volatile @Nullable Grant grant;
    private volatile VolumeAuthority.@Nullable Waiting waiting;
    private volatile @Nullable ElectionRun election;
    private volatile @Nullable Promotion promotion;

    /** When the last election began, and what a recording is told of it. The volume's thread. */
    private long electionAtNanos;

    private StageEvents.@Nullable Election electionRecorded;

    /** @param onDeleted hears that the value block calls the volume deleted; on the volume's thread */
    Candidacy(
            Surroundings around,
            KnownBlock known,
            RoleState roles,
            Following following,
            WriterSeat seat,
            Runnable onDeleted) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.following = following;
        this.seat = seat;
        this.onDeleted = onDeleted;
        this.thread = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().name("volume-" + known.name()).daemon().factory());
    }

    void start() {
        thread.execute(this::decide);
        thread.scheduleWithFixedDelay(this::tick, TICK_MILLIS, TICK_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** The lock under which this agent writes, or is to. */
    @Nullable
    Grant grant() {
        return grant;
    }

    // ---- what happens

    /** The value block is another one, or the lock is free again: what is asked of this agent now? */
    void lookAgain() {
        onThread(this::decide);
    }

    /** The writer has told of a newer value block. */
    void told() {
        onThread(() -> {
            if (known.config().standing() != Standing.IN_USE) {
                giveUpWaitingNow("out of use");
            }
            decide();
        });
    }

    /** What was compared here says whether the image is to be believed. */
    void doubted() {
        onThread(this::standNoMoreIfInDoubt);
    }

    /** The replica has failed: nobody is to be served out of it. Any thread. */
    void failed(String why) {
        roles.become(Role.FAILED, why);
        seat.stop(why);
        // Not under the fence: the failing thread may hold it.
        onThread(() -> {
            cancelWaiting();
            promotion = null;
            ElectionRun run = election;
            if (run != null) {
                run.abandon(why);
            }
            following.end(Why.FAILED, why);
            seat.stop(why); // the fence was waited for: an election that was let through before has put its writer in
            // place
            standDown(why);
        });
    }

    @Override
    public void writerStopped(Writer stopped, String why) {
        onThread(() -> {
            if (seat.leave(stopped) && election == null) {
                standDown(why);
            }
        });
    }

    @Override
    public void configChanged(VolumeConfig newer, long version) {
        try {
            following.remember(newer, version);
        } catch (IOException e) {
            LOG.warn(
                    "volume {}: {}",
                    known.name(),
                    known.cannotStore("the superblock", e).getMessage());
        }
    }

    // ---- what operators ask

    /** Whether a promotion is still under way. */
    boolean promoting() {
        return promotion != null || election != null || waiting != null;
    }

    /** Returns when it has begun: before, the volume looks as if it were over. */
    void promote(Promotion asked, Duration timeout) throws RefusedException, InterruptedException {
        begin(() -> beginPromotion(asked, timeout));
    }

    private void beginPromotion(Promotion asked, Duration timeout) {
        if (roles.role() == Role.WRITER || roles.role() == Role.CANDIDATE || roles.role() == Role.FAILED) {
            return;
        }
        cancelWaiting();
        promotion = asked;
        waitForLock(false, timeout);
    }

    /** A standby waits no more, unless an operator has sent it; returns when that is so. */
    void giveUpWaiting(String why) throws RefusedException, InterruptedException {
        begin(() -> giveUpWaitingNow(why));
    }

    private void giveUpWaitingNow(String why) {
        if (roles.role() == Role.STANDBY && promotion == null && cancelWaiting()) {
            roles.become(Role.REPLICA, why);
        }
    }

    private void begin(Runnable what) throws RefusedException, InterruptedException {
        try {
            thread.submit(what).get();
        } catch (RejectedExecutionException e) {
            throw new RefusedException(Why.NOT_READY, "agent " + around.agent() + " is stopping");
        } catch (ExecutionException e) {
            throw new IllegalStateException("what was asked of " + known.name() + " cannot begin", e.getCause());
        }
    }

    // ---- who is to write: on the volume's thread

    private void tick() {
        try {
            seat.steward();
            known.keepMarksThatLack();
            around.replica().rest(System.nanoTime());
        } catch (RuntimeException | Error e) {
            // An Error as well: what is thrown here would end this look for good, and nobody would see to the set any
            // more.
            LOG.error("volume {}: our own bug; the writer stops", known.name(), e);
            seat.stop("internal error: " + e);
        }
    }

    /** Looks at the value block and takes up what it asks of this agent. */
    private void decide() {
        if (roles.closing() || roles.role() != Role.REPLICA || election != null || waiting != null) {
            return;
        }
        around.authority()
                .read()
                .whenComplete((block, failure) -> onThread(() -> {
                    if (failure != null) {
                        roles.say("waiting for the lock manager: " + failure.getMessage());
                        later(this::decide);
                    } else {
                        decide(block);
                    }
                }));
    }

    private void decide(Block block) {
        VolumeConfig current = block.config();
        if (roles.closing() || roles.role() != Role.REPLICA || election != null || waiting != null) {
            return;
        }
        if (current == null) {
            roles.say("the lock manager knows nothing of this volume (yet)");
            later(this::decide);
            return;
        }
        if (current.saysDeleted(known.config().uuid())) {
            roles.say("deleted");
            onDeleted.run();
            return;
        }
        if (!current.uuid().equals(known.config().uuid()) && !known.everInUse()) {
            roles.say("being created: the lock manager's volume " + known.name() + " is still " + current.uuid());
            later(this::decide);
            return;
        }
        if (!current.uuid().equals(known.config().uuid())) {
            roles.say("the lock manager's volume " + known.name() + " is another one: " + current.uuid() + ", here is "
                    + known.config().uuid());
            return;
        }
        if (block.version() < known.version()) {
            roles.say("the lock manager's value block went back from version " + known.version() + " to "
                    + block.version() + ": no election until an operator has looked");
            later(this::decide);
            return;
        }
        try {
            following.remember(current, block.version());
        } catch (IOException e) {
            LOG.warn(
                    "volume {}: {}",
                    known.name(),
                    known.cannotStore("the superblock", e).getMessage());
            later(this::decide);
            return;
        }
        if (current.address(around.agent()).isEmpty()) {
            roles.say("no replica of this volume any more");
        } else if (current.standing() == Standing.DEMOTED) {
            roles.say(DEMOTED);
        } else if (current.member(around.agent()).isEmpty()) {
            roles.say("not in sync: waits for " + current.writer());
        } else if (current.writer().equals(around.agent())) {
            waitForLock(true, Duration.ZERO);
        } else if (current.failover() == Failover.AUTOMATIC && around.replica().differingBlocks() > 0) {
            roles.say(doubtful());
        } else if (current.failover() == Failover.AUTOMATIC) {
            waitForLock(true, Duration.ZERO);
        } else {
            roles.say("in sync, written by " + current.writer());
        }
    }

    String doubtful() {
        return "in sync, but " + around.replica().differingBlocks()
                + " blocks of the image here were found to differ from the"
                + " writer's: takes over only when promoted";
    }

    /** Was it compared meanwhile, with the result that it should not take over by itself, or may again? */
    private void standNoMoreIfInDoubt() {
        if (around.replica().differingBlocks() == 0) {
            decide();
        } else if (!known.config().writer().equals(around.agent())) {
            giveUpWaitingNow(doubtful());
        }
    }

    private void waitForLock(boolean standby, Duration wait) {
        if (!roles.become(Role.STANDBY, "waiting for the volume's lock")) {
            return;
        }
        VolumeAuthority.Waiting w = around.authority().lock(standby, wait, new VolumeAuthority.HolderEvents() {
            @Override
            public void recalled() {
                onThread(Candidacy.this::handOver);
            }

            @Override
            public void lost(String why) {
                lockLost(why);
            }
        });
        waiting = w;
        w.granted()
                .whenComplete((granted, failure) -> onThread(() -> {
                    if (!w.equals(waiting)) {
                        if (granted != null) {
                            granted.release();
                        }
                        return;
                    }
                    waiting = null;
                    if (failure != null) {
                        promotion = null;
                        standDown("no lock: " + failure.getMessage());
                    } else {
                        elect(granted);
                    }
                }));
    }

    private void elect(Grant granted) {
        grant = granted;
        if (!roles.become(Role.CANDIDATE, "granted the lock, reading the value block")) {
            standDown("granted the lock after all");
            return;
        }
        ElectionRun run = new ElectionRun(
                around,
                known,
                roles,
                following,
                seat,
                granted,
                promotion,
                (taken, version) -> following.open(taken, version, granted, this));
        election = run;
        electionAtNanos = System.nanoTime();
        StageEvents.Election event = new StageEvents.Election();
        event.begin();
        electionRecorded = event;
        Thread.ofVirtual().name("election-" + known.name()).start(() -> {
            String lostBecause = run.run();
            onThread(() -> electionOver(run, lostBecause));
        });
    }

    /** {@code why} is null if the volume is served. */
    private void electionOver(ElectionRun run, @Nullable String why) {
        if (!run.equals(election)) {
            return;
        }
        election = null;
        promotion = null;
        Writer w = seat.now();
        boolean won =
                why == null && w != null && !w.isStopped() && roles.become(Role.WRITER, "serving in term " + w.term());
        electionMeasured(won, why, w);
        if (won && w != null) {
            LOG.info("volume {}: {} serves in term {}", known.name(), around.agent(), w.term());
            return;
        }
        LOG.info("volume {}: election not won: {}", known.name(), why);
        if (w != null) {
            w.stop(why == null ? "the term ended" : why);
        }
        standDown(why == null ? "the term ended" : why);
    }

    private void electionMeasured(boolean won, @Nullable String why, @Nullable Writer w) {
        around.replica()
                .measures()
                .elections(won ? ElectionOutcome.WON : ElectionOutcome.LOST)
                .record(System.nanoTime() - electionAtNanos);
        StageEvents.Election event = electionRecorded;
        electionRecorded = null;
        if (event != null) {
            event.end();
            if (event.shouldCommit()) {
                event.volume = known.name();
                event.term = w == null ? 0 : w.term();
                event.outcome = won ? "won" : why == null ? "the term ended" : why;
                event.commit();
            }
        }
    }

    /** Gives the lock up; unless the replica has failed, it is looked again later what this agent is to be. */
    private void standDown(String why) {
        Grant g = grant;
        grant = null;
        if (g != null) {
            g.release();
        }
        if (roles.become(Role.REPLICA, why)) {
            later(this::decide);
        }
    }

    /** Whether there was a wait for the lock to end. A grant that comes all the same is given back. The volume's thread. */
    private boolean cancelWaiting() {
        VolumeAuthority.Waiting w = waiting;
        waiting = null;
        if (w != null) {
            w.cancel();
        }
        return w != null;
    }

    /** Somebody needs the lock. */
    private void handOver() {
        ElectionRun run = election;
        if (run != null) {
            run.abandon("the lock was recalled");
            return;
        }
        Writer w = seat.now();
        if (w == null || w.isStopped()) {
            standDown("the lock was recalled");
            return;
        }
        roles.say("handing over: waiting until everything is committed");
        Thread.ofVirtual().name("hand-over-" + known.name()).start(() -> {
            w.drain(around.settings().drainTimeout());
            w.stop("handed over");
        });
    }

    /** From the lock client's thread: when this returns, nothing is served under the lost grant. */
    private void lockLost(String why) {
        ElectionRun run = election;
        if (run != null) {
            run.abandon("the lock was lost: " + why);
        }
        Writer w = seat.now();
        if (w != null) {
            w.stop("the volume's lock was lost: " + why);
        }
    }

    /** No election and no wait outlives this. */
    void abandon(String why) {
        ElectionRun run = election;
        if (run != null) {
            run.abandon(why);
        }
        VolumeAuthority.Waiting wait = waiting;
        if (wait != null) {
            wait.cancel();
        }
    }

    /** Gives the lock up; the last thing that is done here. */
    void close() {
        Grant g = grant;
        if (g != null) {
            g.release();
        }
        thread.shutdown();
    }

    private void later(Runnable what) {
        if (!roles.closing()) {
            try {
                thread.schedule(what, RETRY_MILLIS, TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                LOG.debug("volume {} is closed", known.name());
            }
        }
    }

    private void onThread(Runnable what) {
        try {
            thread.execute(what);
        } catch (RejectedExecutionException e) {
            LOG.debug("volume {} is closed", known.name());
        }
    }
}
