package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIOException;

import io.terminus.agent.journal.Lineage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SuperblockFileTest {

    private static final Superblock FIRST = new Superblock(
            new Superblock.Seen(new byte[0], 0),
            new Superblock.Fence(0, 0),
            new Superblock.Checkpoint(0, 0, Lineage.EMPTY, 0),
            ReplicaFiles.first("boot"),
            Superblock.Rebuild.NONE);

    @TempDir
    private Path dir;

    private SuperblockFile file;
    private Path reserve;

    @BeforeEach
    void aFile() throws IOException {
        FIRST.write(dir);
        file = new SuperblockFile(dir, FIRST);
        reserve = dir.resolve("reserve");
    }

    @Test
    void aChangeIsInTheFileWhenItReturns() throws IOException {
        file.update(s -> s.with(new Superblock.Fence(7, 70)));

        assertThat(Superblock.read(dir).fence().term()).isEqualTo(7);
        assertThat(file.get().fence().token()).isEqualTo(70);
    }

    @Test
    void spaceForTheNextOneIsHeldBackAndAgainWhenItWasGivenUp() throws IOException {
        file.update(s -> s);
        assertThat(reserve).hasSize(64 << 10);
        Files.delete(reserve);

        file.update(s -> s);

        assertThat(reserve).hasSize(64 << 10);
    }

    @Test
    void onAFullDiskTheSpaceThatIsHeldBackIsGivenUpAndWithoutThatNothingHasChanged() throws IOException {
        file.keepReserve();
        theDiskIsFull();

        assertThatExceptionOfType(DiskFullException.class)
                .as("somebody else has taken the space that was given up")
                .isThrownBy(() -> file.update(s -> s.with(new Superblock.Fence(7, 70))));
        assertThat(reserve).doesNotExist();
        assertThatExceptionOfType(DiskFullException.class)
                .isThrownBy(() -> file.update(s -> s.with(new Superblock.Fence(8, 80))));

        assertThat(file.get().fence().term()).isZero();
        assertThat(Superblock.read(dir).fence().term()).isZero();
        Files.delete(dir.resolve("superblock.next"));
        file.update(s -> s.with(new Superblock.Fence(9, 90)));
        assertThat(Superblock.read(dir).fence().term()).isEqualTo(9);
    }

    @Test
    void anyOtherFailureCostsNoReserve() throws IOException {
        file.keepReserve();
        Files.createDirectory(dir.resolve("superblock.next"));

        assertThatIOException()
                .isThrownBy(() -> file.update(s -> s.with(new Superblock.Fence(7, 70))))
                .isNotInstanceOf(DiskFullException.class);

        assertThat(reserve).exists();
        assertThat(file.get().fence().term()).isZero();
    }

    /** What is written beside the superblock goes where there is never any space. */
    private void theDiskIsFull() throws IOException {
        Files.createSymbolicLink(dir.resolve("superblock.next"), Path.of("/dev/full"));
    }
}
