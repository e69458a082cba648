package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** What the product promises for a volume with two replicas at level received. */
class ReplicatedVolumeIT {

    @Test
    @NeedsClients({"nbdcopy", "mkfs.ext4"})
    void aFileSystemComesBackAsItWentInAndBothImagesAreIdentical() throws IOException {
        try (LiveSet set = LiveSet.start("256MiB")) {
            Path files = Files.createDirectory(set.folder().resolve("files"));
            for (int i = 0; i < 3000; i++) {
                Path directory = Files.createDirectories(files.resolve("d" + i % 50));
                Files.writeString(directory.resolve("f" + i), ("file " + i + "\n").repeat(1 + i % 700));
            }
            Path in = set.folder().resolve("in.img");
            Program.run(set.folder(), "truncate", "-s", "256M", in.toString());
            Program.run(set.folder(), "mkfs.ext4", "-q", "-d", files.toString(), in.toString());

            Program.run(
                    set.folder(), "nbdcopy", "--connections=4", "--requests=64", "--flush", in.toString(), set.uri());
            Path out = set.folder().resolve("out.img");
            Program.run(set.folder(), "nbdcopy", set.uri(), out.toString());

            assertThat(Files.mismatch(in, out)).isEqualTo(-1);
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients({"qemu-img", "qemu-io"})
    void qemuWritesConvertsAndReadsBack() {
        try (LiveSet set = LiveSet.start("64MiB")) {
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
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("fio")
    void verifiedRandomWritesPassAndBothImagesAreIdentical() {
        try (LiveSet set = LiveSet.start("256MiB")) {
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

            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void writesGoOnWithoutTheReplicaAndItCatchesUp() {
        try (LiveSet set = LiveSet.start("64MiB");
                AckedWrites writes = AckedWrites.start(set)) {
            set.kill("b");
            writes.awaitMore(2000);
            set.terminus("up", "--detach");
            writes.awaitMore(2000);
            writes.stop();

            set.awaitInSync();
            writes.check();
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void whatAKilledWriterAcknowledgedIsThereAfterItsRestart() {
        try (LiveSet set = LiveSet.start("64MiB");
                AckedWrites writes = AckedWrites.start(set)) {
            set.kill("a");
            writes.awaitBreak();
            set.repair();

            writes.check();
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void aKilledLockManagerComesBackKnowingItsGrants() {
        try (LiveSet set = LiveSet.start("64MiB");
                AckedWrites writes = AckedWrites.start(set)) {
            long term = set.volume().path("term").asLong();
            String locks = set.terminus("locks", "list", "demo", "--json");

            set.kill("lockmgr");
            set.terminus("up", "--detach");
            writes.awaitMore(2000);
            writes.stop();

            assertThat(set.terminus("locks", "list", "demo", "--json")).isEqualTo(locks);
            assertThat(set.volume().path("term").asLong()).isEqualTo(term);
            writes.check();
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void promoteMovesTheWriterAndKeepsWhatWasAcknowledged() {
        try (LiveSet set = LiveSet.start("64MiB");
                AckedWrites writes = AckedWrites.start(set)) {
            set.terminus("volume", "promote", "demo", "--agent", "b");
            writes.awaitBreak();

            assertThat(set.volume().path("writer").asString()).isEqualTo("b");
            writes.check();
            set.awaitInSync();
            set.stopAndCompareImages();
        }
    }

    @Test
    @NeedsClients("python3-libnbd")
    void aStoppedWriterThatWakesUpAcknowledgesNothingMore() {
        try (LiveSet set = LiveSet.start("64MiB");
                AckedWrites writes = AckedWrites.start(set)) {
            ProcessHandle a = set.process("a");
            set.signal(a, "STOP");
            try {
                set.terminus("volume", "promote", "demo", "--agent", "b", "--force", "--timeout", "120s");
                long acknowledged = writes.acknowledged();
                set.signal(a, "CONT");
                writes.awaitBreak();

                assertThat(writes.acknowledged()).isEqualTo(acknowledged);
            } finally {
                set.signal(a, "CONT");
            }
            writes.check();
            set.awaitInSync();
            set.stopAndCompareImages();
        }
    }

    @Test
    void downAndUpGoOnWithTheSameVolumeInANewTerm() {
        try (LiveSet set = LiveSet.start("8MiB")) {
            long term = set.volume().path("term").asLong();
            set.terminus("down");

            set.terminus("up", "--detach");

            assertThat(set.volume().path("term").asLong()).isGreaterThan(term);
            assertThat(set.uri()).startsWith("nbd://localhost:");
        }
    }
}
