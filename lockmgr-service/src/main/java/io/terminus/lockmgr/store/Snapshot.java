package io.terminus.lockmgr.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * What the deleted generations of the log said, but for locks: one file in the format of a generation, with the number of
 * the newest one it covers. It appears under its name only when all of it is on disk, so it is whole or damaged.
 */
final class Snapshot {

    static final String FILE = "snapshot";

    /** @param lastSequence the last record of the newest generation it covers */
    record Covers(long generation, long lastSequence) {}

    private Snapshot() {}

    /** Null if there is none. */
    static @Nullable Covers read(Path directory, Remembered into) throws IOException {
        Path file = directory.resolve(FILE);
        if (!Files.exists(file)) {
            return null;
        }
        // A boot id of nobody: what is bad here is bad whatever happened to the machine.
        DecisionLog.Scan scan = DecisionLog.scan(file, Long.MAX_VALUE, "", "");
        LastSequence last = new LastSequence(into);
        DecisionLog.replay(file, scan, last);
        if (scan.torn() || last.sequence < 0) {
            throw new StoreRefusedException("data directory damaged: " + file + " is not whole;"
                    + " put back a copy of the directory and raise lockmgr.epoch-at-least");
        }
        return new Covers(scan.generation(), last.sequence);
    }

    /** After this the generations it covers are not needed any more. */
    static void write(StoreDisk disk, Path directory, Covers covers, Remembered what, LogItemWriter writer)
            throws IOException {
        try (DecisionLog file =
                DecisionLog.create(disk, directory.resolve(FILE), covers.generation(), 0, what.head(), null, writer)) {
            what.writeTo(file);
            file.append(new LogItem.Through(covers.lastSequence()));
            file.flush();
            file.appearSynced();
        }
    }

    private static final class LastSequence implements LogItemCodec.Taker {
        private final Remembered into;
        private long sequence = -1;

        LastSequence(Remembered into) {
            this.into = into;
        }

        @Override
        public void take(LogItem item) {
            into.take(item);
            sequence = item instanceof LogItem.Through t ? t.sequence() : -1;
        }

        @Override
        public void takeLock(long lockId, byte[] lockPut) {
            sequence = -1;
        }

        @Override
        public void takeLockGone(long lockId) {
            sequence = -1;
        }
    }
}
