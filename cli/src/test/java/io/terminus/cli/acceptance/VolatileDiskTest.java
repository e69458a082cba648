package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VolatileDiskTest {

    private static final int SECTOR = VolatileDisk.SECTOR_BYTES;
    private static final int SECTORS = 64;
    private static final long SIZE = SECTORS * SECTOR;
    private static final int EIO = 5;

    @TempDir
    Path folder;

    private FileChannel medium;

    @BeforeEach
    void open() throws IOException {
        medium = FileChannel.open(
                folder.resolve("medium"), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    }

    @AfterEach
    void close() throws IOException {
        medium.close();
    }

    @Test
    void afterALossOfPowerASectorIsAnyVersionFromTheLastFlushOn() {
        long seed = Long.getLong("terminus.seed", new Random().nextInt());
        Random chance = new Random(seed);
        VolatileDisk disk = honest(SIZE, chance);
        List<List<Byte>> possible = new ArrayList<>();
        for (int i = 0; i < SECTORS; i++) {
            possible.add(new ArrayList<>(List.of((byte) 0)));
        }

        for (int step = 0; step < 20_000; step++) {
            int first = chance.nextInt(SECTORS);
            int count = 1 + chance.nextInt(Math.min(16, SECTORS - first));
            switch (chance.nextInt(40)) {
                case 0 -> {
                    disk.flush(step);
                    possible.forEach(
                            versions -> versions.subList(0, versions.size() - 1).clear());
                }
                case 1 -> {
                    VolatileDisk.Lost unused = disk.losePower();
                    for (int i = 0; i < SECTORS; i++) {
                        byte found = version(disk, i);
                        assertThat(possible.get(i))
                                .as("seed %d, sector %d", seed, i)
                                .contains(found);
                        possible.set(i, new ArrayList<>(List.of(found)));
                    }
                }
                default -> {
                    byte version = (byte) (1 + step % 127);
                    disk.write((long) first * SECTOR, filled(count, version));
                    for (int i = first; i < first + count; i++) {
                        possible.get(i).add(version);
                    }
                }
            }
            assertThat(version(disk, first))
                    .as("seed %d", seed)
                    .isEqualTo(possible.get(first).getLast());
        }
    }

    @Test
    void partOfAWriteMayBeLost() {
        Random chance = new Random(1);
        VolatileDisk disk = honest(SIZE, chance);
        Set<Integer> left = new HashSet<>();

        for (int i = 1; i < 100; i++) {
            disk.write(0, filled(8, (byte) i));
            VolatileDisk.Lost lost = disk.losePower();
            assertThat(lost.sectors() + lost.kept()).isEqualTo(8);
            int there = 0;
            for (int sector = 0; sector < 8; sector++) {
                there += version(disk, sector) == i ? 1 : 0;
            }
            assertThat(there).isEqualTo((int) lost.kept());
            for (int sector = 0; sector < 8; sector += 2) {
                assertThat(version(disk, sector) == i).as("half a piece").isEqualTo(version(disk, sector + 1) == i);
            }
            left.add(there);
        }

        assertThat(left).as("none, all, and some").contains(0, 8, 2, 6);
    }

    @Test
    void theCacheIsBoundedAndWhatIsOverIsOnTheMedium() {
        VolatileDisk disk = honest(4 * SECTOR, new Random(1));

        for (int i = 0; i < 10; i++) {
            disk.write((long) i * SECTOR, filled(1, (byte) (i + 1)));
            assertThat(disk.cachedSectors()).isLessThanOrEqualTo(4);
        }

        VolatileDisk.Lost lost = disk.losePower();
        assertThat(lost.sectors() + lost.kept()).isEqualTo(4);
        for (int i = 0; i < 6; i++) {
            assertThat(version(disk, i)).as("the oldest went first").isEqualTo((byte) (i + 1));
        }
    }

    @Test
    void oneThatLiesLosesWhatWasFlushedWithinItsLieAndNothingBefore() {
        VolatileDisk disk = new VolatileDisk(medium, SIZE, SIZE, 100, new Random(1));
        disk.write(0, filled(1, (byte) 1));
        disk.flush(1_000);
        disk.write(0, filled(1, (byte) 2));
        disk.write(SECTOR, filled(1, (byte) 2));
        disk.flush(1_150);
        assertThat(version(disk, 0)).as("nobody sees it before").isEqualTo((byte) 2);

        VolatileDisk.Lost unused = disk.losePower();

        assertThat(version(disk, 0)).isEqualTo((byte) 1);
        assertThat(version(disk, 1)).isEqualTo((byte) 0);
    }

    @Test
    void whatIsNoRangeOfSectorsIsRefused() {
        VolatileDisk disk = honest(SIZE, new Random(1));

        assertThatThrownBy(() -> disk.write(SIZE - SECTOR, filled(2, (byte) 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("of a disk of " + SIZE);
        assertThatThrownBy(() -> disk.read(1, SECTOR)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void withoutPowerRequestsWaitAndThenFailAndANewConnectionFindsWhatWasFlushed() throws IOException {
        VolatileDisk disk = honest(SIZE, new Random(1));
        VolatileDiskServer server = new VolatileDiskServer(disk);
        InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), server.serve());
        try (NbdConnection before = NbdConnection.open(address, "", 5_000)) {
            before.send(NbdConnection.WRITE, 0, 1, 0, SECTOR, filled(1, (byte) 7));
            before.send(NbdConnection.FLUSH, 0, 2, 0, 0, new byte[0]);
            assertThat(before.receive(5_000).error()).isZero();
            assertThat(before.receive(5_000).error()).isZero();

            assertThat(server.obey("cut")).isEqualTo("0 sectors lost, 0 kept");
            before.send(NbdConnection.WRITE, 0, 3, 0, SECTOR, filled(1, (byte) 8));
            assertThatThrownBy(() -> before.receive(50)).isInstanceOf(SocketTimeoutException.class);
            assertThat(server.obey("fail")).isEqualTo("done");
            assertThat(before.receive(5_000).error()).isEqualTo(EIO);

            assertThat(server.obey("restore")).isEqualTo("done");
            before.send(NbdConnection.READ, 0, 4, 0, SECTOR, new byte[0]);
            assertThat(before.receive(5_000).error())
                    .as("to a connection of before")
                    .isEqualTo(EIO);
        }
        try (NbdConnection after = NbdConnection.open(address, "", 5_000)) {
            after.send(NbdConnection.READ, 0, 1, 0, SECTOR, new byte[0]);
            assertThat(after.receive(5_000).error()).isZero();
            assertThat(after.data(SECTOR)).isEqualTo(filled(1, (byte) 7));
        }
    }

    private VolatileDisk honest(long boundBytes, Random chance) {
        return new VolatileDisk(medium, SIZE, boundBytes, 0, chance);
    }

    private static byte[] filled(int sectors, byte version) {
        byte[] bytes = new byte[sectors * SECTOR];
        Arrays.fill(bytes, version);
        return bytes;
    }

    /** What all bytes of the sector are. */
    private static byte version(VolatileDisk disk, int sector) {
        byte[] data = disk.read((long) sector * SECTOR, SECTOR);
        assertThat(data).isEqualTo(filled(1, data[0]));
        return data[0];
    }
}
