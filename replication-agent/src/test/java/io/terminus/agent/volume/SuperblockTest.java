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

        assertThat(Superblock.read(dir).failed()).isEqualTo("fdatasync failed");
        try (var files = Files.list(dir)) {
            assertThat(files).containsExactly(dir.resolve("superblock"));
        }
    }

    @Test
    void aCrashWhileTheNextOneIsWrittenLeavesTheLastOne() throws IOException {
        superblock().write(dir);
        Files.write(dir.resolve("superblock.next"), new byte[] {1, 2, 3});

        Superblock read = Superblock.read(dir);

        assertThat(read.sealedTerm()).isEqualTo(7);
        superblock().sealedBy(8, 100).write(dir);
        assertThat(Superblock.read(dir).sealedTerm()).isEqualTo(8);
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
        ByteBuffer.wrap(bytes).putInt(8, 2);
        Files.write(file, bytes);

        assertThatThrownBy(() -> Superblock.read(dir))
                .isInstanceOf(Superblock.UnreadableException.class)
                .hasMessageContaining("has format 2; this version reads format 1 only");
    }

    @Test
    void eachChangeKeepsEverythingElse() {
        Superblock before = superblock();

        Superblock after = before.withConfig(new byte[] {9}, 12)
                .sealedBy(9, 90)
                .checkpointed(1024, 512, Lineage.EMPTY, 2048)
                .opened("boot 2", true)
                .failedBecause("why");

        assertThat(after)
                .usingRecursiveComparison()
                .isEqualTo(new Superblock(
                        new byte[] {9}, 12, 9, 90, 1024, 512, Lineage.EMPTY, 2048, "boot 2", false, true, "why"));
        assertThat(before.closedCleanly().clean()).isTrue();
        assertThat(before.closedCleanly().opened("boot 1", false).clean()).isFalse();
        assertThat(before.withMemoryLost(true).memoryLost()).isTrue();
    }

    private static Superblock superblock() {
        return new Superblock(
                new byte[] {1, 2, 3},
                11,
                7,
                70,
                256,
                128,
                new Lineage(List.of(new TermStart(3, "a", 0), new TermStart(7, "ä-b", 128))),
                384,
                "boot 1",
                true,
                false,
                "");
    }
}
