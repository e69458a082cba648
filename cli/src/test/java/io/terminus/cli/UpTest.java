package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.Standing;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import tools.jackson.databind.JsonNode;

/** Whole lives of a set, with real processes that stand in for the services. */
@Execution(ExecutionMode.CONCURRENT)
class UpTest {

    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private FakeSet set;

    @BeforeEach
    void prepareSet(@TempDir Path directory) {
        set = new FakeSet(directory.resolve("set"));
    }

    @AfterEach
    void stopSet() throws IOException {
        for (SetMember member : SetMember.of(1)) {
            Files.deleteIfExists(set.directory().resolve(member.title()).resolve("fault-stop"));
        }
        set.close();
    }

    @Test
    void upStartsThreeProcessesAndServesTheVolume() {
        FakeSet.Result up = set.up("--size", "64MiB");

        assertThat(up.err()).isEmpty();
        assertThat(up.exitCode()).as(up.err()).isZero();
        assertThat(up.out()).contains("nbd://localhost:" + set.portBase() + "/demo");
        FakeSet.Result status = set.run("status", "--json");
        assertThat(status.exitCode()).as(status.err()).isZero();
        JsonNode json = status.json();
        assertThat(json.path("processes").size()).isEqualTo(3);
        for (JsonNode process : json.path("processes")) {
            assertThat(process.path("running").asBoolean()).isTrue();
            assertThat(process.path("healthy").asBoolean()).isTrue();
        }
        JsonNode volume = json.path("volumes").path(0);
        assertThat(volume.path("name").asString()).isEqualTo("demo");
        assertThat(volume.path("sizeBytes").asLong()).isEqualTo(64L << 20);
        assertThat(volume.path("ackLevel").asString()).isEqualTo("received");
        assertThat(volume.path("locksHeld").asLong()).isEqualTo(1);
    }

    @Test
    void upOnARunningSetSaysSoAndStartsNothing() {
        set.isUp();
        long pid = set.process(SetMember.A).pid();

        FakeSet.Result again = set.up();

        assertThat(again.exitCode()).as(again.err()).isZero();
        assertThat(again.out()).contains("is running").doesNotContain("Starting");
        assertThat(set.process(SetMember.A).pid()).isEqualTo(pid);
    }

    @Test
    void upStartsJustTheProcessThatIsGone() {
        set.isUp();
        long lockManager = set.process(SetMember.LOCKMGR).pid();
        ProcessHandle killed = set.process(SetMember.B);
        killed.destroyForcibly();
        await().atMost(PATIENCE).until(() -> !ProcessIdentity.isAlive(killed));
        FakeSet.Result degraded = set.run("status", "--json");

        FakeSet.Result up = set.up();

        assertThat(degraded.exitCode()).isEqualTo(1);
        assertThat(degraded.json().path("processes").path(2).path("pid").isNull())
                .isTrue();
        assertThat(up.exitCode()).as(up.err()).isZero();
        assertThat(up.out()).contains("Starting b").doesNotContain("Starting a").doesNotContain("Starting lockmgr");
        assertThat(set.process(SetMember.LOCKMGR).pid()).isEqualTo(lockManager);
        assertThat(set.process(SetMember.B).pid()).isNotEqualTo(killed.pid());
    }

    @Test
    void twoUpsAtOnceStartOneSet() {
        CompletableFuture<Process> other = CompletableFuture.supplyAsync(() -> {
            try {
                return set.foreground(set.directory().resolveSibling("foreground.log"));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });

        FakeSet.Result up = set.up();

        assertThat(up.err()).isEmpty();
        assertThat(up.exitCode()).as(up.err()).isZero();
        Process foreground = other.join();
        assertThat(set.run("down").exitCode()).isZero();
        foreground.destroy();
        foreground.onExit().join();
        await().atMost(PATIENCE).until(() -> set.living() == 0);
    }

    @Test
    void downStopsEverythingAndTheNextUpGoesOnWithTheVolume() {
        set.isUp("--size", "8MiB");

        FakeSet.Result down = set.run("down");
        long living = set.living();
        FakeSet.Result downAgain = set.run("down", "--json");
        FakeSet.Result up = set.up("--json");

        assertThat(down.exitCode()).as(down.err()).isZero();
        assertThat(down.out()).containsSubsequence("Stopping a", "Stopping b", "Stopping lockmgr");
        assertThat(living).isZero();
        assertThat(downAgain.exitCode()).as(downAgain.err()).isZero();
        assertThat(downAgain.json().path("clean").asBoolean()).isTrue();
        assertThat(up.err()).contains("Starting").doesNotContain("Creating");
        assertThat(up.json().path("volumes").path(0).path("sizeBytes").asLong()).isEqualTo(8L << 20);
    }

    @Test
    void sigtermStopsASetInTheForeground() throws IOException, InterruptedException {
        Path output = set.directory().resolveSibling("foreground.log");
        Process foreground = set.foreground(output);
        await().atMost(PATIENCE).until(() -> Files.readString(output).contains("Ctrl-C stops it"));

        foreground.destroy();

        assertThat(foreground.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
        assertThat(foreground.exitValue()).isZero();
        assertThat(Files.readString(output)).containsSubsequence("Stopping a", "Stopping b", "Stopping lockmgr");
        assertThat(set.living()).isZero();
    }

    @Test
    void downEndsTheForegroundOfASet() throws IOException, InterruptedException {
        Path output = set.directory().resolveSibling("foreground.log");
        Process foreground = set.foreground(output);
        await().atMost(PATIENCE).until(() -> Files.readString(output).contains("Ctrl-C stops it"));

        set.run("down");

        assertThat(foreground.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
        assertThat(foreground.exitValue()).isZero();
        assertThat(Files.readString(output)).contains("The set was stopped.");
    }

    @Test
    void aProcessThatDoesNotStopIsKilledAndThatIsAFailure() throws IOException {
        set.fault(SetMember.B, "fault-stop", "");
        set.isUp();

        FakeSet.Result down = set.run("down");

        assertThat(down.exitCode()).isEqualTo(1);
        assertThat(down.out()).contains("Warning: b (pid");
        assertThat(set.living()).isZero();
    }

    @Test
    void aProcessThatFailsToStartSaysWhyAndTakesTheOthersWithIt() throws IOException {
        set.fault(SetMember.B, "fault-start", "The data directory belongs to version 9.");

        FakeSet.Result up = set.up();

        assertThat(up.exitCode()).isEqualTo(1);
        assertThat(up.err())
                .startsWith("terminus: b stopped while it was starting.")
                .contains("The data directory belongs to version 9.");
        assertThat(set.living()).isZero();
        assertThat(set.directory().resolve("set.json")).doesNotExist();
    }

    @Test
    void aVolumeThatIsNotServedInTimeIsAFailureThatNamesTheReason() throws IOException {
        set.fault(SetMember.A, "fault-serve", "");

        FakeSet.Result up = set.up("--timeout", "15s");

        assertThat(up.exitCode()).isEqualTo(1);
        assertThat(up.err()).contains("not every volume can be used after 15 s: demo: waiting for b");
        assertThat(set.living()).isEqualTo(3);
        assertThat(set.run("status").exitCode()).isEqualTo(1);
    }

    @Test
    void anOccupiedPortIsNamedBeforeAnythingStarts() throws IOException {
        try (ServerSocket occupied = new ServerSocket()) {
            occupied.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), set.portBase() + 7));

            FakeSet.Result up = set.up();

            assertThat(up.exitCode()).isEqualTo(1);
            assertThat(up.err()).contains("port " + (set.portBase() + 7) + " (b gRPC) cannot be used");
            assertThat(up.out()).doesNotContain("Starting");
        }
    }

    @Test
    void sizeAndPortsOfAnExistingSetCannotChange() {
        set.isUp("--size", "8MiB");

        FakeSet.Result otherSize = set.run("up", "--detach", "--size", "16MiB");
        FakeSet.Result otherPorts = set.run("up", "--detach", "--port-base", "4000");

        assertThat(otherSize.exitCode()).isEqualTo(1);
        assertThat(otherSize.err()).contains("has 8 MiB, not 16 MiB");
        assertThat(otherPorts.exitCode()).isEqualTo(1);
        assertThat(otherPorts.err()).contains("uses ports from " + set.portBase());
    }

    @Test
    void operatorsCommandsReachTheServices() {
        set.isUp();

        FakeSet.Result promoted = set.run("volume", "promote", "demo", "--agent", "b");
        FakeSet.Result again = set.run("volume", "promote", "demo", "--agent", "b", "--json");
        FakeSet.Result refused = set.run("volume", "promote", "demo", "--agent", "b", "--force");
        FakeSet.Result nobody = set.run("volume", "promote", "demo", "--agent", "c");
        FakeSet.Result badName = set.run("volume", "create", "refused", "--size", "4k");
        FakeSet.Result volume = set.run("volume", "status", "demo");
        FakeSet.Result locks = set.run("locks", "list");
        FakeSet.Result waiters = set.run("locks", "list", "demo", "--waiting", "--json");
        FakeSet.Result released = set.run("locks", "release", "demo", "11");
        FakeSet.Result notReleased = set.run("locks", "release", "demo", "12");
        FakeSet.Result sessions = set.run("sessions", "list");

        assertThat(promoted.exitCode()).as(promoted.err()).isZero();
        assertThat(promoted.out()).contains("waiting for the lock of demo", "Agent b writes demo in term 7");
        assertThat(again.err()).contains("waiting for the lock of demo");
        assertThat(again.json().path("volumes").path(0).path("name").asString()).isEqualTo("demo");
        assertThat(refused.exitCode()).isEqualTo(1);
        assertThat(refused.err()).contains("a does not answer, and without it acknowledged writes may be missing");
        assertThat(nobody.err()).contains("there is no agent 'c'");
        assertThat(badName.exitCode()).isEqualTo(1);
        assertThat(badName.err()).contains("volume name 'refused' is not liked");
        assertThat(volume.exitCode()).as(volume.err()).isZero();
        assertThat(volume.out()).contains("demo@a");
        assertThat(locks.out()).contains("whole volume").contains("agent/a");
        assertThat(waiters.json().path(0).path("blockedBy").path(0).asLong()).isEqualTo(11);
        assertThat(released.exitCode()).as(released.err()).isZero();
        assertThat(notReleased.err()).contains("no lock 12 on demo");
        assertThat(sessions.out()).contains("attached");
    }

    @Test
    void replicasAreAddedTakenAwayAndWaitedFor() {
        set.isUp();

        FakeSet.Result alone = set.run("resync", "demo", "--json");
        FakeSet.Result limited = set.run("peer", "throttle", "demo", "20MiB", "--json");
        FakeSet.Result shown = set.run("peer", "throttle", "demo");
        FakeSet.Result badRate = set.run("peer", "throttle", "demo", "fast");
        FakeSet.Result added = set.run("peer", "add", "demo", "b");
        FakeSet.Result twice = set.run("peer", "add", "demo", "a");
        FakeSet.Result status = set.run("volume", "status", "demo");
        FakeSet.Result late = set.run("resync", "demo", "--timeout", "1ms");
        FakeSet.Result synced = set.run("resync", "demo", "--json");
        FakeSet.Result anew = set.run("resync", "demo", "--agent", "b", "--anew");
        FakeSet.Result whose = set.run("resync", "demo", "--anew");
        FakeSet.Result removed = set.run("peer", "remove", "demo", "b");
        FakeSet.Result writer = set.run("peer", "remove", "demo", "a");

        assertThat(alone.exitCode()).as(alone.err()).isZero();
        assertThat(limited.json().path(0).path("bytesPerSecond").asLong()).isEqualTo(20 << 20);
        assertThat(shown.out()).contains("Agent a copies demo at no more than 20 MiB/s.");
        assertThat(badRate.err()).contains("'fast' is not a size", "or off");
        assertThat(added.out()).contains("Agent b holds a replica of demo now");
        assertThat(twice.err()).contains("has a replica already");
        assertThat(status.out()).contains("demo at b: copying, ", " % of 4 MiB, 1 MiB/s, ");
        assertThat(late.exitCode()).isEqualTo(1);
        assertThat(late.err()).contains("demo is not in sync after");
        assertThat(synced.exitCode()).as(synced.err()).isZero();
        assertThat(synced.out()).contains("\"agent\":\"b\"").endsWith("\"copy\":null}\n");
        assertThat(anew.exitCode()).isEqualTo(1);
        assertThat(anew.err()).contains("counts on the replica at b");
        assertThat(whose.err()).contains("--anew needs --agent");
        assertThat(removed.out()).contains("The replica of demo at b is none any more; its files stay.");
        assertThat(writer.err()).contains("promote another agent first");
    }

    @Test
    void aVolumeIsComparedChangedAndDeleted() {
        set.isUp();

        FakeSet.Result compared = set.run("verify", "demo");
        FakeSet.Result json = set.run("verify", "demo", "--json");
        FakeSet.Result mended = set.run("verify", "demo", "--peer", "b", "--repair");
        FakeSet.Result demoted = set.run("volume", "demote", "demo");
        FakeSet.Result resized = set.run("volume", "resize", "demo", "16MiB");
        FakeSet.Result odd = set.run("volume", "resize", "demo", "5000");
        FakeSet.Result ruled =
                set.run("volume", "set", "demo", "--ack-level", "durable", "--copies", "2", "--min-copies", "1");
        FakeSet.Result nothing = set.run("volume", "set", "demo");
        FakeSet.Result used = set.run("volume", "delete", "demo");
        FakeSet.Result deleted = set.run("volume", "delete", "demo", "--force", "--json");

        assertThat(compared.exitCode()).isEqualTo(1);
        assertThat(compared.out())
                .contains("demo at b: [############------------] comparing, 50 % of 8 MiB", "2 blocks differ")
                .contains("demo at b: 8 MiB compared; 2 blocks differ.\n  offset 8192, 8192 bytes\n");
        assertThat(json.out().lines().toList().getLast())
                .contains("\"phase\":\"complete\"", "\"differing\":[{\"offset\":8192,\"length\":8192}]");
        assertThat(mended.exitCode()).as(mended.err()).isZero();
        assertThat(mended.out()).contains("2 blocks differ, 2 mended");
        assertThat(demoted.out()).contains("demo is served by nobody now; agent a wrote it last.");
        assertThat(resized.out()).contains("demo has 16 MiB now");
        assertThat(odd.err()).contains("size 5000 is not a multiple of 4096");
        assertThat(ruled.out())
                .contains("demo is acknowledged at level durable by 2 copies; writes wait while fewer than 1");
        assertThat(nothing.err()).contains("nothing to set");
        assertThat(used.exitCode()).isEqualTo(1);
        assertThat(used.err()).contains("agent a at ", "cannot do this now: volume demo is used by 1 clients");
        assertThat(deleted.json().path("unreached").path(0).asString()).isEqualTo("b");
    }

    @Test
    void whereTwoReplicasDifferFromTheWriterInTheSamePlaceThatIsSaid() {
        VerifyCommand.Result b = differing("b", 4_096, 8_192);
        VerifyCommand.Result c = differing("c", 8_192, 4_096);
        VerifyCommand.Result d = differing("d", 16_384, 4_096);

        assertThat(VerifyCommand.overlaps(List.of(b, c, d)))
                .containsExactly(
                        "both b and c differ from the writer at offset 4096: there it may be the writer that is"
                                + " wrong");
    }

    private static VerifyCommand.Result differing(String agent, long offset, long length) {
        return new VerifyCommand.Result(
                "demo",
                agent,
                "complete",
                1,
                1,
                0,
                null,
                false,
                length / 4_096,
                0,
                List.of(new VerifyCommand.Result.Range(offset, length)),
                "");
    }

    @Test
    void whereNothingWasComparedThatIsSaidAndNotThatNothingDiffers() {
        VerifyCommand.Result none = new VerifyCommand.Result(
                "demo", "b", "given_up", 0, 8 << 20, 0, null, false, 0, 0, List.of(), "b is away");
        VerifyCommand.Result half = new VerifyCommand.Result(
                "demo", "b", "given_up", 4 << 20, 8 << 20, 0, null, false, 0, 0, List.of(), "stopped");

        assertThat(none.words()).containsExactly("demo at b: given up, and nothing was compared: b is away");
        assertThat(half.words())
                .containsExactly("demo at b: given up after 4 MiB of 8 MiB: stopped; in that part nothing differs.");
        assertThat(none.isGood()).isFalse();
    }

    @Test
    void everyVolumeInUseIsWaitedForUntilOneAgentServesIt() {
        VolumeStatus served = VolumeStatus.newBuilder()
                .setName("demo")
                .setRole(Role.WRITER)
                .setNbdUri("nbd://x/demo")
                .build();
        VolumeStatus replica =
                VolumeStatus.newBuilder().setName("demo").setRole(Role.REPLICA).build();
        VolumeStatus other = VolumeStatus.newBuilder()
                .setName("other")
                .setRole(Role.CANDIDATE)
                .setDetail("waiting for b")
                .build();
        VolumeStatus demoted = VolumeStatus.newBuilder()
                .setName("third")
                .setStanding(Standing.DEMOTED)
                .build();

        assertThat(Up.unserved(List.of(served, demoted, replica))).isEmpty();
        assertThat(Up.unserved(List.of(served, other, replica))).contains(other);
    }

    @Test
    void aWatchedStatusShowsWhatIsToldAndSeesAProcessThatGoes() throws Exception {
        set.isUp();
        SetDirectory directory = new SetDirectory(set.directory());
        try (StatusWatch watch = new StatusWatch(
                FakeSet.installation(), directory, directory.loadExisting().ports())) {
            watch.awaitFirst(Duration.ofSeconds(20));
            assertThat(watch.report().isWell()).isTrue();
            assertThat(watch.report().volumes().getFirst().locksHeld()).isEqualTo(1);

            set.fault(SetMember.A, "fault-serve", "");
            await().atMost(Duration.ofSeconds(20))
                    .until(() -> watch.report().volumes().getFirst().nbd() == null);
            set.process(SetMember.B).destroyForcibly();

            await().atMost(Duration.ofSeconds(20))
                    .until(() -> watch.report().processes().stream()
                            .anyMatch(process -> process.name().equals("b") && !process.running()));
        }
    }

    @Test
    void locksAreAskedForInDetailAndSessionsClosed() {
        set.isUp();

        FakeSet.Result filtered =
                set.run("locks", "list", "demo", "--range", "4k-8k", "--mode", "pr", "--session", "s7", "--json");
        FakeSet.Result waiters = set.run("locks", "waiters", "demo");
        FakeSet.Result blockers = set.run("locks", "blockers", "s1", "5");
        FakeSet.Result noBlockers = set.run("locks", "blockers", "s1", "6");
        FakeSet.Result contention = set.run("locks", "contention", "demo", "--buckets", "3", "--json");
        FakeSet.Result watched = set.run("locks", "watch", "demo", "--count", "2", "--json");
        FakeSet.Result configured = set.run("locks", "configure", "demo", "--lock-delay", "5s", "--json");
        FakeSet.Result tooLong = set.run("locks", "configure", "demo", "--lock-delay", "61s");
        FakeSet.Result badRange = set.run("locks", "list", "demo", "--range", "8k-4k");
        FakeSet.Result badMode = set.run("locks", "list", "demo", "--mode", "XX");
        FakeSet.Result closed = set.run("sessions", "close", "s1");
        FakeSet.Result unknown = set.run("sessions", "close", "s2");
        FakeSet.Result ofNobody = set.run("sessions", "list", "--owner", "nobody");

        assertThat(filtered.json().path(0).path("start").asLong()).isEqualTo(4096);
        assertThat(filtered.json().path(0).path("end").asLong()).isEqualTo(8192);
        assertThat(filtered.json().path(0).path("mode").asString()).isEqualTo("PR");
        assertThat(filtered.json().path(0).path("session").asString()).isEqualTo("s7");
        assertThat(waiters.out()).contains("agent/b", "standby", "11");
        assertThat(blockers.out()).contains("lock  11");
        assertThat(noBlockers.exitCode()).isEqualTo(1);
        assertThat(noBlockers.err()).contains("no request 6 that waits");
        assertThat(contention.json().size()).isEqualTo(3);
        assertThat(contention.json().path(2).path("held").asLong()).isEqualTo(2);
        assertThat(watched.exitCode()).as(watched.err()).isZero();
        assertThat(watched.out().lines()).hasSize(3);
        assertThat(watched.out()).contains("\"HELD\"", "event 0", "event 1").doesNotContain("event 2");
        assertThat(configured.json().path("lockDelayMillis").asLong()).isEqualTo(5000);
        assertThat(tooLong.exitCode()).isEqualTo(1);
        assertThat(tooLong.err()).contains("lock delay of 61000 ms");
        assertThat(badRange.exitCode()).isEqualTo(1);
        assertThat(badRange.err()).contains("write START-END");
        assertThat(badMode.exitCode()).isEqualTo(2);
        assertThat(closed.exitCode()).as(closed.err()).isZero();
        assertThat(closed.out()).contains("Session s1 is closed");
        assertThat(unknown.exitCode()).isEqualTo(1);
        assertThat(unknown.err()).contains("session is not known");
        assertThat(ofNobody.out()).contains("There are no sessions");
    }
}
