package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Disks that are smaller than the volume on them. */
@ExtendWith(TellsTime.class)
@NeedsClients("python3-libnbd")
class FullDiskIT {

    @Test
    void aFullDiskGivesEnospcAndLosesNothing() throws IOException {
        LiveSet set = LiveSet.make(Map.of());
        try (SmallDisk a = SmallDisk.mount(set, "a", "320m");
                SmallDisk b = SmallDisk.mount(set, "b", "320m");
                set) {
            set.create("512MiB");
            Path book = set.folder().resolve("book");

            String said = sequence(set, "write", book, "0", "512");
            long acknowledged = lines(book);
            assertThat(said).contains("ENOSPC");
            assertThat(acknowledged).isPositive();
            a.fill();
            b.fill();
            // What has its space can be written again while the journal finds some; ENOSPC is the worst it says.
            for (int i = 0; i < 3; i++) {
                sequence(set, "write", book, "0", Long.toString(acknowledged));
            }
            assertThat(set.log("a") + set.log("b")).doesNotContain("stops for good");
            sequence(set, "check", book);

            a.grow("1g");
            b.grow("1g");
            await().atMost(LiveSet.PATIENCE)
                    .until(() -> sequence(set, "write", book, Long.toString(acknowledged), "512")
                            .contains("all written"));
            set.awaitInSync();
            sequence(set, "check", book);
            set.stopAndCompareImages();
        }
    }

    @Test
    void aFullDiskAtTheReplicaStopsNobodyAndItCatchesUp() throws IOException {
        LiveSet set = LiveSet.make(Map.of());
        try (SmallDisk b = SmallDisk.mount(set, "b", "320m");
                set) {
            set.create("512MiB");
            Path book = set.folder().resolve("book");

            String said = sequence(set, "write", book, "0", "512");
            assertThat(said).contains("all written");
            assertThat(set.writer()).isEqualTo("a");
            await().atMost(LiveSet.PATIENCE).until(() -> !inSync(set, "b"));

            b.grow("1g");
            set.awaitInSync();
            sequence(set, "check", book);
            set.stopAndCompareImages();
        }
    }

    private static boolean inSync(LiveSet set, String agent) {
        return set.volume()
                .path("replicas")
                .valueStream()
                .anyMatch(replica -> replica.path("agent").asString().equals(agent)
                        && replica.path("inSync").asBoolean());
    }

    private static String sequence(LiveSet set, String verb, Path book, String... more) {
        List<String> command = new ArrayList<>(List.of("/usr/bin/python3", script(), verb, set.uri(), book.toString()));
        command.addAll(List.of(more));
        return Program.run(set.folder(), command.toArray(String[]::new));
    }

    private static long lines(Path book) throws IOException {
        return Files.readAllLines(book).size();
    }

    private static String script() {
        try {
            return Path.of(Objects.requireNonNull(FullDiskIT.class.getResource("/sequence.py"))
                            .toURI())
                    .toString();
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    /** A disk in memory for the data of one process. */
    private record SmallDisk(Path folder, Path place) implements AutoCloseable {

        static SmallDisk mount(LiveSet set, String process, String size) throws IOException {
            Machine.needsRoot("a full disk");
            Path place = Files.createDirectories(set.data(process));
            Machine.needs(
                    Machine.succeeds(
                            set.folder(), "mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", place.toString()),
                    "a full disk",
                    "tmpfs cannot be mounted here");
            return new SmallDisk(set.folder(), place);
        }

        /** To the last page. */
        void fill() {
            assertThat(Machine.succeeds(
                            folder, "dd", "if=/dev/zero", "of=" + place.resolve("filler"), "bs=4096", "status=none"))
                    .as("dd filled the disk")
                    .isFalse();
        }

        void grow(String size) {
            Program.run(folder, "mount", "-o", "remount,size=" + size, place.toString());
        }

        @Override
        public void close() {
            Machine.succeeds(folder, "umount", place.toString());
        }
    }
}
