package io.terminus.lockmgr.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** Every step by which the store changes its directory goes through here, so that tests can end the process at each. */
class StoreDisk {

    LogFile create(Path file) throws IOException {
        return new LogFile(file);
    }

    void write(LogFile file, ByteBuffer bytes) throws IOException {
        file.write(bytes);
    }

    void sync(LogFile file) throws IOException {
        file.sync();
    }

    /** The map writes itself; nobody has it open now. */
    void syncMap(Path map) throws IOException {
        try (FileChannel channel = FileChannel.open(map, StandardOpenOption.WRITE)) {
            channel.force(false);
        }
    }

    void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    }

    void delete(Path file) throws IOException {
        Files.deleteIfExists(file);
    }

    /** Makes new names and deletions in a directory outlive a power loss. */
    void syncDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** Called before each entry that is put into the map or removed from it. */
    void changingMap() {}
}
