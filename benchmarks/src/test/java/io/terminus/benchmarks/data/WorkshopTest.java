package io.terminus.benchmarks.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WorkshopTest {

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path parent;

    @Test
    void nothingIsLeftOfIt() throws IOException {
        Daemon daemon;
        Path directory;
        try (Workshop workshop = Workshop.open(parent, parent)) {
            daemon = workshop.start("sleeper", List.of("sleep", "1000"));
            directory = workshop.directory();
        }

        assertThat(ProcessHandle.of(daemon.pid()).filter(ProcessHandle::isAlive))
                .isEmpty();
        assertThat(directory).doesNotExist();
    }

    @Test
    void whatAKilledRunLeftIsRemovedByTheNextAndNothingElse() throws IOException {
        // No process has this number: it is above the highest that Linux gives.
        Path leftOver =
                Files.createDirectories(parent.resolve("bench-data-99999999").resolve("data"));
        Path another = Files.createDirectories(parent.resolve("bench-data-mine"));

        Workshop.open(parent, parent).close();

        assertThat(leftOver.getParent()).doesNotExist();
        assertThat(another).exists();
    }

    @Test
    void aProgramThatFailsSaysWhy() throws IOException {
        try (Workshop workshop = Workshop.open(parent, parent)) {
            assertThatThrownBy(() -> workshop.run(List.of("sh", "-c", "echo no such luck >&2; exit 3")))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("ended with 3")
                    .hasMessageContaining("no such luck");
        }
    }

    @Test
    void aDaemonThatIsGoneIsNotTakenForTheOneThatAnswers() throws IOException, InterruptedException {
        try (Workshop workshop = Workshop.open(parent, parent)) {
            Daemon daemon = workshop.start("sleeper", List.of("sleep", "1000"));
            daemon.requireAlive();

            daemon.kill();

            assertThatThrownBy(daemon::requireAlive).hasMessageContaining("sleeper ended");
        }
    }
}
