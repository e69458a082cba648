package io.terminus.agent.app;

import io.terminus.agent.volume.TestHooks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Test hooks of a real process: when a file {@code before-send} or {@code before-reply} is in the directory, the thread
 * that comes to that point removes it and stops the whole process with SIGSTOP, as a scheduler or a hypervisor might.
 */
final class StopFiles implements TestHooks {

    private static final Logger LOG = LoggerFactory.getLogger(StopFiles.class);

    private final Path beforeSend;
    private final Path beforeReply;

    StopFiles(Path dir) {
        this.beforeSend = dir.resolve("before-send");
        this.beforeReply = dir.resolve("before-reply");
    }

    @Override
    public void beforeSend() {
        stopIf(beforeSend);
    }

    @Override
    public void beforeReply() {
        stopIf(beforeReply);
    }

    private static void stopIf(Path file) {
        try {
            if (Files.deleteIfExists(file)) {
                LOG.warn("test hook {}: stopping this process", file.getFileName());
                new ProcessBuilder(
                                "kill",
                                "-STOP",
                                Long.toString(ProcessHandle.current().pid()))
                        .inheritIO()
                        .start()
                        .waitFor();
            }
        } catch (IOException e) {
            throw new IllegalStateException("test hook " + file, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
