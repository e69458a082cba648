package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

@EnabledOnOs({OS.LINUX, OS.MAC})
class ProcessIdentityTest {

    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final String mark = ProcessIdentity.mark(UUID.randomUUID().toString(), SetMember.A);
    private Process process;

    @BeforeEach
    void startMarkedProcess() throws IOException {
        // A shell that waits for its input to end, with the mark among its arguments.
        process = new ProcessBuilder("sh", "-c", "read line", mark, "more").start();
    }

    @AfterEach
    void endProcess() {
        process.destroyForcibly();
    }

    @Test
    void findsTheProcessThatWasStarted() {
        ProcessIdentity identity = ProcessIdentity.of(process.toHandle());

        assertThat(identity.find(mark)).contains(process.toHandle());
        assertThat(ProcessIdentity.search(mark)).contains(process.toHandle());
    }

    @Test
    void aProcessWithTheSamePidButAnotherStartIsNotIt() {
        ProcessIdentity identity = ProcessIdentity.of(process.toHandle());
        ProcessIdentity earlier = new ProcessIdentity(identity.pid(), identity.startedMillis() - 60_000);

        assertThat(earlier.find(mark)).isEmpty();
    }

    @Test
    void aProcessWithAnotherMarkIsNotIt() {
        ProcessIdentity identity = ProcessIdentity.of(process.toHandle());

        assertThat(identity.find(ProcessIdentity.mark("other", SetMember.A))).isEmpty();
        // A mark that is only the beginning of this one.
        assertThat(identity.find(mark.substring(0, mark.length() - 1))).isEmpty();
    }

    @Test
    void aProcessThatHasEndedIsNotFound() {
        ProcessIdentity identity = ProcessIdentity.of(process.toHandle());

        process.destroyForcibly();
        process.onExit().join();

        assertThat(identity.find(mark)).isEmpty();
        assertThat(ProcessIdentity.search(mark)).isEmpty();
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aProcessThatNobodyReapedIsNotAlive() throws IOException {
        // The shell's child ends when the shell has become a program that never asks for it.
        Process parent = new ProcessBuilder("sh", "-c", "tail -f /dev/null & echo $!; exec sleep 1000").start();
        try {
            long child = Long.parseLong(parent.inputReader().readLine());
            Path name = Path.of("/proc", Long.toString(parent.pid()), "comm");
            await().atMost(PATIENCE).until(() -> Files.readString(name).strip().equals("sleep"));
            ProcessHandle zombie = ProcessHandle.of(child).orElseThrow();
            zombie.destroyForcibly();
            Path stat = Path.of("/proc", Long.toString(child), "stat");
            await().atMost(PATIENCE).until(() -> Files.readString(stat).contains(") Z "));

            assertThat(ProcessIdentity.isAlive(zombie)).isFalse();
        } finally {
            parent.destroyForcibly();
        }
    }
}
