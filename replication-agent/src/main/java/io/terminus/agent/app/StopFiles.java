package io.terminus.agent.app;

import io.terminus.agent.volume.TestHooks;
import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Test hooks of a real process: when a file {@code before-send} or {@code before-reply} is in the directory, the thread
 * that comes to that point removes it and stops the whole process with SIGSTOP, as a scheduler or a hypervisor might. The
 * signal is sent by a call, not by a program: one takes milliseconds to start, in which other threads would send what this
 * point is to hold back.
 */
final class StopFiles implements TestHooks {

    private static final Logger LOG = LoggerFactory.getLogger(StopFiles.class);

    /** On x86-64 and aarch64. */
    private static final int SIGSTOP = 19;

    private final Path beforeSend;
    private final Path beforeReply;

    /**
     * Linked beforehand, which takes milliseconds too. The signal goes to the calling thread, which so comes no further: sent to the process
     * it stops that thread only when another one has been given a CPU.
     */
    private final MethodHandle raise;

    @SuppressWarnings("restricted") // Java has no call for it
    StopFiles(Path dir) {
        this.beforeSend = dir.resolve("before-send");
        this.beforeReply = dir.resolve("before-reply");
        Linker linker = Linker.nativeLinker();
        this.raise = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("raise"),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
    }

    @Override
    public void beforeSend() {
        stopIf(beforeSend);
    }

    @Override
    public void beforeReply() {
        stopIf(beforeReply);
    }

    private void stopIf(Path file) {
        try {
            if (Files.deleteIfExists(file)) {
                stop();
                LOG.warn("test hook {}: this process was stopped", file.getFileName());
            }
        } catch (IOException e) {
            throw new IllegalStateException("test hook " + file, e);
        }
    }

    private void stop() {
        int result;
        try {
            result = (int) raise.invokeExact(SIGSTOP);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("raise", e);
        }
        if (result != 0) {
            throw new IllegalStateException("raise of SIGSTOP answered " + result);
        }
    }
}
