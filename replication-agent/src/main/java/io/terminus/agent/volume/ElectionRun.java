package io.terminus.agent.volume;

import io.terminus.agent.image.ImageFailedException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalFailedException;
import io.terminus.agent.volume.VolumeAuthority.Block;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import io.terminus.agent.volume.VolumeAuthority.Put;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One attempt of this agent to become the writer, step by step as docs/peer-protocol.md lists them: read the block, take
 * the next term, seal, collect the best tail, open the term, wait until its TERM record is committed. Runs on a thread of
 * its own and may wait; every wait has an end, and {@link #abandon} ends all of them.
 */
final class ElectionRun {

    private static final Logger LOG = LoggerFactory.getLogger(ElectionRun.class);

    /** With enough answers, how long the others are still waited for: what they have need not be copied later. */
    private static final long GRACE_MILLIS = 700;

    private static final Duration SEAL_TIMEOUT = Duration.ofMillis(1_500);
    private static final long SEAL_AGAIN_MILLIS = 500;
    private static final Duration FETCH_TIMEOUT = Duration.ofMinutes(10);

    /** Opens the term here, with the block that is in force. */
    interface Opening {
        void open(VolumeConfig taken, long version) throws IOException, RefusedException;
    }

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final Following following;
    private final WriterSeat seat;
    private final Opening opening;
    private final Replica replica;
    private final Grant grant;
    private final @Nullable Promotion promotion;
    private final String self;
    private final long deadlineNanos;
    private volatile @Nullable String abandoned;

    ElectionRun(
            Surroundings around,
            KnownBlock known,
            RoleState roles,
            Following following,
            WriterSeat seat,
            Grant granted,
            @Nullable Promotion promotion,
            Opening opening) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.following = following;
        this.seat = seat;
        this.opening = opening;
        this.replica = around.replica();
        this.grant = granted;
        this.promotion = promotion;
        this.self = around.agent();
        this.deadlineNanos =
                System.nanoTime() + around.settings().electionTimeout().toNanos();
    }

    void abandon(String why) {
        abandoned = why;
    }

    private static final class NotElected extends Exception {
        NotElected(String message) {
            super(message);
        }
    }

    /** Returns null when the volume is served, else why not. */
    @Nullable
    String run() {
        try {
            Block block = await(around.authority().read());
            VolumeConfig before = checked(block);
            VolumeConfig taken = before.takenBy(self);
            long version = put(block.version(), taken);
            following.remember(taken, version);

            Election.Verdict.Elected elected = sealAndCollect(taken, version);
            String loss = elected.loss();
            if (loss != null) {
                LOG.warn("volume {}: {}", taken.name(), loss);
            }
            boolean leftBehind = following.leftBehindBy(taken.fork());
            if (!leftBehind) {
                takeTail(taken, elected);
            }
            keepGoing();
            VolumeConfig opened = setToOpenWith(taken, leftBehind || (loss != null && accepts()));
            if (!opened.equals(taken)) {
                taken = opened;
                version = put(version, taken);
                following.remember(taken, version);
            }
            opening.open(taken, version);
            waitUntilServed();
            return null;
        } catch (JournalFailedException | ImageFailedException e) {
            replica.fail(String.valueOf(e.getMessage()));
            return String.valueOf(e.getMessage());
        } catch (NotElected | RefusedException | IOException e) {
            return e.getMessage() == null ? e.toString() : e.getMessage();
        } catch (InterruptedException e) {
            return "interrupted";
        } catch (RuntimeException e) {
            LOG.error("volume {}: our own bug in an election", known.name(), e);
            return "internal error: " + e;
        }
    }

    /**
     * The in-sync set stays as it is, but for two cases that an operator has asked for: what the others hold is given up,
     * so nobody else may vouch any more; or this agent was no member, and is one now that it holds the tail, durably, for
     * some of it may have been flushed.
     */
    private VolumeConfig setToOpenWith(VolumeConfig taken, boolean lossy) throws IOException {
        Member me = new Member(self, replica.superblock().life().incarnation());
        if (lossy || (taken.member(self).isEmpty() && taken.ackLevel() == AckLevel.LOCAL)) {
            long end = replica.journal().end();
            VolumeConfig alone = taken.onlyMember(me, end);
            // If the image here is ahead of its journal, no other replica's can be told to be the same.
            return lossy ? alone.forkedAt(replica.imageReach() > end ? 0 : end) : alone;
        }
        if (taken.member(self).isEmpty()) {
            replica.syncNow();
            return taken.withMember(me);
        }
        return taken;
    }

    private VolumeConfig checked(Block block) throws NotElected {
        VolumeConfig config = block.config();
        if (config == null) {
            throw new NotElected("the lock manager knows nothing of this volume");
        }
        if (block.version() < known.version()) {
            throw new NotElected("the lock manager's value block went back from version " + known.version() + " to "
                    + block.version());
        }
        if (config.standing() == Standing.DELETED
                || !config.uuid().equals(known.config().uuid())) {
            throw new NotElected(
                    "volume " + config.name() + " " + known.config().uuid() + " is deleted");
        }
        if (config.standing() == Standing.DEMOTED && promotion == null) {
            throw new NotElected(Candidacy.DEMOTED);
        }
        if (config.member(self).isEmpty() && !accepts()) {
            throw new NotElected(self + " is not in sync: the in-sync set is "
                    + config.inSync().stream().map(Member::agent).toList()
                    + "; what it misses could only be given up with --accept-data-loss");
        }
        if (replica.rebuilding()) {
            throw new NotElected("the image at " + self
                    + " is a mixture: a copy to it was begun and has not ended. Only another replica can serve");
        }
        if (following.leftBehindBy(config.fork()) && !accepts()) {
            throw new NotElected("term " + config.fork().term() + " gave up what the image at " + self
                    + " may hold: it has to be rebuilt, or, with --accept-data-loss, everything since is given up");
        }
        if (promotion == null
                && config.failover() == Failover.MANUAL
                && !config.writer().equals(self)) {
            throw new NotElected("the volume is written by " + config.writer() + " until " + self + " is promoted");
        }
        if (config.ackLevel() == AckLevel.LOCAL && !config.writer().equals(self) && !accepts()) {
            throw new NotElected("the ack level is local: what " + config.writer()
                    + " acknowledged may be only there; give it up with --accept-data-loss");
        }
        return config;
    }

    private boolean accepts() {
        return promotion != null && promotion.acceptDataLoss();
    }

    private long put(long expected, VolumeConfig next) throws NotElected, InterruptedException {
        while (true) {
            switch (await(grant.put(expected, next))) {
                case Put.Stored stored -> {
                    return stored.version();
                }
                case Put.Mismatch mismatch -> {
                    VolumeConfig current = mismatch.current().config();
                    if (current != null && Arrays.equals(current.encode(), next.encode())) {
                        return mismatch.current().version();
                    }
                    throw new NotElected("the value block was changed by somebody else");
                }
                case Put.Refused refused -> throw new NotElected(refused.why());
                case Put.Unknown unknown -> {
                    roles.say("asking again for term " + next.term() + ": " + unknown.why());
                    TimeUnit.MILLISECONDS.sleep(SEAL_AGAIN_MILLIS);
                    keepGoing();
                }
            }
        }
    }

    /** Seals the members, this one first, until the answers suffice. */
    private Election.Verdict.Elected sealAndCollect(VolumeConfig taken, long version)
            throws NotElected, RefusedException, InterruptedException {
        Map<String, Election.Answer> answers = new ConcurrentHashMap<>();
        Map<String, String> silence = new ConcurrentHashMap<>();
        Set<String> nobodyThere = ConcurrentHashMap.newKeySet();
        answers.put(self, following.seal(taken.term(), grant.token(), version, self));
        List<Address> asked = taken.replicas().stream()
                .filter(r -> !r.agent().equals(self)
                        && (accepts() || taken.member(r.agent()).isPresent()))
                .toList();
        long began = System.nanoTime();
        Map<String, CompletableFuture<?>> open = new ConcurrentHashMap<>();
        while (true) {
            for (Address a : asked) {
                CompletableFuture<?> before = open.get(a.agent());
                if (!answers.containsKey(a.agent()) && (before == null || before.isDone())) {
                    open.put(
                            a.agent(),
                            around.network()
                                    .seal(a, taken.uuid(), taken.term(), grant.token(), version, SEAL_TIMEOUT)
                                    .handle((answer, failure) -> {
                                        if (answer != null) {
                                            answers.put(a.agent(), answer);
                                        } else {
                                            silence.put(a.agent(), String.valueOf(failure.getMessage()));
                                        }
                                        if (failure instanceof ConnectException) {
                                            nobodyThere.add(a.agent());
                                        } else {
                                            nobodyThere.remove(a.agent());
                                        }
                                        return answer;
                                    }));
                }
            }
            long waitedMillis = (System.nanoTime() - began) / 1_000_000;
            boolean all = answers.size() == asked.size() + 1;
            boolean patient = waitedMillis < GRACE_MILLIS;
            // Data is given up only after everybody had the time to answer.
            boolean giveUp = accepts() && waitedMillis > 2 * SEAL_TIMEOUT.toMillis();
            switch (Election.judge(taken, answers.values(), giveUp || (accepts() && all))) {
                case Election.Verdict.Elected elected -> {
                    // Who had to be waited for may be just slow, but not where no process is.
                    if (answers.size() + nobodyThere.size() > asked.size() || !patient) {
                        return elected;
                    }
                    roles.say("sealed " + answers.keySet() + ", waiting a moment for the others");
                }
                case Election.Verdict.Waiting w ->
                    roles.say("waiting for " + w.awaited() + ": " + w.have() + " of " + w.need()
                            + " answers that an election needs" + (silence.isEmpty() ? "" : " " + silence)
                            + damaged(answers.values()));
            }
            TimeUnit.MILLISECONDS.sleep(patient ? 10 : SEAL_AGAIN_MILLIS);
            keepGoing();
        }
    }

    private static String damaged(Collection<Election.Answer> answers) {
        List<String> agents = answers.stream()
                .filter(Election.Answer::damaged)
                .map(Election.Answer::agent)
                .toList();
        return agents.isEmpty() ? "" : "; the journal of " + agents + " is damaged and vouches for nothing";
    }

    private void takeTail(VolumeConfig taken, Election.Verdict.Elected elected)
            throws IOException, NotElected, RefusedException {
        Journal journal = replica.journal();
        Election.Answer best = elected.best();
        if (!best.agent().equals(self)) {
            long common = journal.lineage().commonEnd(best.lineage(), journal.end(), best.received());
            if (common < replica.applied()) {
                throw new NotElected("the image here is ahead of the history of the others: it has to be rebuilt");
            }
            if (common < best.oldest()) {
                throw new NotElected("the tail is at " + best.agent() + ", which has only what follows " + best.oldest()
                        + "; the journal here ends at " + common);
            }
            replica.makeRoom(best.received());
            Inbound tail = following.collect(taken.term(), best.agent(), common);
            Address from = taken.address(best.agent()).orElseThrow();
            roles.say("fetching " + (best.received() - common) + " bytes of the tail from " + best.agent());
            around.network().fetch(from, taken.uuid(), common, best.received(), tail, FETCH_TIMEOUT);
        }
        Inbound.secure(replica, replica.applied(), journal.end());
        replica.commit(Math.min(elected.committed(), journal.end()));
        replica.makeRoom(journal.end());
    }

    private void waitUntilServed() throws NotElected, InterruptedException {
        while (true) {
            Writer w = seat.now();
            if (w == null || w.isStopped()) {
                throw new NotElected("the term ended before it was served");
            }
            if (w.serving()) {
                return;
            }
            TimeUnit.MILLISECONDS.sleep(5);
            keepGoing();
        }
    }

    private void keepGoing() throws NotElected {
        String why = abandoned;
        if (why != null) {
            throw new NotElected(why);
        }
        if (System.nanoTime() > deadlineNanos) {
            throw new NotElected("not served within "
                    + around.settings().electionTimeout().toSeconds() + " s: " + seat.detail(roles.why()));
        }
        if (!grant.believed()) {
            throw new NotElected("the volume's lock was lost");
        }
    }

    private <T> T await(CompletableFuture<T> future) throws NotElected, InterruptedException {
        while (true) {
            try {
                return future.get(50, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                keepGoing();
            } catch (ExecutionException e) {
                Throwable cause = e.getCause();
                throw new NotElected(String.valueOf(cause == null ? e.getMessage() : cause.getMessage()));
            }
        }
    }
}
