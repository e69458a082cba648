package io.terminus.agent.volume;

import static io.terminus.agent.volume.Agents.awaitTrue;
import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.volume.Agents.Client;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Agents that are started while their disk has no room for a superblock: what would be written goes to {@code /dev/full}. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class FullDiskStartTest {

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void twoReplicas() throws Exception {
        agents = new Agents(temp, 4 << 20, 4L << 20);
        agents.start("a", "b");
        byte[] ones = new byte[4_096];
        Arrays.fill(ones, (byte) 1);
        new Client(agents.volume("a")).writeAndAwait(0, ones);
    }

    @AfterEach
    void stopAll() throws IOException {
        agents.close();
    }

    @Test
    void aReplicaThatIsNotOpenedForWantOfSpaceIsOpenedWhenThereIsSome() throws Exception {
        agents.agent("b").stop();
        Path full = fillDisk();
        agents.agent("b").startAgain();
        assertThat(agents.volumes("b").byName("v")).isNull();
        agents.awaitInSync("a"); // or the set of before would pass for the one with b back

        Files.delete(full);

        awaitTrue(() -> agents.volumes("b").byName("v") != null);
        assertThat(agents.replica("b").superblock().life().damaged()).isFalse();
        awaitTrue(() -> agents.members().contains("b"));
        agents.promote("b");
        assertThat(agents.client("b").read(0, 4_096)).containsOnly(1);
    }

    @Test
    void aStartGivesUpTheSpaceThatIsHeldBackBeforeItDoesWithoutAReplica() throws Exception {
        // given
        agents.agent("b").stop();
        Path reserve = agents.agent("b").directory().resolve("reserve");
        assertThat(reserve).isNotEmptyFile();
        fillDisk();

        // when
        agents.agent("b").startAgain();

        // then
        assertThat(agents.volumes("b").byName("v")).isNull();
        assertThat(reserve).doesNotExist();
    }

    @Test
    void whatAJournalLacksIsKnownAlsoIfItsFirstStartHadNoSpace() throws Exception {
        agents.agent("b").kill();
        Path segment = firstSegment();
        Files.delete(segment);
        Path full = fillDisk();
        agents.agent("b").startAgain();
        assertThat(segment).doesNotExist(); // or nothing would show that it was gone

        Files.delete(full);

        awaitTrue(() -> agents.volumes("b").byName("v") != null);
        assertThat(segment).exists();
        assertThat(agents.replica("b").superblock().life().incarnation()).isNotEqualTo("boot");
    }

    private Path fillDisk() throws IOException {
        return Files.createSymbolicLink(agents.agent("b").directory().resolve("superblock.next"), Path.of("/dev/full"));
    }

    private Path firstSegment() throws IOException {
        try (var files = Files.list(agents.agent("b").directory().resolve("journal"))) {
            List<Path> sorted = files.filter(f -> f.getFileName().toString().matches("0{16}\\..*"))
                    .toList();
            assertThat(sorted).hasSize(1);
            return sorted.getFirst();
        }
    }
}
