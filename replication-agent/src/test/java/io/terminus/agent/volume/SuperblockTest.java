package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SuperblockTest {

    @TempDir
    private Path dir;

    @Test
    void whatIsWrittenIsRead() throws IOException {
        Superblock written = superblock();

        written.write(dir);

        assertThat(Superblock.read(dir)).usingRecursiveComparison().isEqualTo(written);
    }

    @Test
    void aLaterOneReplacesTheEarlierOneAndLeavesNothingBesides() throws IOException {
        superblock().write(dir);

        superblock().failedBecause("fdatasync failed").write(dir);

        assertThat(Superblock.read(dir).life().failed()).isEqualTo("fdatasync failed");
        try (var files = Files.list(dir)) {
            assertThat(files).containsExactly(dir.resolve("superblock"));
        }
    }

    @Test
    void aCrashWhileTheNextOneIsWrittenLeavesTheLastOne() throws IOException {
        superblock().write(dir);
        Files.write(dir.resolve("superblock.next"), new byte[] {1, 2, 3});

        Superblock read = Superblock.read(dir);

        assertThat(read.fence().term()).isEqualTo(7);
        superblock().with(new Superblock.Fence(8, 100)).write(dir);
        assertThat(Superblock.read(dir).fence().term()).isEqualTo(8);
    }

    @Test
    void damageOfAnyByteIsDetected() throws IOException {
        superblock().write(dir);
        Path file = dir.resolve("superblock");
        byte[] good = Files.readAllBytes(file);

        for (int at = 0; at < good.length; at++) {
            for (int flip : new int[] {0x01, 0x80, 0xff}) {
                byte[] bad = good.clone();
                bad[at] = (byte) (bad[at] ^ flip);
                Files.write(file, bad);

                assertThatThrownBy(() -> Superblock.read(dir))
                        .as("byte %d xor %d", at, flip)
                        .isInstanceOf(Superblock.UnreadableException.class)
                        .hasMessageContaining(file.toString());
            }
        }
    }

    @Test
    void aFileOfAnyOtherLengthIsDetected() throws IOException {
        superblock().write(dir);
        Path file = dir.resolve("superblock");
        byte[] good = Files.readAllBytes(file);

        for (int length = 0; length <= good.length + 1; length++) {
            if (length != good.length) {
                Files.write(file, Arrays.copyOf(good, length));

                assertThatThrownBy(() -> Superblock.read(dir))
                        .as("%d bytes", length)
                        .isInstanceOf(Superblock.UnreadableException.class);
            }
        }
    }

    @Test
    void anotherFormatIsSaidWithBothNumbers() throws IOException {
        superblock().write(dir);
        Path file = dir.resolve("superblock");
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer.wrap(bytes).putInt(8, 5);
        Files.write(file, bytes);

        assertThatThrownBy(() -> Superblock.read(dir))
                .isInstanceOf(Superblock.UnreadableException.class)
                .hasMessageContaining("has format 5; this version reads formats 1 to 4 only");
    }

    @Test
    void eachChangeKeepsEverythingElse() {
        Superblock before = superblock();

        Superblock after = before.with(new Superblock.Seen(new byte[] {9}, 12))
                .with(new Superblock.Fence(9, 90))
                .with(new Superblock.Checkpoint(1024, 512, Lineage.EMPTY, 2048))
                .failedBecause("why");

        assertThat(after)
                .usingRecursiveComparison()
                .isEqualTo(new Superblock(
                        new Superblock.Seen(new byte[] {9}, 12),
                        new Superblock.Fence(9, 90),
                        new Superblock.Checkpoint(1024, 512, Lineage.EMPTY, 2048),
                        new Superblock.Life("boot 1", "boot 1", false, false, false, "why"),
                        new Superblock.Rebuild("copy 1", 256, true),
                        Superblock.Doubt.NONE,
                        4096));
    }

    @Test
    void aReplicaKeepsItsIncarnationOverKillsAndCleanReboots() {
        Superblock killed = superblock().opened("boot 1", false);

        assertThat(killed.opened("boot 1", false).life().incarnation()).isEqualTo("boot 1");
        assertThat(killed.closedCleanly().opened("boot 2", false).life().incarnation())
                .isEqualTo("boot 1");
    }

    @Test
    void powerLossAndDamageGiveItAnotherIncarnationUntilTheSetHasTakenThatIn() {
        Superblock running = superblock().opened("boot 1", false);

        Superblock afterPowerLoss = running.opened("boot 2", false);
        Superblock damaged = running.opened("boot 1", true);

        assertThat(afterPowerLoss.life().memoryLost()).isTrue();
        assertThat(afterPowerLoss.life().incarnation()).startsWith("boot 2/");
        assertThat(damaged.life().damaged()).isTrue();
        assertThat(damaged.life().incarnation()).startsWith("boot 1/");
        assertThat(damaged.opened("boot 1", false).life().damaged()).isTrue();
        assertThat(damaged.vouched().life().damaged()).isFalse();
    }

    private static Superblock superblock() {
        return new Superblock(
                new Superblock.Seen(new byte[] {1, 2, 3}, 11),
                new Superblock.Fence(7, 70),
                new Superblock.Checkpoint(
                        256, 128, new Lineage(List.of(new TermStart(3, "a", 0), new TermStart(7, "ä-b", 128))), 384),
                new Superblock.Life("boot 1", "boot 1", true, false, false, ""),
                new Superblock.Rebuild("copy 1", 256, true),
                Superblock.Doubt.NONE,
                4096);
    }
}
