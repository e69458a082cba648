package io.terminus.agent.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ImageTest {

    private static final int KIB = 1 << 10;
    private static final int MIB = 1 << 20;

    @TempDir
    Path directory;

    private Path path() {
        return directory.resolve("image");
    }

    /** Which calls a file system has. */
    enum FileSystem {
        WITH_EVERYTHING,
        WITHOUT_HOLES,
        WITHOUT_FALLOCATE
    }

    @ParameterizedTest
    @EnumSource
    void anImageIsAnArrayOfBytes(FileSystem fileSystem) throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        int size = 3 * MIB + 4096 + 512;
        byte[] model = new byte[size];
        try (Image image = Image.open(path(), size, file -> new Limited(file, fileSystem))) {
            for (int step = 0; step < 600; step++) {
                int offset = random.nextInt(size);
                int length = random.nextInt(Math.min(size - offset, random.nextBoolean() ? 9000 : 300_000) + 1);
                switch (random.nextInt(5)) {
                    case 0, 1 -> {
                        byte[] bytes = new byte[length];
                        random.nextBytes(bytes);
                        System.arraycopy(bytes, 0, model, offset, length);
                        image.write(ByteBuffer.wrap(bytes), offset);
                    }
                    case 2 -> {
                        Arrays.fill(model, offset, offset + length, (byte) 0);
                        image.zero(offset, length, random.nextBoolean());
                    }
                    case 3 -> image.secure(offset, length);
                    default -> {
                        ByteBuffer read = ByteBuffer.allocate(length);
                        image.read(offset, read);
                        assertThat(read.array())
                                .as("seed %d step %d", seed, step)
                                .isEqualTo(Arrays.copyOfRange(model, offset, offset + length));
                    }
                }
                if (step % 40 == 0) {
                    checkExtents(image, model, random);
                }
            }
            image.sync();
        }
        assertThat(Files.readAllBytes(path())).as("seed %d", seed).isEqualTo(model);
    }

    private static void checkExtents(Image image, byte[] model, Random random) throws IOException {
        int from = random.nextInt(model.length);
        int length = random.nextInt(model.length - from + 1);
        long[] next = {from};
        image.extents(from, length, (offset, extent, data) -> {
            assertThat(offset).isEqualTo(next[0]);
            assertThat(extent).isPositive();
            next[0] += extent;
            if (!data) {
                for (long at = offset; at < offset + extent; at++) {
                    assertThat(model[(int) at]).isZero();
                }
            }
            return true;
        });
        assertThat(next[0]).isEqualTo(from + length);
    }

    @Test
    void aNewImageIsOneHoleOfItsSize() throws IOException {
        try (Image image = Image.open(path(), 100L * MIB + 512)) {
            assertThat(extents(image)).containsExactly("hole 0+" + (100L * MIB + 512));
        }
    }

    @Test
    void allocatedSpaceIsToldFromHolesOverManyBlocks() throws IOException {
        long size = 100L * MIB + 512;
        try (Image image = Image.open(path(), size)) {
            image.secure(8L * MIB + 1, 8L * MIB);
            image.write(ByteBuffer.wrap(filled(4096)), 40L * MIB);
            List<String> space = new ArrayList<>();

            image.space(1, size - 1, (offset, length, what) -> space.add(what + " " + offset + "+" + length));

            assertThat(space)
                    .containsExactly(
                            "HOLE 1+" + (8L * MIB - 1),
                            "ALLOCATED " + 8L * MIB + "+" + (8L * MIB + 64 * KIB),
                            "HOLE " + (16L * MIB + 64 * KIB) + "+" + (24L * MIB - 64 * KIB),
                            "DATA " + 40L * MIB + "+4096",
                            "HOLE " + (40L * MIB + 4096) + "+" + (60L * MIB + 512 - 4096));
        }
    }

    @Test
    void ofAHintToReadAheadTheFirst32MiBAreTakenAndNothingChanges() throws IOException {
        List<String> asked = new ArrayList<>();
        UnaryOperator<NativeFile> listening = real -> new NativeFile(real) {
            @Override
            void willNeed(long offset, long length) {
                asked.add(offset + "+" + length);
                super.willNeed(offset, length);
            }
        };
        try (Image image = Image.open(path(), 64L * MIB, listening)) {
            image.write(ByteBuffer.wrap(filled(MIB)), 0);

            image.willNeed(100, 200 * KIB);
            assertThat(asked).containsExactly("100+131072", "131172+73728");
            asked.clear();
            image.willNeed(0, 64L * MIB);
            assertThat(asked).hasSize(256).startsWith("0+131072").endsWith((32 * MIB - 128 * KIB) + "+131072");

            ByteBuffer read = ByteBuffer.allocate(MIB);
            image.read(0, read);
            assertThat(read.array()).isEqualTo(filled(MIB));
            assertThatIllegalArgumentException().isThrownBy(() -> image.willNeed(64L * MIB, 1));
        }
    }

    @Test
    void punchingMakesAHoleAndZeroingWithoutItDoesNot() throws IOException {
        try (Image image = Image.open(path(), 4L * MIB)) {
            image.write(ByteBuffer.wrap(filled(4 * MIB)), 0);
            image.zero(MIB, MIB, true);
            image.sync();

            assertThat(extents(image))
                    .containsExactly("data 0+1048576", "hole 1048576+1048576", "data 2097152+2097152");
            long before = allocatedBytes();
            image.zero(2L * MIB, MIB, false);
            image.sync();
            assertThat(allocatedBytes()).isGreaterThanOrEqualTo(before);
        }
    }

    @Test
    void securedSpaceIsAllocatedOnceAndForgottenWhenPunched() throws IOException {
        AtomicInteger calls = new AtomicInteger();
        try (Image image = Image.open(path(), 4L * MIB, file -> new NativeFile(file) {
            @Override
            Outcome fallocate(int mode, long offset, long length) throws IOException {
                calls.incrementAndGet();
                return super.fallocate(mode, offset, length);
            }
        })) {
            image.secure(100 * KIB, 100 * KIB);
            assertThat(calls).hasValue(1);
            assertThat(allocatedBytes()).isGreaterThanOrEqualTo(192L * KIB);
            image.secure(64 * KIB, 192 * KIB);
            assertThat(calls).hasValue(1);

            image.zero(100 * KIB, 4 * KIB, true);
            image.secure(64 * KIB, 64 * KIB);

            assertThat(calls).hasValue(3);
            image.secure(64 * KIB, 192 * KIB);
            assertThat(calls).hasValue(3);
        }
    }

    @Test
    void whatHoldsDataIsSecuredWhenAnImageIsOpenedAgain() throws IOException {
        try (Image image = Image.open(path(), 4L * MIB + 512)) {
            image.write(ByteBuffer.wrap(filled(MIB)), 64 * KIB);
            image.write(ByteBuffer.wrap(filled(512)), 4L * MIB);
            image.sync();
        }
        AtomicInteger calls = new AtomicInteger();
        try (Image image = Image.open(path(), 4L * MIB + 512, file -> new NativeFile(file) {
            @Override
            Outcome fallocate(int mode, long offset, long length) throws IOException {
                calls.incrementAndGet();
                return super.fallocate(mode, offset, length);
            }
        })) {
            image.secure(64 * KIB, MIB);
            image.secure(4L * MIB, 512);
            assertThat(calls).hasValue(0);

            image.secure(0, 2L * MIB);

            assertThat(calls).hasValue(2);
            assertThat(Files.size(path())).isEqualTo(4L * MIB + 512);
        }
    }

    @Test
    void noSpaceIsNotFinal() throws IOException {
        boolean[] full = {true};
        try (Image image = Image.open(path(), 4L * MIB, file -> new NativeFile(file) {
            @Override
            Outcome fallocate(int mode, long offset, long length) throws IOException {
                return full[0] ? Outcome.NO_SPACE : super.fallocate(mode, offset, length);
            }
        })) {
            assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> image.secure(0, 4096));

            full[0] = false;

            image.secure(0, 4096);
        }
    }

    @Test
    void aFailedSyncIsFinal() throws IOException {
        try (Image image = Image.open(path(), 4L * MIB, file -> new NativeFile(file) {
            @Override
            void fdatasync() throws IOException {
                throw new IOException("fdatasync failed: EIO");
            }
        })) {
            assertThatExceptionOfType(ImageFailedException.class).isThrownBy(image::sync);

            assertThatExceptionOfType(ImageFailedException.class)
                    .isThrownBy(() -> image.write(ByteBuffer.allocate(1), 0));
            assertThatExceptionOfType(ImageFailedException.class).isThrownBy(() -> image.secure(0, 1));
        }
    }

    @Test
    void anInterruptedReaderLeavesTheImageUsable() throws IOException {
        try (Image image = Image.open(path(), MIB)) {
            Thread.currentThread().interrupt();
            assertThatExceptionOfType(ClosedByInterruptException.class)
                    .isThrownBy(() -> image.read(0, ByteBuffer.allocate(10)));
            assertThat(Thread.interrupted()).isTrue();

            image.write(ByteBuffer.wrap(filled(10)), 0);
            image.sync();
        }
    }

    @Test
    void rangesAndSizesAreChecked() throws IOException {
        try (Image image = Image.open(path(), MIB)) {
            assertThatIllegalArgumentException().isThrownBy(() -> image.write(ByteBuffer.allocate(2), MIB - 1L));
            assertThatIllegalArgumentException().isThrownBy(() -> image.zero(-1, 1, true));
            assertThatIllegalArgumentException().isThrownBy(() -> image.secure(0, Long.MAX_VALUE));
        }
        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> Image.open(path(), MIB / 2).close())
                .withMessageContaining("the volume has 524288");
    }

    @Test
    void anImageGrowsByAHoleAndKeepsWhatItHasAlsoIfThatWasInterrupted() throws IOException {
        byte[] bytes = {1, 2, 3};
        try (Image image = Image.open(path(), MIB + 4096)) {
            image.secure(MIB, 4096);
            image.write(ByteBuffer.wrap(bytes), MIB + 4000);

            image.grow(3L * MIB);

            assertThat(image.sizeBytes()).isEqualTo(3L * MIB);
            ByteBuffer read = ByteBuffer.allocate(8192);
            image.read(MIB, read);
            assertThat(java.util.Arrays.copyOfRange(read.array(), 4000, 4003)).isEqualTo(bytes);
            assertThat(read.array()[8191]).isZero();
            image.secure(MIB, 2L * MIB);
            image.write(ByteBuffer.wrap(bytes), 3L * MIB - 3);
            assertThatIllegalArgumentException().isThrownBy(() -> image.grow(MIB));
        }
        try (Image image = Image.open(path(), 4L * MIB)) { // the superblock said so before a crash
            assertThat(image.sizeBytes()).isEqualTo(4L * MIB);
        }
    }

    @Test
    void anImageThatCannotBeThatLargeStaysAsItIs() throws IOException {
        try (Image image = Image.open(path(), MIB)) {
            assertThatExceptionOfType(IOException.class).isThrownBy(() -> image.requireRoomFor(Long.MAX_VALUE));
            assertThat(path().resolveSibling(path().getFileName() + ".trial")).doesNotExist();
            image.write(ByteBuffer.allocate(1), 0);
        }
    }

    @Test
    void aFullFileSystemRefusesToSecureAndRecovers() throws Exception {
        Path mount = Files.createDirectory(directory.resolve("small"));
        assumeTrue(run("mount", "-t", "tmpfs", "-o", "size=1m", "none", mount.toString()), "only root mounts");
        try (Image image = Image.open(mount.resolve("image"), 8L * MIB)) {
            Path ballast = mount.resolve("ballast");
            Files.write(ballast, filled(800 * KIB));

            assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> image.secure(0, 512 * KIB));
            assertThatExceptionOfType(NoSpaceException.class)
                    .isThrownBy(() -> image.write(ByteBuffer.wrap(filled(512 * KIB)), 0));
            Files.delete(ballast);
            image.secure(0, 512 * KIB);
            image.write(ByteBuffer.wrap(filled(512 * KIB)), 0);
            image.zero(0, 512 * KIB, true);
            Files.write(ballast, filled(800 * KIB));
        } finally {
            assertThat(run("umount", mount.toString())).isTrue();
        }
    }

    private static boolean run(String... command) throws IOException, InterruptedException {
        return new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .start()
                        .waitFor()
                == 0;
    }

    private long allocatedBytes() throws IOException {
        // In blocks of 512 bytes, whatever those of the file system are.
        Process stat = new ProcessBuilder("stat", "-c", "%b", path().toString()).start();
        return 512 * Long.parseLong(new String(stat.getInputStream().readAllBytes()).strip());
    }

    private static List<String> extents(Image image) throws IOException {
        List<String> seen = new ArrayList<>();
        image.extents(
                0,
                image.sizeBytes(),
                (offset, length, data) -> seen.add((data ? "data " : "hole ") + offset + "+" + length));
        return seen;
    }

    private static byte[] filled(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 7);
        return bytes;
    }

    /** A file system that lacks some calls. */
    private static final class Limited extends NativeFile {

        private final FileSystem fileSystem;

        Limited(NativeFile file, FileSystem fileSystem) {
            super(file);
            this.fileSystem = fileSystem;
        }

        @Override
        Outcome fallocate(int mode, long offset, long length) throws IOException {
            boolean has = switch (fileSystem) {
                case WITH_EVERYTHING -> true;
                case WITHOUT_HOLES -> mode == 0;
                case WITHOUT_FALLOCATE -> false;
            };
            return has ? super.fallocate(mode, offset, length) : Outcome.UNSUPPORTED;
        }
    }
}
