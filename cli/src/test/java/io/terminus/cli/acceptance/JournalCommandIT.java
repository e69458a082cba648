package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code terminus journal} as it is built, beside agents that run, and after they were killed. */
@ExtendWith(TellsTime.class)
class JournalCommandIT {

    @Test
    @NeedsClients("qemu-io")
    void operatorsLookIntoAJournalAndAreToldWhatAStartWouldDo() throws IOException {
        try (LiveSet set = LiveSet.start("64MiB")) {
            set.awaitInSync();
            Program.run(
                    set.folder(),
                    "qemu-io",
                    "-f",
                    "raw",
                    "-c",
                    "write -P 1 0 1M",
                    "-c",
                    "flush",
                    "-c",
                    "write -P 2 64k 4k",
                    "-c",
                    "flush",
                    "-c",
                    "write -P 3 96k 4k",
                    set.uri());
            Path image = set.image("b");
            Path replica = set.data("b").resolve("volumes/demo");

            try (Program inspect = journal(set, "inspect", replica.toString(), "--json")) {
                List<JsonNode> lines = inspect.succeed()
                        .lines()
                        .map(JsonMapper.shared()::readTree)
                        .toList();
                assertThat(lines.getFirst().path("volume").asString()).isEqualTo("demo");
                assertThat(lines.stream().map(line -> line.path("length").asLong()))
                        .contains(1L << 20, 4096L);
            }
            try (Program verify = journal(set, "verify", "--replica", replica.toString())) {
                assertThat(verify.succeed()).contains("The journal ends at");
            }

            set.kill("a");
            set.kill("b");
            try (Program verify = journal(set, "verify", replica.toString())) {
                assertThat(verify.succeed()).contains("The journal ends at");
            }
            long second = JournalRecords.beside(image).stream()
                    .map(JournalRecords.Entry::position)
                    .filter(position -> position > 1 << 20)
                    .findFirst()
                    .orElseThrow();
            try (RandomAccessFile segment = new RandomAccessFile(
                    replica.resolve("journal/0000000000000000.seg").toFile(), "rw")) {
                segment.seek(second + 200);
                segment.write(9);
            }
            try (Program verify = journal(set, "verify", replica.toString())) {
                assertThat(verify.exitCode()).isEqualTo(1);
                assertThat(verify.output()).contains("" + second, "damaged");
            }
            try (Program verify = journal(set, "verify", set.data("b").toString())) {
                assertThat(verify.exitCode()).isEqualTo(1);
                assertThat(verify.output()).contains("is no replica", replica.toString());
            }
        }
    }

    private static Program journal(LiveSet set, String... arguments) {
        List<String> command = new ArrayList<>(
                List.of(LiveSet.module().resolve("../terminus").normalize().toString(), "journal"));
        command.addAll(List.of(arguments));
        return Program.start(set.folder(), command, Map.of("TERMINUS_BUILD", "never"));
    }
}
