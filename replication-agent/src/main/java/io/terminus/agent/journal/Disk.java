package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;

/**
 * The calls whose failure or order decides what survives; tests replace them to fail.
 */
class Disk {

    /**
     * Zeros written at once. Linux keeps them in page-cache folios of up to that size, and they stay with a segment over all its
     * laps: a record of 4 KiB costs 2.4 times as much in folios of 1 MiB as in those of 64 KiB, or of 128.
     */
    private static final int ZEROS_BYTES = 64 << 10;

    /** Fills a new file with zeros and waits until it is on the disk, blocks and size. */
    void prewrite(Path file, int bytes) throws IOException {
        try (FileChannel channel = FileChannel.open(
                file, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            zero(channel, 0, bytes);
        }
    }

    /** Fills a file with zeros from a place on, and waits for the disk. */
    void lengthen(Path file, long from, int bytes) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            zero(channel, from, bytes);
        }
    }

    private static void zero(FileChannel channel, long from, int bytes) throws IOException {
        ByteBuffer zeros = ByteBuffer.allocateDirect(ZEROS_BYTES);
        for (long at = from; at < bytes; ) {
            at += channel.write(zeros.clear().limit((int) Math.min(ZEROS_BYTES, bytes - at)), at);
        }
        channel.force(true);
    }

    /**
     * Whether pre-writing failed for want of space. Java has no type for it and its text may be in any language, so the free space
     * decides; a quota leaves only the text.
     */
    boolean isFull(IOException failure, Path directory, int bytes) throws IOException {
        String text = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
        return text.contains("no space")
                || text.contains("quota")
                || Files.getFileStore(directory).getUsableSpace() < bytes / 2;
    }

    /** fdatasync, which is enough: a segment's size and blocks never change after it was pre-written. */
    void force(FileChannel file) throws IOException {
        file.force(false);
    }

    void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Makes names made, changed or removed in a directory durable. */
    void syncDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
