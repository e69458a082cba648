package io.terminus.agent.volume;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.function.UnaryOperator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A replica's superblock in its file. A full disk must stop no fence and no checkpoint, and the superblock is written beside before it takes
 * its place: so the space for one is held back, in a file that is given up when there is no other.
 *
 * <p>Any thread.
 */
final class SuperblockFile {

    private static final Logger LOG = LoggerFactory.getLogger(SuperblockFile.class);

    private static final String RESERVE_FILE = "reserve";
    private static final int RESERVE_BYTES = 64 << 10;

    private final Path dir;

    @GuardedBy("this")
    private Superblock superblock;

    /** @param superblock as the file in {@code dir} has it */
    SuperblockFile(Path dir, Superblock superblock) {
        this.dir = dir;
        this.superblock = superblock;
    }

    synchronized Superblock get() {
        return superblock;
    }

    /**
     * Changes it, durably, before it returns.
     *
     * @throws DiskFullException nothing has changed, and it may be tried again; any other failure is final
     */
    synchronized void update(UnaryOperator<Superblock> change) throws IOException {
        Superblock next = change.apply(superblock);
        write(next, dir);
        superblock = next;
        keepReserve();
    }

    /** With the space that is held back for it, if there is no other. */
    static void write(Superblock next, Path dir) throws IOException {
        try {
            next.write(dir);
        } catch (IOException e) {
            if (!isFull(e, dir)) {
                throw e; // a failed write or sync is final and not tried again
            }
            if (!Files.deleteIfExists(dir.resolve(RESERVE_FILE))) {
                throw new DiskFullException(e);
            }
            writeWithReserve(next, dir);
        }
    }

    private static void writeWithReserve(Superblock next, Path dir) throws IOException {
        try {
            next.write(dir);
        } catch (IOException e) {
            throw isFull(e, dir) ? new DiskFullException(e) : e; // somebody else had the reserve's space
        }
    }

    /** Java has no type for it and its text may be in any language, so the free space decides; a quota leaves only the text. */
    static boolean isFull(IOException failure, Path dir) throws IOException {
        String text = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
        return text.contains("no space")
                || text.contains("quota")
                || Files.getFileStore(dir).getUsableSpace() < RESERVE_BYTES;
    }

    void keepReserve() throws IOException {
        Path reserve = dir.resolve(RESERVE_FILE);
        if (Files.exists(reserve) && Files.size(reserve) == RESERVE_BYTES) {
            return;
        }
        try (FileChannel file = FileChannel.open(
                reserve, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            for (ByteBuffer zeros = ByteBuffer.allocate(RESERVE_BYTES); zeros.hasRemaining(); ) {
                file.write(zeros);
            }
            file.force(true); // or its blocks are not allocated yet
        } catch (IOException e) {
            LOG.warn("replica in {}: no space is held back for the superblock: {}", dir, e.getMessage());
            Files.deleteIfExists(reserve); // tried again with the next superblock
        }
    }
}
