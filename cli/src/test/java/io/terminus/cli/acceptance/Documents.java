package io.terminus.cli.acceptance;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Files that are replaced as careful programs do it: a new file, synced, renamed over the old one, the directory synced. A
 * version for which all of that came back is there for ever, or a newer one.
 */
final class Documents implements MountedGuest.Tenant {

    private static final int FILES = 16;
    private static final int MOST_BYTES = 48 << 10;
    private static final int HEADER_BYTES = 16;
    private static final long REST_MILLIS = 5;

    private final Random chance;
    private final long[] promised = new long[FILES];
    private final long[] begun = new long[FILES];
    private long replaced;
    private long checked;
    private volatile boolean working;
    private @Nullable Thread worker;

    Documents(long seed) {
        this.chance = new Random(seed);
    }

    @Override
    public void begin(Path directory) {
        working = true;
        worker = Thread.ofPlatform().daemon().name("documents").start(() -> work(directory));
    }

    @Override
    public void end() {
        working = false;
        Thread works = worker;
        if (works != null) {
            try {
                works.join(LiveSet.PATIENCE.toMillis());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (works.isAlive()) {
                throw new AssertionError("a write to a file on the volume does not come back");
            }
            worker = null;
        }
    }

    @Override
    public void verify(Path directory) {
        for (int i = 0; i < FILES; i++) {
            long found = read(directory.resolve("document-" + i), i);
            if (found < promised[i] || found > begun[i]) {
                throw new AssertionError("document " + i + " is there in version " + found + ", and " + promised[i]
                        + " was synced, " + begun[i] + " the last one begun");
            }
            promised[i] = found;
            checked++;
        }
    }

    @Override
    public String summary() {
        return replaced + " files replaced and " + checked + " checked";
    }

    private void work(Path directory) {
        while (working) {
            int file = chance.nextInt(FILES);
            long version = ++begun[file];
            Path next = directory.resolve("next");
            try {
                try (FileChannel channel = FileChannel.open(
                        next,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.WRITE)) {
                    ByteBuffer content = ByteBuffer.wrap(content(file, version));
                    while (content.hasRemaining()) {
                        channel.write(content);
                    }
                    channel.force(true);
                }
                Files.move(
                        next,
                        directory.resolve("document-" + file),
                        StandardCopyOption.ATOMIC_MOVE,
                        StandardCopyOption.REPLACE_EXISTING);
                try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
                    channel.force(true);
                }
                promised[file] = version;
                replaced++;
                TimeUnit.MILLISECONDS.sleep(REST_MILLIS);
            } catch (IOException gone) {
                return; // The volume went away; what this was to become is unknown.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    /** The version that is there, whole; 0: none. */
    private static long read(Path path, int file) {
        try {
            if (!Files.exists(path)) {
                return 0;
            }
            byte[] found = Files.readAllBytes(path);
            long version =
                    found.length < HEADER_BYTES ? -1 : ByteBuffer.wrap(found).getLong(8);
            if (version < 0 || !Arrays.equals(found, content(file, version))) {
                throw new AssertionError(path + " holds what nobody wrote");
            }
            return version;
        } catch (IOException e) {
            throw new AssertionError("cannot read " + path, e);
        }
    }

    private static byte[] content(int file, long version) {
        Random random = new Random(file * 1_000_003L + version);
        byte[] content = new byte[HEADER_BYTES + random.nextInt(MOST_BYTES)];
        random.nextBytes(content);
        ByteBuffer.wrap(content).putLong(file).putLong(version);
        return content;
    }
}
