package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What an operator does to a volume that is in use. */
@ExtendWith(TellsTime.class)
class OperationsIT {

    @RegisterExtension
    static final SharedSet SET = new SharedSet("64MiB", Map.of());

    @Test
    @NeedsClients("qemu-io")
    void blocksThatRottedAtAReplicaAreFoundAndMended() throws IOException {
        LiveSet set = SET.get();
        qemuIo(set, "write -P 0xab 0 8M", "flush");
        set.compareImages();
        try (RandomAccessFile image =
                new RandomAccessFile(set.image(set.replica()).toFile(), "rw")) {
            image.seek(5 * 4096 + 17);
            image.write(7);
        }

        try (Program verify = set.command("verify", "demo", "--json")) {
            assertThat(verify.exitCode()).isEqualTo(1);
            JsonNode found = last(verify.output());
            assertThat(found.path("phase").asString()).isEqualTo("complete");
            assertThat(found.path("differingBlocks").asLong()).isEqualTo(1);
            assertThat(found.path("differing").path(0).path("offset").asLong()).isEqualTo(5 * 4096);
        }
        try (Program status = set.command("status")) {
            assertThat(status.succeed()).contains("1 blocks of 4 KiB differ");
        }
        assertThat(set.terminus("verify", "demo", "--repair")).contains("1 block differs, 1 mended");
        assertThat(set.terminus("verify", "demo", "--peer", set.replica())).contains("nothing differs");
        set.compareImages();
    }

    @Test
    @NeedsClients({"qemu-io", "qemu-img"})
    void aVolumeGrowsUnderItsClientsWhoSeeItWhenTheyConnectAnew() {
        LiveSet set = SET.get();
        long before = set.volume().path("sizeBytes").asLong();
        long more = before + (16 << 20);

        set.terminus("volume", "resize", "demo", Long.toString(more));

        JsonNode info = JsonMapper.shared()
                .readTree(Program.run(set.folder(), "qemu-img", "info", "-f", "raw", "--output=json", set.uri()));
        assertThat(info.path("virtual-size").asLong()).isEqualTo(more);
        qemuIo(set, "write -P 0x11 " + (more - 4096) + " 4096", "flush");
        try (Program less = set.command("volume", "resize", "demo", Long.toString(before))) {
            assertThat(less.exitCode()).isEqualTo(1);
            assertThat(less.output()).contains("only grows");
        }
        set.compareImages();
    }

    @Test
    void theRuleForAcknowledgementsChangesWhileTheVolumeIsInUse() {
        LiveSet set = SET.get();

        assertThat(set.terminus("volume", "set", "demo", "--ack-level", "durable", "--min-copies", "2"))
                .contains("level durable");
        assertThat(set.volume().path("ackLevel").asString()).isEqualTo("durable");
        try (Program wrong = set.command("volume", "set", "demo", "--copies", "3")) {
            assertThat(wrong.exitCode()).isEqualTo(1);
            assertThat(wrong.output()).contains("copies 3", "0 to 2");
        }
        set.terminus("volume", "set", "demo", "--ack-level", "received", "--copies", "0", "--min-copies", "1");

        assertThat(set.volume().path("ackLevel").asString()).isEqualTo("received");
    }

    @Test
    @NeedsClients("qemu-io")
    void aDemotedVolumeWaitsForAPromotion() {
        LiveSet set = SET.get();
        String writer = set.writer();
        String other = set.replica();
        qemuIo(set, "write -P 0x22 0 1M");

        set.terminus("volume", "demote", "demo");

        assertThat(set.volume().path("nbd").isNull()).isTrue();
        assertThat(set.volume().path("detail").asString()).startsWith("demoted");
        set.terminus("volume", "promote", "demo", "--agent", other);
        assertThat(set.writer()).isEqualTo(other).isNotEqualTo(writer);
        qemuIo(set, "read -P 0x22 0 1M");
        set.awaitInSync();
    }

    @Test
    void aDeletedVolumeIsGoneAlsoWhereAnAgentWasAwayAndItsNameIsFree() {
        LiveSet set = SET.get();
        String writer = set.writer();
        String away = set.replica();
        List<Path> files =
                List.of(set.data("a").resolve("volumes/extra"), set.data("b").resolve("volumes/extra"));
        set.terminus("volume", "create", "extra", "--size", "8MiB", "--agent", writer);
        await().atMost(LiveSet.PATIENCE)
                .until(() -> !set.volume("extra").path("nbd").isNull());
        set.kill(away);

        try (Program delete = set.command("volume", "delete", "extra", "--json")) {
            assertThat(JsonMapper.shared()
                            .readTree(delete.succeed())
                            .path("unreached")
                            .path(0)
                            .asString())
                    .isEqualTo(away);
        }
        set.repair();

        await().atMost(LiveSet.PATIENCE).until(() -> files.stream().noneMatch(Files::exists));
        set.terminus("volume", "create", "extra", "--size", "16MiB", "--agent", writer);
        assertThat(set.volume("extra").path("sizeBytes").asLong()).isEqualTo(16 << 20);
        await().atMost(LiveSet.PATIENCE)
                .until(() -> !set.volume("extra").path("nbd").isNull());
        set.terminus("volume", "delete", "extra");
        assertThat(files).noneMatch(Files::exists);
    }

    private static void qemuIo(LiveSet set, String... commands) {
        String[] all = new String[4 + 2 * commands.length];
        all[0] = "qemu-io";
        all[1] = "-f";
        all[2] = "raw";
        for (int i = 0; i < commands.length; i++) {
            all[3 + 2 * i] = "-c";
            all[4 + 2 * i] = commands[i];
        }
        all[all.length - 1] = set.uri();
        assertThat(Program.run(set.folder(), all)).doesNotContain("verification failed");
    }

    private static JsonNode last(String lines) {
        List<String> all = lines.lines().toList();
        return JsonMapper.shared().readTree(all.getLast());
    }
}
