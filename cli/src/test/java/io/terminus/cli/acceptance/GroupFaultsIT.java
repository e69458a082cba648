package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.PutOutcome;
import io.terminus.lockmgr.history.LockHistory;
import io.terminus.lockmgr.history.LockWorkload;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Three lock managers of a group in networks of their own, and everything that can go wrong with one of them, while many clients take and
 * release locks. What the clients saw must be linearizable, and everyone must have an answer.
 *
 * <p>Each fault once in every build. As often as is wanted, in another order each time, with {@code -Dterminus.group.rounds=N
 * -Dterminus.seed=S}; only some with {@code -Dterminus.group.faults=KILL_LEADER,FULL_DISK}.
 */
@ExtendWith(TellsTime.class)
class GroupFaultsIT {

    private static final int HOLDS = 150;
    private static final int LONGEST_VALUE = 4096;
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    /** What becomes of one member. More than half of them always can go on. */
    private enum Fault {
        /** The others go on at once. */
        FOLLOWER_ALONE,
        LEADER_ALONE,
        /** Nothing that it sends reaches the others, which do not know that it hears them. */
        LEADER_IS_NOT_HEARD,
        LEADER_HEARS_NOTHING,
        /** It wakes up as one that believes to lead. */
        LEADER_STOPPED,
        LEADER_KILLED,
        /** It must not go on as if it had written. */
        LEADER_DISK_FULL
    }

    @Test
    @Timeout(value = 120, unit = TimeUnit.MINUTES)
    void whatClientsSawIsLinearizableWhateverBecomesOfOneMember() throws Exception {
        int rounds = Integer.getInteger("terminus.group.rounds", 1);
        long seed = Long.getLong("terminus.seed", 6);
        List<Fault> faults = new ArrayList<>(chosen());
        Random chance = new Random(seed);
        Path folder = Files.createTempDirectory(
                Files.createDirectories(LiveSet.module().resolve("target/acceptance")), "group");
        LockHistory history;
        try (Network network = Namespaces.make(folder);
                FaultyGroup group = FaultyGroup.start(folder, network);
                LockWorkload work = LockWorkload.start(group.targets(), seed)) {

            for (int round = 0; round < rounds; round++) {
                if (round > 0) {
                    Collections.shuffle(faults, chance);
                }
                for (Fault fault : faults) {
                    work.awaitMore(HOLDS);
                    happen(fault, group, network);
                    work.awaitMore(HOLDS);
                    group.makeWhole();
                }
            }
            work.awaitMore(HOLDS);
            history = work.end();
            group.awaitAgreement();
        }

        assertThat(history.violations()).as("seed %d, in %s", seed, folder).isEmpty();
        assertThat(history.refusedTries()).as("tries that were refused").isPositive();
    }

    private static List<Fault> chosen() {
        String named = System.getProperty("terminus.group.faults", "");
        return named.isEmpty()
                ? List.of(Fault.values())
                : List.of(named.split(",")).stream().map(Fault::valueOf).toList();
    }

    /** Returns when another one leads, if the one that led is what it happened to. */
    private static void happen(Fault fault, FaultyGroup group, Network network) throws Exception {
        String leader = group.awaitLeader("");
        long beganNanos = System.nanoTime();
        switch (fault) {
            case FOLLOWER_ALONE -> alone(group.others(leader).getFirst(), group, network);
            case LEADER_ALONE -> alone(leader, group, network);
            case LEADER_IS_NOT_HEARD -> group.others(leader).forEach(other -> network.cut(leader, other));
            case LEADER_HEARS_NOTHING -> group.others(leader).forEach(other -> network.cut(other, leader));
            case LEADER_STOPPED -> group.signal(leader, "STOP");
            case LEADER_KILLED -> group.kill(leader);
            case LEADER_DISK_FULL -> {
                group.fillDisk(leader);
                writeUntilItEnds(leader, group);
            }
        }
        if (fault != Fault.FOLLOWER_ALONE) {
            String next = group.awaitLeader(leader);
            System.out.printf(
                    "%s of %s: %s leads after %d ms%n",
                    fault, leader, next, TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - beganNanos));
        }
    }

    /** What the log was laid out for ahead has to be used up first: a megabyte. */
    private static void writeUntilItEnds(String member, FaultyGroup group) throws Exception {
        long deadlineNanos = System.nanoTime() + PATIENCE.toNanos();
        try (LockClient writer = LockClient.connect(LockClient.Config.of(group.targets(), "writer"))) {
            Grant grant = writer.lock(AcquireRequest.of("bulk", LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, PATIENCE));
            long version = writer.value("bulk")
                    .get(PATIENCE.toSeconds(), TimeUnit.SECONDS)
                    .version();
            while (group.isRunning(member)) {
                assertThat(System.nanoTime())
                        .as("%s, whose disk is full, goes on", member)
                        .isLessThan(deadlineNanos);
                PutOutcome put = writer.putValue(grant, version, new byte[LONGEST_VALUE])
                        .get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
                version = put instanceof PutOutcome.Written written ? written.version() : version;
            }
        }
    }

    private static void alone(String member, FaultyGroup group, Network network) {
        for (String other : group.others(member)) {
            network.cut(member, other);
            network.cut(other, member);
        }
    }
}
