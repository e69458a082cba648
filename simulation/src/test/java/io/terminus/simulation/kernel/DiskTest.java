package io.terminus.simulation.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class DiskTest {

    private static final int PAGES = 64;

    private static void fill(Disk.Node file, int from, int pages, int with) throws IOException {
        byte[] bytes = new byte[pages * Disk.PAGE_BYTES];
        Arrays.fill(bytes, (byte) with);
        file.write(ByteBuffer.wrap(bytes), (long) from * Disk.PAGE_BYTES);
    }

    private static Set<Integer> contents(Disk.Node file, int from, int pages) {
        Set<Integer> found = new HashSet<>();
        byte[] all = file.bytes();
        for (int i = from * Disk.PAGE_BYTES; i < (from + pages) * Disk.PAGE_BYTES; i++) {
            found.add((int) all[i]);
        }
        return found;
    }

    @Test
    void aLossOfPowerTakesWhatWasNotSyncedAndNothingElse() throws IOException {
        // given
        Host host = new World(1, false).host("a", 1, 0);
        Disk.Node file = host.disk().create("/file", false);
        fill(file, 0, PAGES, 1);
        file.sync();
        host.disk().syncNames();
        fill(file, 0, PAGES / 2, 2);

        // when
        host.losePower();

        // then
        assertThat(contents(file, 0, PAGES / 2)).containsExactlyInAnyOrder(1, 2);
        assertThat(contents(file, PAGES / 2, PAGES / 2)).containsExactly(1);
    }

    @Test
    void whatALossOfPowerHasLeftStaysOverTheNextOne() throws IOException {
        // given
        Host host = new World(2, false).host("a", 1, 0);
        Disk.Node file = host.disk().create("/file", false);
        host.disk().syncNames();
        fill(file, 0, PAGES, 1);
        file.sync();
        fill(file, 0, PAGES, 2);
        host.losePower();
        byte[] left = file.bytes();

        // when
        host.losePower();

        // then
        assertThat(file.bytes()).isEqualTo(left);
    }

    @Test
    void aFailedSyncIsNotMendedByTheNextOne() throws IOException {
        // given
        Host host = new World(3, false).host("a", 1, 0);
        Disk.Node file = host.disk().create("/file", false);
        host.disk().syncNames();
        fill(file, 0, PAGES, 1);
        file.sync();
        fill(file, 0, PAGES, 2);
        host.disk().failNextSync("/file");
        assertThatThrownBy(file::sync).hasMessageContaining("Input/output error");

        // when
        file.sync();
        host.losePower();

        // then
        assertThat(contents(file, 0, PAGES)).containsExactly(1);
    }

    /** The second sync ends first, or the first one: what both promised is there. */
    @Test
    void syncsThatOverlapBringWhatWasThereWhenTheyBegan() {
        int[] ended = {0};
        for (long seed = 1; seed <= 20; seed++) {
            // given
            World world = new World(seed, false);
            Host host = world.host("a", 1, 0);
            Disk.Node[] file = new Disk.Node[1];
            int[] synced = {0};
            world.spawn(host.process(), "writer", () -> {
                try {
                    file[0] = host.disk().create("/file", false);
                    host.disk().syncNames();
                    for (int i = 1; i <= 2; i++) {
                        int with = i;
                        fill(file[0], 0, PAGES, with);
                        World.spawn("sync", () -> {
                            try {
                                file[0].sync();
                                synced[0] = Math.max(synced[0], with);
                            } catch (IOException e) {
                                throw new IllegalStateException(e);
                            }
                        });
                        World.sleep(100_000);
                    }
                    fill(file[0], 0, PAGES, 3);
                } catch (IOException e) {
                    throw new IllegalStateException(e);
                }
            });

            // when
            world.after(600_000 + seed * 30_000, () -> {
                int safe = synced[0];
                host.losePower();
                if (safe > 0) {
                    ended[0]++;
                    int oldest = contents(file[0], 0, PAGES).stream()
                            .min(Integer::compare)
                            .orElseThrow();
                    assertThat(oldest).isGreaterThanOrEqualTo(safe);
                }
                world.finish();
            });
            world.run();

            // then
            assertThat(world.violation()).isNull();
        }
        assertThat(ended[0]).isGreaterThan(5);
    }

    @Test
    void whatRotsWasSyncedAndIsSomethingElseFromThenOn() throws IOException {
        // given
        World world = new World(4, false);
        Host host = world.host("a", 1, 0);
        Disk.Node file = host.disk().create("/file", false);
        host.disk().syncNames();
        for (int page = 0; page < PAGES; page++) {
            fill(file, page, 1, page + 1);
        }
        file.sync();
        byte[] before = file.bytes();
        host.losePower();

        // when
        String how = host.disk().rot("/file", 5 * Disk.PAGE_BYTES + 700, world.rng("rot 2"));
        host.losePower();

        // then
        assertThat(how).isNotEmpty();
        assertThat(Arrays.mismatch(file.bytes(), before))
                .isBetween(5 * Disk.PAGE_BYTES + 512, 5 * Disk.PAGE_BYTES + 1024);
    }

    /** Also what is as old as the page before last is none of it. */
    @Test
    void whatRotsIsABitOrASectorOfThisFileOfAnotherOneOrOfThePagesLastTime() throws IOException {
        Set<Integer> found = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            // given
            World world = new World(i, false);
            Host host = world.host("a", 1, 0);
            Disk.Node other = host.disk().create("/other", false);
            Disk.Node file = host.disk().create("/file", false);
            host.disk().syncNames();
            fill(other, 0, 1, 7);
            other.sync();
            for (int with = 1; with <= 3; with++) {
                fill(file, 0, 2, with);
                file.sync();
            }
            fill(file, 1, 1, 4);
            file.sync();

            // when
            String how = host.disk().rot("/file", 700, world.rng("rot"));

            // then
            Set<Integer> there = contents(file, 0, 1);
            assertThat(how == null).isEqualTo(there.equals(Set.of(3)));
            found.addAll(there);
        }
        Set<Integer> flipped = new HashSet<>();
        for (int bit = 0; bit < 8; bit++) {
            flipped.add((int) (byte) (3 ^ (1 << bit)));
        }
        assertThat(found).contains(2, 3, 4, 7);
        found.removeAll(Set.of(2, 3, 4, 7));
        assertThat(flipped).containsAll(found);
    }

    @Test
    void aReadFailsOnce() throws IOException {
        // given
        Host host = new World(5, false).host("a", 1, 0);
        Disk.Node file = host.disk().create("/file", false);
        fill(file, 0, 1, 1);
        host.disk().failNextRead("/file");

        // when
        assertThatThrownBy(() -> file.read(ByteBuffer.allocate(1), 0)).hasMessageContaining("Input/output error");

        // then
        assertThat(file.read(ByteBuffer.allocate(1), 0)).isEqualTo(1);
    }
}
