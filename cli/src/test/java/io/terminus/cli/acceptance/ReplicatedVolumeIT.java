package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.cli.acceptance.JournalRecords.Entry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What the product promises for a volume with two replicas at level received. */
@ExtendWith(TellsTime.class)
class ReplicatedVolumeIT {

    @RegisterExtension
    static final SharedSet SET = new SharedSet("256MiB", Map.of());

    @Test
    @NeedsClients({"nbdcopy", "mkfs.ext4"})
    void aFileSystemComesBackAsItWentInAndBothImagesAreIdentical() throws IOException {
        LiveSet set = SET.get();
        Path files = Files.createDirectory(set.folder().resolve("files"));
        for (int i = 0; i < 3000; i++) {
            Path directory = Files.createDirectories(files.resolve("d" + i % 50));
            Files.writeString(directory.resolve("f" + i), ("file " + i + "\n").repeat(1 + i % 700));
        }
        Path in = set.folder().resolve("in.img");
        Program.run(set.folder(), "truncate", "-s", "256M", in.toString());
        Program.run(set.folder(), "mkfs.ext4", "-q", "-d", files.toString(), in.toString());

        Program.run(set.folder(), "nbdcopy", "--connections=4", "--requests=64", "--flush", in.toString(), set.uri());
        Path out = set.folder().resolve("out.img");
        Program.run(set.folder(), "nbdcopy", set.uri(), out.toString());

        assertThat(Files.mismatch(in, out)).isEqualTo(-1);
        set.compareImages();
    }

    @Test
    @NeedsClients({"qemu-img", "qemu-io"})
    void qemuWritesConvertsAndReadsBack() {
        LiveSet set = SET.get();
        String uri = set.uri();

        Program.run(
                set.folder(),
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 0xab 0 1M",
                "-c",
                "write -z -u 512k 64k",
                "-c",
                "discard 2M 1M",
                "-c",
                "write -f -P 0xcd 4097 513",
                "-c",
                "flush",
                uri);
        String read = Program.run(
                set.folder(),
                "qemu-io",
                "-f",
                "raw",
                "-r",
                "-c",
                "read -P 0xab 0 4097",
                "-c",
                "read -P 0xcd 4097 513",
                "-c",
                "read -P 0 512k 64k",
                uri);
        Program.run(set.folder(), "qemu-img", "convert", "-f", "raw", "-O", "raw", uri, "out.img");

        assertThat(read).doesNotContain("Pattern verification failed");
        assertThat(set.metrics(set.writer()))
                .contains("terminus_volume_role{role=\"writer\",volume=\"demo\"} 1.0")
                .containsPattern("terminus_volume_request_seconds_count\\{request=\"write\",volume=\"demo\"\\} [1-9]")
                .containsPattern("terminus_volume_request_seconds_count\\{request=\"read\",volume=\"demo\"\\} [1-9]")
                .containsPattern("terminus_peer_ack_seconds_bucket\\{peer=\"" + set.replica()
                        + "\",volume=\"demo\",le=\"\\+Inf\"\\} [1-9]")
                .containsPattern("terminus_journal_budget_bytes\\{volume=\"demo\"\\} [1-9]");
        set.compareImages();
    }

    @Test
    @NeedsClients({"qemu-io", "qemu-img"})
    void writesOfZerosLeaveHolesInBothImagesAndTravelAsHeaders() {
        LiveSet set = SET.get();
        Program.run(set.folder(), "qemu-io", "-f", "raw", "-c", "write -P 0xab 0 32M", "-c", "flush", set.uri());
        set.compareImages();
        long before = received(set);
        long[] full = {allocated(set, "a"), allocated(set, "b")};

        Program.run(set.folder(), "qemu-io", "-f", "raw", "-c", "write -P 0 1M 30M", "-c", "flush", set.uri());
        set.compareImages();

        assertThat(received(set) - before).isBetween(1L, 1L << 20);
        assertThat(full[0] - allocated(set, "a")).isGreaterThan(29L << 20);
        assertThat(full[1] - allocated(set, "b")).isGreaterThan(29L << 20);
        JsonNode map = JsonMapper.shared()
                .readTree(Program.run(set.folder(), "qemu-img", "map", "-f", "raw", "--output=json", set.uri()));
        assertThat(map.valueStream()
                        .anyMatch(extent -> extent.path("zero").asBoolean()
                                && extent.path("start").asLong() <= 1 << 20
                                && extent.path("start").asLong()
                                                + extent.path("length").asLong()
                                        >= 31 << 20))
                .as("%s", map)
                .isTrue();
        Program.run(
                set.folder(),
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "read -P 0xab 0 1M",
                "-c",
                "read -P 0 1M 30M",
                "-c",
                "read -P 0xab 31M 1M",
                set.uri());
    }

    private static long received(LiveSet set) {
        for (JsonNode replica : set.volume().path("replicas")) {
            if (replica.path("agent").asString().equals(set.replica())) {
                return replica.path("received").asLong();
            }
        }
        throw new AssertionError("no replica");
    }

    /** Bytes on the disk, not the length of the file. */
    private static long allocated(LiveSet set, String agent) {
        String said = Program.run(
                set.folder(), "du", "--block-size=1", set.image(agent).toString());
        return Long.parseLong(said.substring(0, said.indexOf('\t')));
    }

    @Test
    @NeedsClients("fio")
    void verifiedRandomWritesPassAndBothImagesAreIdentical() {
        LiveSet set = SET.get();
        Program.run(
                set.folder(),
                "fio",
                "--name=v",
                "--ioengine=nbd",
                "--uri=" + set.uri(),
                "--rw=randwrite",
                "--bs=4k",
                "--size=64m",
                "--iodepth=32",
                "--numjobs=4",
                "--offset_increment=64m",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--do_verify=1",
                "--randrepeat=0");

        set.compareImages();
    }

    @Test
    @NeedsClients({"nbdfuse", "losetup", "mkfs.ext4", "fsck.ext4"})
    void aFileSystemOnTheVolume() throws IOException {
        LiveSet set = SET.get();
        try (VolumeAsDisk disk = VolumeAsDisk.attach(set)) {
            Program.run(set.folder(), "mkfs.ext4", "-q", "-F", "-E", "nodiscard", disk.device());
            Path mounted = disk.mount();
            for (int i = 0; i < 400; i++) {
                Path directory = Files.createDirectories(mounted.resolve("d" + i % 20));
                Files.writeString(directory.resolve("f" + i), ("file " + i + "\n").repeat(1 + i % 700));
            }
            for (int i = 0; i < 400; i += 3) {
                Files.delete(mounted.resolve("d" + i % 20).resolve("f" + i));
            }
            disk.unmount();

            Program.run(set.folder(), "fsck.ext4", "-f", "-n", disk.device());
            disk.mount();
            for (int i = 0; i < 400; i++) {
                Path file = mounted.resolve("d" + i % 20).resolve("f" + i);
                if (i % 3 == 0) {
                    assertThat(file).doesNotExist();
                } else {
                    assertThat(file).hasContent(("file " + i + "\n").repeat(1 + i % 700));
                }
            }
            disk.unmount();
        }
        set.compareImages();
    }

    @Test
    @NeedsClients("python3-libnbd")
    void writesGoOnWithoutTheReplicaAndItCatchesUp() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            set.kill(set.replica());
            writes.awaitMore(2000);
            set.terminus("up", "--detach");
            writes.awaitMore(2000);
            writes.stop();

            set.awaitInSync();
            writes.check();
            set.compareImages();
        }
    }

    @Test
    @NeedsClients("qemu-io")
    void aReplicaThatWasAwayLongerThanTheJournalReachesIsCopiedTo() {
        try (LiveSet set = LiveSet.start("256MiB", Map.of("AGENT_JOURNALBUDGETMIB", "192"))) {
            set.awaitInSync();
            fill(set, "0x11", "0 128M");
            set.kill(set.replica());

            fill(set, "0x22", "64M 128M"); // 384 MiB in all: twice what the journal holds
            fill(set, "0x33", "96M 128M");
            fill(set, "0x44", "100M 128M");
            set.terminus("up", "--detach");
            fill(set, "0x55", "8M 1M");

            set.awaitInSync();
            set.compareImages();
            assertThat(set.log(set.writer())).contains("is copied to");
            String read = Program.run(
                    set.folder(),
                    "qemu-io",
                    "-f",
                    "raw",
                    "-r",
                    "-c",
                    "read -P 0x11 0 8M",
                    "-c",
                    "read -P 0x55 8M 1M",
                    "-c",
                    "read -P 0x22 64M 32M",
                    "-c",
                    "read -P 0x33 96M 4M",
                    "-c",
                    "read -P 0x44 100M 128M",
                    "-c",
                    "read -P 0 228M 28M",
                    set.uri());
            assertThat(read).doesNotContain("Pattern verification failed");
        }
    }

    @Test
    @NeedsClients("qemu-io")
    void aCopySurvivesAKillOfEitherSideAndUntilItsEndTheReplicaNeitherVotesNorServes() {
        try (LiveSet set = LiveSet.start("256MiB", Map.of("AGENT_JOURNALBUDGETMIB", "192"))) {
            set.awaitInSync();
            String writer = set.writer();
            String replica = set.replica();
            fill(set, "0x11", "0 128M");
            set.kill(replica);
            fill(set, "0x22", "64M 128M");
            fill(set, "0x33", "96M 128M");
            fill(set, "0x44", "100M 128M");
            set.terminus("peer", "throttle", "demo", "2MiB");
            set.terminus("up", "--detach");
            awaitCopying(set, replica);

            set.kill(replica);
            fill(set, "0x55", "8M 1M");
            set.terminus("up", "--detach");
            awaitCopying(set, replica);
            assertRefused(set, "mixture", "volume", "promote", "demo", "--agent", replica);

            set.kill(writer);
            assertRefused(
                    set,
                    "mixture",
                    "volume",
                    "promote",
                    "demo",
                    "--agent",
                    replica,
                    "--force",
                    "--accept-data-loss",
                    "--timeout",
                    "120s");
            assertThat(set.volume().path("nbd").isNull()).isTrue();
            set.terminus("up", "--detach");
            assertThat(set.writer()).isEqualTo(writer);
            fill(set, "0x66", "0 1M");

            String steps = set.terminus("resync", "demo", "--json", "--timeout", "120s");
            assertThat(steps).contains("\"inSync\":true");
            set.awaitInSync();
            set.compareImages();
            Program.run(
                    set.folder(),
                    "qemu-io",
                    "-f",
                    "raw",
                    "-r",
                    "-c",
                    "read -P 0x66 0 1M",
                    "-c",
                    "read -P 0x11 1M 7M",
                    "-c",
                    "read -P 0x55 8M 1M",
                    "-c",
                    "read -P 0x44 100M 128M",
                    set.uri());
            set.terminus("volume", "promote", "demo", "--agent", replica);
            assertThat(set.writer()).isEqualTo(replica);
        }
    }

    @Test
    @NeedsClients("qemu-io")
    void aReplicaIsTakenAwayDeletedAndGivenBackWhileTheVolumeIsWritten() {
        LiveSet set = SET.get();
        String replica = set.replica();
        fill(set, "0x77", "0 64M");

        set.terminus("peer", "remove", "demo", replica, "--delete");
        assertThat(set.volume().path("replicas").size()).isEqualTo(1);
        fill(set, "0x78", "32M 64M");
        set.terminus("peer", "add", "demo", replica);
        fill(set, "0x79", "48M 1M");
        set.terminus("resync", "demo", "--timeout", "120s");

        set.awaitInSync();
        set.compareImages();
        set.terminus("volume", "promote", "demo", "--agent", replica);
        set.awaitInSync();
    }

    private static void awaitCopying(LiveSet set, String replica) {
        await().atMost(LiveSet.PATIENCE).until(() -> {
            for (JsonNode there : set.volume().path("replicas")) {
                if (there.path("agent").asString().equals(replica)) {
                    assertThat(there.path("inSync").asBoolean()).isFalse();
                    return there.path("copy").path("phase").asString("").equals("copying");
                }
            }
            return false;
        });
    }

    private static void assertRefused(LiveSet set, String why, String... command) {
        try (Program program = set.command(command)) {
            assertThat(program.exitCode()).isEqualTo(1);
            assertThat(program.output()).contains(why);
        }
    }

    private static void fill(LiveSet set, String pattern, String range) {
        Program.run(
                set.folder(),
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P " + pattern + " " + range,
                "-c",
                "flush",
                set.uri());
    }

    @Test
    @NeedsClients("python3-libnbd")
    void whatAKilledWriterAcknowledgedIsThereAfterItsRestart() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            set.kill(set.writer());
            writes.awaitBreak();
            set.repair();

            writes.check();
            set.compareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void promoteMovesTheWriterAndKeepsWhatWasAcknowledged() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            String successor = set.replica();
            set.terminus("volume", "promote", "demo", "--agent", successor);
            writes.awaitBreak();

            assertThat(set.writer()).isEqualTo(successor);
            writes.check();
            set.awaitInSync();
            set.compareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void aStoppedWriterThatWakesUpAcknowledgesNothingMore() {
        LiveSet set = SET.get();
        try (AckedWrites writes = AckedWrites.start(set)) {
            String successor = set.replica();
            ProcessHandle old = set.process(set.writer());
            set.signal(old, "STOP");
            try {
                promoteByForce(set, successor);
                long acknowledged = writes.acknowledged();
                set.signal(old, "CONT");
                writes.awaitBreak();

                assertThat(writes.acknowledged()).isEqualTo(acknowledged);
            } finally {
                set.signal(old, "CONT");
            }
            writes.check();
            set.awaitInSync();
            set.compareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void aWriterStoppedBetweenItsCheckAndItsSendIsFenced() throws IOException {
        LiveSet set = SET.get();
        String before = set.writer();
        String successor = set.replica();
        Path rescued = set.image(before).resolveSibling("rescued");
        Path successorsImage = set.image(successor);
        long rescuedBefore = countFiles(rescued);
        ProcessHandle old = set.process(before);
        try (AckedWrites writes = AckedWrites.start(set)) {
            set.stopWriterAt("before-send", old);
            try {
                promoteByForce(set, successor);
                long term = set.volume().path("term").asLong();
                long acknowledged = writes.acknowledged();
                // The book is closed: nothing of it is acknowledged any more, and others write the same blocks below.
                writes.check();
                try (AckedWrites others = AckedWrites.start(set)) {
                    set.signal(old, "CONT");
                    writes.awaitBreak();
                    others.awaitMore(500);
                    others.stop();
                    set.awaitInSync();

                    assertThat(writes.acknowledged()).isEqualTo(acknowledged);
                    assertThat(set.writer()).isEqualTo(successor);
                    assertThat(set.volume().path("term").asLong()).isEqualTo(term);
                    others.check();
                }
                assertOnlyThatTermFollows(term, JournalRecords.beside(successorsImage));
                // The record that was captured and never sent lost, and is there for whoever wants to know.
                assertThat(countFiles(rescued)).isGreaterThan(rescuedBefore);
                assertThat(set.log(before)).contains("records past the end of their term");
            } finally {
                set.signal(old, "CONT");
            }
            set.compareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void whatAWriterAnswersThatWasStoppedBetweenItsLastCheckAndItsReplyIsKept() {
        LiveSet set = SET.get();
        String successor = set.replica();
        Path successorsImage = set.image(successor);
        ProcessHandle old = set.process(set.writer());
        try (AckedWrites writes = AckedWrites.start(set)) {
            set.stopWriterAt("before-reply", old);
            try {
                promoteByForce(set, successor);
                long term = set.volume().path("term").asLong();
                set.signal(old, "CONT");
                writes.awaitBreak();
                set.awaitInSync();

                // These requests were done when the guard was asked: their replies may leave, and then must be true.
                writes.check();
                assertOnlyThatTermFollows(term, JournalRecords.beside(successorsImage));
            } finally {
                set.signal(old, "CONT");
            }
            set.compareImages();
        }
    }

    @Test
    void downAndUpGoOnWithTheSameVolumeInANewTerm() {
        LiveSet set = SET.get();
        long term = set.volume().path("term").asLong();
        set.terminus("down");

        set.terminus("up", "--detach");

        assertThat(set.volume().path("term").asLong()).isGreaterThan(term);
        assertThat(set.uri()).startsWith("nbd://localhost:");
    }

    private static void promoteByForce(LiveSet set, String agent) {
        set.terminus("volume", "promote", "demo", "--agent", agent, "--force", "--timeout", "120s");
    }

    /** From the first record of the term on, not one is of another. */
    private static void assertOnlyThatTermFollows(long term, List<Entry> records) {
        assertThat(records).anyMatch(record -> record.term() == term);
        assertThat(records.stream().dropWhile(record -> record.term() != term))
                .allMatch(record -> record.term() == term);
    }

    private static long countFiles(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return 0;
        }
        try (Stream<Path> files = Files.list(directory)) {
            return files.count();
        }
    }
}
