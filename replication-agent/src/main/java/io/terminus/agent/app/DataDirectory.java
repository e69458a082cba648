package io.terminus.agent.app;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * The agent's directory, locked for this process: whoever had it before is dead. {@code agent} names the format and the
 * agent it belongs to.
 */
final class DataDirectory implements AutoCloseable {

    private static final String FORMAT = "terminus-agent 1";

    private final Path dir;
    private final FileChannel channel;
    private final FileLock lock;

    private DataDirectory(Path dir, FileChannel channel, FileLock lock) {
        this.dir = dir;
        this.channel = channel;
        this.lock = lock;
    }

    static DataDirectory open(Path dir, String agent) {
        try {
            Files.createDirectories(dir);
            FileChannel channel =
                    FileChannel.open(dir.resolve("agent.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            FileLock lock;
            try {
                lock = channel.tryLock();
            } catch (OverlappingFileLockException e) {
                lock = null;
            }
            if (lock == null) {
                channel.close();
                throw new StartRefusedException("data directory " + dir + " is in use by another agent process");
            }
            Path version = dir.resolve("agent");
            String mine = FORMAT + " " + agent;
            if (!Files.exists(version)) {
                write(dir, version, mine + "\n");
            }
            String found = Files.readString(version).strip();
            if (!found.equals(mine)) {
                channel.close();
                throw new StartRefusedException("data directory " + dir + " is of \"" + found
                        + "\" (format, version, agent), this process is \"" + mine + "\"");
            }
            return new DataDirectory(dir, channel, lock);
        } catch (IOException e) {
            throw new StartRefusedException("data directory " + dir + " cannot be used: " + e, e);
        }
    }

    /** Whole or not at all, and there for good: without it no later start takes the directory for this agent's. */
    private static void write(Path dir, Path file, String text) throws IOException {
        Path next = file.resolveSibling(file.getFileName() + ".next");
        try (FileChannel channel = FileChannel.open(
                next, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
            channel.force(true);
        }
        Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel directory = FileChannel.open(dir, StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    Path path() {
        return dir;
    }

    /** Doing it again does nothing. */
    @Override
    public void close() throws IOException {
        if (channel.isOpen()) {
            lock.release();
            channel.close();
        }
    }
}
