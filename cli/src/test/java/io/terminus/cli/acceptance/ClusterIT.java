package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockListener;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
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
import tools.jackson.databind.json.JsonMapper;

/** Three lock managers that are one, as processes: what agents and clients notice when the one that leads is killed. */
@ExtendWith(TellsTime.class)
class ClusterIT {

    private static final Duration WAIT = Duration.ofSeconds(20);
    private static final int HELD = 200;
    private static final long TAKEN_BETWEEN_KILLS = 50;

    @Test
    @Timeout(value = 5, unit = TimeUnit.MINUTES)
    @NeedsClients("python3-libnbd")
    void killsOfTheLeaderCostNobodyALockAndNoWriteAndAWipedMemberComesBack() throws Exception {
        try (LiveSet set = LiveSet.make(Map.of("AGENT_LEASETTL", "10s"))) {
            set.create("64MiB", "--lock-managers", "3");
            set.awaitInSync();
            ConcurrentLinkedQueue<String> lost = new ConcurrentLinkedQueue<>();
            AtomicBoolean over = new AtomicBoolean();
            AtomicLong taken = new AtomicLong();
            try (LockClient holder = client(set, "holder", lost);
                    LockClient busy = client(set, "busy", lost);
                    AckedWrites writes = AckedWrites.start(set);
                    var worker = Executors.newSingleThreadExecutor()) {
                List<Grant> held = new ArrayList<>();
                for (int i = 0; i < HELD; i++) {
                    held.add(holder.lock(exclusive("held", i)));
                }
                Future<?> taking = worker.submit(() -> takeAndRelease(busy, taken, over));

                for (int kill = 0; kill < 2; kill++) {
                    awaitMore(taken);
                    String leader = leader(set);
                    set.kill(leader);
                    awaitMore(taken);
                    writes.awaitMore(500);
                    assertThat(leader(set)).isNotEqualTo(leader);
                    wipeOrNot(set, leader, kill == 1);
                    set.terminus("up", "--detach");
                    awaitMembers(set);
                }
                String next = followers(set).getFirst();
                set.terminus("lockmgr", "lead", "--to", next);
                awaitMore(taken);
                over.set(true);
                taking.get(60, TimeUnit.SECONDS);
                writes.stop();

                assertThat(leader(set)).isEqualTo(next);
                assertThat(lost).isEmpty();
                assertThat(held).allMatch(Grant::believed);
                writes.check();
                set.compareImages();
            } finally {
                over.set(true);
            }
        }
    }

    private static void wipeOrNot(LiveSet set, String member, boolean wipe) throws IOException {
        if (!wipe) {
            return;
        }
        try (Stream<Path> files = Files.walk(set.data(member))) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    /** All three belong to the group, and have what the leader has. */
    private static void awaitMembers(LiveSet set) {
        await().atMost(LiveSet.PATIENCE).until(() -> {
            JsonNode members = members(set);
            long newest = 0;
            for (JsonNode member : members) {
                newest = Math.max(newest, member.path("commitIndex").asLong(-1));
            }
            boolean all = members.size() == 3;
            for (JsonNode member : members) {
                all &= member.path("commitIndex").asLong(-1) > newest - 100;
            }
            return all;
        });
    }

    private static JsonNode members(LiveSet set) {
        return JsonMapper.shared().readTree(set.terminus("lockmgr", "members", "list", "--json"));
    }

    private static List<String> followers(LiveSet set) {
        List<String> followers = new ArrayList<>();
        for (JsonNode member : members(set)) {
            if (!member.path("leads").asBoolean()) {
                followers.add(member.path("id").asString());
            }
        }
        return followers;
    }

    /** Once there is one that says so of itself. */
    private static String leader(LiveSet set) {
        String[] leader = {""};
        await().atMost(LiveSet.PATIENCE).until(() -> {
            try (Program lead = set.command("lockmgr", "lead", "--json")) {
                if (lead.exitCode() != 0) {
                    return false;
                }
                JsonNode said = JsonMapper.shared().readTree(lead.output());
                leader[0] = said.path("leader").asString();
                return leader[0].equals(said.path("askedOf").asString());
            }
        });
        return leader[0];
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

    private static LockClient client(LiveSet set, String owner, ConcurrentLinkedQueue<String> lost) {
        List<String> targets = new ArrayList<>();
        for (JsonNode process : set.status().path("processes")) {
            if (process.path("role").asString().equals("lock-manager")) {
                targets.add(process.path("endpoints").path("grpc").asString());
            }
        }
        assertThat(targets).hasSize(3);
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
