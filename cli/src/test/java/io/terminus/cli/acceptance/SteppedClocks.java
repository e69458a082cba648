package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;

/**
 * A library before the C library of each process adds to the wall clock what stands in a file, so that a step is seen at once,
 * by one process. CLOCK_MONOTONIC and CLOCK_BOOTTIME go on as they are, as they do when an operator or NTP steps the clock.
 * Not stepped: the kernel's own use of the wall clock, which is the times of files and waits until a moment of it. Needs gcc.
 */
final class SteppedClocks implements Clocks {

    private static final String SOURCE = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <fcntl.h>
            #include <stdint.h>
            #include <stdlib.h>
            #include <sys/mman.h>
            #include <sys/time.h>
            #include <time.h>

            static int (*real)(clockid_t, struct timespec *);
            static volatile int64_t *seconds;

            static void __attribute__((constructor)) begin(void) {
                const char *path = getenv("TERMINUS_CLOCK");
                int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
                void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
                if (mapped == MAP_FAILED) abort();
                seconds = mapped;
                real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
            }

            int clock_gettime(clockid_t clock, struct timespec *now) {
                if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
                int result = real(clock, now);
                if (!result && seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *seconds;
                return result;
            }

            int gettimeofday(struct timeval *now, void *zone) {
                struct timespec exact;
                int result = clock_gettime(CLOCK_REALTIME, &exact);
                now->tv_sec = exact.tv_sec;
                now->tv_usec = exact.tv_nsec / 1000;
                return result;
            }

            time_t time(time_t *now) {
                struct timespec exact;
                clock_gettime(CLOCK_REALTIME, &exact);
                if (now) *now = exact.tv_sec;
                return exact.tv_sec;
            }
            """;

    private final Path folder;
    private final Path library;

    private SteppedClocks(Path folder, Path library) {
        this.folder = folder;
        this.library = library;
    }

    static SteppedClocks make(Path folder) {
        try {
            Path source = Files.writeString(folder.resolve("clock.c"), SOURCE);
            Path library = folder.resolve("clock.so");
            Program.run(folder, "gcc", "-shared", "-fPIC", "-O1", "-o", library.toString(), source.toString(), "-ldl");
            SteppedClocks clocks = new SteppedClocks(folder, library);
            FaultySet.PROCESSES.forEach(process -> clocks.step(process, 0));
            return clocks;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public List<String> place(String process) {
        return List.of("env", "LD_PRELOAD=" + library, "TERMINUS_CLOCK=" + offset(process));
    }

    @Override
    public boolean canStep() {
        return true;
    }

    @Override
    public void step(String process, long seconds) {
        ByteBuffer word = ByteBuffer.allocate(Long.BYTES)
                .order(ByteOrder.nativeOrder())
                .putLong(seconds)
                .flip();
        try (FileChannel file = FileChannel.open(
                offset(process), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            file.write(word, 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Path offset(String process) {
        return folder.resolve(process + ".clock");
    }
}
