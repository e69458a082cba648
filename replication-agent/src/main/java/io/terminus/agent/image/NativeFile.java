package io.terminus.agent.image;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.file.Path;

/**
 * A file descriptor and the Linux calls that Java does not have. The constants are those of x86-64 and aarch64, which agree on all of
 * them. fdatasync is among the calls because, unlike a FileChannel's, it is not undone by an interrupt and its error cannot hide
 * behind one. Any thread; closing is the owner's, when no call is under way.
 */
@SuppressWarnings("restricted") // the one class of this package that calls native code
class NativeFile implements AutoCloseable {

    static final int FALLOC_FL_KEEP_SIZE = 0x01;
    static final int FALLOC_FL_PUNCH_HOLE = 0x02;
    static final int FALLOC_FL_ZERO_RANGE = 0x10;

    private static final int EINTR = 4;
    private static final int EIO = 5;
    private static final int ENXIO = 6;
    private static final int ENODEV = 19;
    private static final int EINVAL = 22;
    private static final int ENOSPC = 28;
    private static final int ENOSYS = 38;
    private static final int EOPNOTSUPP = 95;
    private static final int EDQUOT = 122;

    private static final int O_RDWR = 2;
    private static final int O_CLOEXEC = 0x80000;
    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;
    private static final int POSIX_FADV_WILLNEED = 3;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final MemoryLayout STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
    private static final ThreadLocal<MemorySegment> CAPTURED =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(STATE));

    private static final MethodHandle OPEN = call(
            "open",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle CLOSE =
            call("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
    private static final MethodHandle FALLOCATE = call(
            "fallocate",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG));
    private static final MethodHandle LSEEK = call(
            "lseek",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));
    private static final MethodHandle FADVISE = call(
            "posix_fadvise",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_INT));
    private static final MethodHandle FDATASYNC =
            call("fdatasync", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

    /** What became of an fallocate. */
    enum Outcome {
        DONE,
        NO_SPACE,
        /** This file system cannot. */
        UNSUPPORTED
    }

    private final Path path;
    private final int descriptor;

    /** The simulation has files of its own. */
    NativeFile(Path path, int descriptor) {
        this.path = path;
        this.descriptor = descriptor;
    }

    protected NativeFile(NativeFile other) {
        this(other.path, other.descriptor);
    }

    static NativeFile open(Path path) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocateFrom(path.toString());
            MemorySegment captured = CAPTURED.get();
            int descriptor;
            do {
                descriptor = (int) OPEN.invokeExact(captured, name, O_RDWR | O_CLOEXEC);
            } while (descriptor < 0 && errno() == EINTR);
            if (descriptor < 0) {
                throw new IOException("open of " + path + " failed: errno " + errno());
            }
            return new NativeFile(path, descriptor);
        } catch (IOException | RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("open", e);
        }
    }

    Outcome fallocate(int mode, long offset, long length) throws IOException {
        int result;
        try {
            do {
                result = (int) FALLOCATE.invokeExact(CAPTURED.get(), descriptor, mode, offset, length);
            } while (result != 0 && errno() == EINTR);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("fallocate", e);
        }
        if (result == 0) {
            return Outcome.DONE;
        }
        return switch (errno()) {
            case ENOSPC, EDQUOT -> Outcome.NO_SPACE;
            case EOPNOTSUPP, ENOSYS, ENODEV, EINVAL -> Outcome.UNSUPPORTED;
            default -> throw failure("fallocate(" + mode + ", " + offset + ", " + length + ")");
        };
    }

    /** The first offset from {@code offset} on that holds data; -1 if none does. */
    long nextData(long offset) throws IOException {
        return seek(offset, SEEK_DATA);
    }

    /** The first offset from {@code offset}, which lies within the file, on that holds none; the file's end counts as a hole. */
    long nextHole(long offset) throws IOException {
        return seek(offset, SEEK_HOLE);
    }

    /** The kernel is asked to read ahead; whether it does is its own affair. */
    void willNeed(long offset, long length) {
        try {
            int ignored = (int) FADVISE.invokeExact(CAPTURED.get(), descriptor, offset, length, POSIX_FADV_WILLNEED);
            assert ignored >= 0;
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("posix_fadvise", e);
        }
    }

    void fdatasync() throws IOException {
        int result;
        try {
            do {
                result = (int) FDATASYNC.invokeExact(CAPTURED.get(), descriptor);
            } while (result != 0 && errno() == EINTR);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("fdatasync", e);
        }
        if (result != 0) {
            throw failure("fdatasync");
        }
    }

    @Override
    public void close() throws IOException {
        int result;
        try {
            result = (int) CLOSE.invokeExact(CAPTURED.get(), descriptor);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("close", e);
        }
        // Linux has closed the descriptor even if it was interrupted.
        if (result != 0 && errno() != EINTR) {
            throw failure("close");
        }
    }

    private long seek(long offset, int whence) throws IOException {
        long found;
        try {
            found = (long) LSEEK.invokeExact(CAPTURED.get(), descriptor, offset, whence);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new LinkageError("lseek", e);
        }
        if (found < 0 && errno() != ENXIO) {
            throw failure("lseek(" + offset + ", " + whence + ")");
        }
        return found;
    }

    private IOException failure(String call) {
        int errno = errno();
        return new IOException(call + " on " + path + " failed: " + (errno == EIO ? "EIO" : "errno " + errno));
    }

    private static int errno() {
        return (int) ERRNO.get(CAPTURED.get(), 0L);
    }

    private static MethodHandle call(String name, FunctionDescriptor descriptor, Linker.Option... options) {
        Linker.Option[] all = new Linker.Option[options.length + 1];
        System.arraycopy(options, 0, all, 0, options.length);
        all[options.length] = Linker.Option.captureCallState("errno");
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor, all);
    }
}
