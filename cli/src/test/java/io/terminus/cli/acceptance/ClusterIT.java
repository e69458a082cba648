package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockListener;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.history.LockGroupViews;
import io.terminus.proto.lock.v1.ClusterView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/**
 * Three lock managers that are one, as processes, with volumes spread over two groups: what agents and clients notice when one that leads
 * is killed.
 */
@ExtendWith(TellsTime.class)
class ClusterIT {

    private static final Duration WAIT = Duration.ofSeconds(20);
    private static final int HELD = 200;

    /** In group 1, as the volume "held" is; "busy" and "demo" are in group 0. */
    private static final String OF_GROUP_1 = "ledger";

    private static final long TAKEN_BETWEEN_KILLS = 20;

    @Test
    @Timeout(value = 5, unit = TimeUnit.MINUTES)
    @NeedsClients("python3-libnbd")
    void aKillOfTheLeaderCostsNobodyALockAndNoWriteAndTheOneThatWasKilledComesBackWithoutItsDisk() throws Exception {
        try (LiveSet set = LiveSet.make(Map.of("AGENT_LEASETTL", "10s"))) {
            set.create("64MiB", "--lock-managers", "3", "--lock-manager-groups", "2");
            set.awaitInSync();
            set.terminus("volume", "create", OF_GROUP_1, "--size", "8MiB");
            List<String> targets = targets(set);
            ConcurrentLinkedQueue<String> lost = new ConcurrentLinkedQueue<>();
            AtomicBoolean over = new AtomicBoolean();
            AtomicLong taken = new AtomicLong();
            // Asked without the launcher, because it is asked often.
            try (LockGroupViews group = new LockGroupViews(targets);
                    LockClient holder = client(targets, "holder", lost);
                    LockClient busy = client(targets, "busy", lost);
                    AckedWrites writes = AckedWrites.start(set);
                    var worker = Executors.newSingleThreadExecutor()) {
                // All at once: one after the other each waits for the disks of three members.
                List<CompletableFuture<Grant>> asked = new ArrayList<>();
                for (int i = 0; i < HELD; i++) {
                    asked.add(holder.acquire(exclusive("held", i)));
                }
                List<Grant> held = new ArrayList<>();
                for (CompletableFuture<Grant> one : asked) {
                    held.add(one.get(60, TimeUnit.SECONDS));
                }
                Future<?> taking = worker.submit(() -> takeAndRelease(busy, taken, over));

                awaitMore(taken);
                String killed = leader(group);
                set.kill(killed);
                awaitMore(taken);
                writes.awaitMore(200);
                assertThat(leader(group)).isNotEqualTo(killed);
                wipe(set.data(killed));
                set.terminus("up", "--detach");
                awaitMembers(group, 3);
                set.terminus("lockmgr", "lead", "--to", killed);
                awaitMore(taken);
                over.set(true);
                taking.get(60, TimeUnit.SECONDS);
                writes.stop();

                assertThat(leader(group)).isEqualTo(killed);
                assertThat(set.terminus("lockmgr", "lead"))
                        .contains(killed + " leads group 0, in term ", killed + " leads group 1, in term ");
                assertThat(set.volume(OF_GROUP_1).path("nbd").isString()).isTrue();
                assertThat(set.volume(OF_GROUP_1).path("locksHeld").asLong()).isEqualTo(1);
                assertThat(set.volume("demo").path("locksHeld").asLong()).isEqualTo(1);
                assertThat(set.terminus("locks", "list", "--json")).contains(OF_GROUP_1, "\"demo\"", "\"held\"");
                assertThat(set.terminus("sessions", "list", "--json")).contains("\"session\":\"g1-");
                assertThat(set.terminus("lockmgr", "members", "list")).contains("lockmgr-2", "lockmgr-3");
                assertThat(whatIsSaidOfAStranger(set))
                        .contains("'lockmgr-9' is no member of the group; its members are");
                assertThat(lost).isEmpty();
                assertThat(held).allMatch(Grant::believed);
                writes.check();
                set.compareImages();
            } finally {
                over.set(true);
            }
        }
    }

    private static String whatIsSaidOfAStranger(LiveSet set) {
        try (Program removal = set.command("lockmgr", "members", "remove", "lockmgr-9")) {
            assertThat(removal.exitCode()).isEqualTo(1);
            return removal.output();
        }
    }

    private static void wipe(Path data) throws IOException {
        try (Stream<Path> files = Files.walk(data)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    private static String leader(LockGroupViews group) {
        return await().atMost(LiveSet.PATIENCE).until(() -> group.leader("").orElse(""), found -> !found.isEmpty());
    }

    /** So many belong to the group, answer, and have what the leader has. */
    private static void awaitMembers(LockGroupViews group, int count) {
        await().atMost(LiveSet.PATIENCE).until(() -> {
            List<ClusterView> views = group.all();
            long newest =
                    views.stream().mapToLong(ClusterView::getAppliedIndex).max().orElse(0);
            return views.size() == count
                    && views.stream()
                            .allMatch(view -> view.getMembersCount() == count && view.getAppliedIndex() > newest - 100);
        });
    }

    private static void awaitMore(AtomicLong taken) {
        long goal = taken.get() + TAKEN_BETWEEN_KILLS;
        await().atMost(LiveSet.PATIENCE).until(() -> taken.get() >= goal);
    }

    private static @Nullable Void takeAndRelease(LockClient client, AtomicLong taken, AtomicBoolean over)
            throws Exception {
        for (long i = 0; !over.get(); i++) {
            try (Grant grant = client.lock(exclusive("busy", i % 16))) {
                taken.incrementAndGet();
                assertThat(grant.token()).isPositive();
            }
        }
        return null;
    }

    private static List<String> targets(LiveSet set) {
        List<String> targets = new ArrayList<>();
        for (JsonNode process : set.status().path("processes")) {
            if (process.path("role").asString().equals("lock-manager")) {
                targets.add(process.path("endpoints").path("grpc").asString());
            }
        }
        assertThat(targets).hasSize(3);
        return targets;
    }

    private static LockClient client(List<String> targets, String owner, ConcurrentLinkedQueue<String> lost) {
        return LockClient.connect(LockClient.Config.of(String.join(",", targets), owner)
                .withTtl(Duration.ofSeconds(10))
                .withListener(new LockListener() {
                    @Override
                    public void lost(Grant grant, String why) {
                        lost.add(grant + ": " + why);
                    }

                    @Override
                    public void sessionLost(String why) {
                        lost.add(owner + ": " + why);
                    }
                }));
    }

    private static AcquireRequest exclusive(String volume, long at) {
        return AcquireRequest.of(volume, LockRange.of(at, at + 1), LockMode.EXCLUSIVE, WAIT);
    }
}
