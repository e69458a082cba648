package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A replica that is new, and far from complete, shows the whole volume to whoever only reads. */
@ExtendWith(TellsTime.class)
class ReplicaReadsIT {

    private static final String SIZE = "64MiB";

    /** Small, so that its begin is soon given up. */
    private static final String JOURNAL_BUDGET_MIB = "256";

    /** Of the whole volume: four times the budget. */
    private static final int MOST_ROUNDS = 16;

    @Test
    @NeedsClients({"qemu-io", "qemu-img", "nbdinfo"})
    void aReplicaThatIsNewServesReadsBeforeItIsComplete() {
        try (LiveSet set = LiveSet.start(SIZE, Map.of("AGENT_JOURNALBUDGETMIB", JOURNAL_BUDGET_MIB))) {
            String writer = set.writer();
            String other = set.replica();
            set.awaitInSync();
            set.terminus("peer", "remove", "demo", other, "--delete");
            // Until the begin of the journal is gone: else nothing would have to be copied.
            Path begin = set.folder().resolve("terminus/" + writer + "/volumes/demo/journal/0000000000000000.seg");
            int rounds = 0;
            while (Files.exists(begin)) {
                rounds++;
                assertThat(rounds).as("rounds of writes").isLessThanOrEqualTo(MOST_ROUNDS);
                qemuIo(
                        set,
                        set.uri(),
                        "write -P " + rounds + " 0 32M",
                        "write -P " + (100 + rounds) + " 32M 32M",
                        "flush");
            }
            set.terminus("peer", "throttle", "demo", "1MiB");
            set.terminus("peer", "add", "demo", other);
            await().atMost(LiveSet.PATIENCE).until(() -> isCopiedTo(set, other));
            String replica = set.uri().replace(port(set.uri()), nbdPort(set, other)) + "@replica";

            qemuIo(set, replica, "read -P " + rounds + " 0 32M", "read -P " + (100 + rounds) + " 32M 32M");
            qemuIo(set, set.uri(), "write -P 0x77 63M 1M");
            qemuIo(set, replica, "read -P 0x77 63M 1M");

            assertThat(isCopiedTo(set, other)).isTrue();
            JsonNode info = JsonMapper.shared().readTree(Program.run(set.folder(), "nbdinfo", "--json", replica));
            assertThat(info.path("exports").path(0).path("is_read_only").asBoolean())
                    .isTrue();
            try (Program write =
                    Program.start(set.folder(), List.of("qemu-io", "-f", "raw", "-c", "write 0 4k", replica))) {
                assertThat(write.exitCode()).isNotZero();
            }
            set.terminus("peer", "throttle", "demo", "off");
            set.awaitInSync();
            Path copy = set.folder().resolve("replica.raw");
            Program.run(set.folder(), "qemu-img", "convert", "-f", "raw", "-O", "raw", replica, copy.toString());
            Program.run(set.folder(), "qemu-img", "compare", "-f", "raw", "-F", "raw", set.uri(), copy.toString());
            assertThat(set.writer()).isEqualTo(writer);
        }
    }

    private static boolean isCopiedTo(LiveSet set, String agent) {
        for (JsonNode replica : set.volume().path("replicas")) {
            if (replica.path("agent").asString().equals(agent)) {
                return !replica.path("copy").isNull()
                        && replica.path("copy").path("phase").asString().equals("copying");
            }
        }
        return false;
    }

    private static String port(String uri) {
        return uri.replaceAll(".*:(\\d+)/.*", "$1");
    }

    private static String nbdPort(LiveSet set, String agent) {
        for (JsonNode process : set.status().path("processes")) {
            if (process.path("name").asString().equals(agent)) {
                return process.path("endpoints").path("nbd").asString().replaceAll(".*:", "");
            }
        }
        throw new AssertionError("no agent " + agent);
    }

    private static void qemuIo(LiveSet set, String uri, String... commands) {
        String[] all = new String[4 + 2 * commands.length];
        all[0] = "qemu-io";
        all[1] = uri.endsWith("@replica") ? "-rf" : "-f";
        all[2] = "raw";
        for (int i = 0; i < commands.length; i++) {
            all[3 + 2 * i] = "-c";
            all[4 + 2 * i] = commands[i];
        }
        all[all.length - 1] = uri;
        assertThat(Program.run(set.folder(), all)).doesNotContain("verification failed", "error");
    }
}
