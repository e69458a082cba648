package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import java.util.ArrayList;
import java.util.List;

/**
 * The decisions of one turn as the bytes that {@link ReplicatedState} takes, in parts of about {@value #PART_BYTES} bytes at most, because an
 * entry of a log must not be too long. One owner thread.
 */
public final class DecisionBatch {

    static final int PART_BYTES = 1 << 20;

    private final LogItemWriter writer = new LogItemWriter(64 << 10);
    private final List<byte[]> parts = new ArrayList<>();

    public void add(List<Change> changes) {
        for (int i = 0; i < changes.size(); i++) {
            writer.write(changes.get(i));
            cut();
        }
    }

    public void renewed(String sessionId, long timeNanos) {
        writer.write(new LogItem.Renewed(sessionId, timeNanos));
        cut();
    }

    public boolean isEmpty() {
        return parts.isEmpty() && writer.position() == 0;
    }

    /** Hands over what was added, in order: one part at least, which may be empty. */
    public List<byte[]> take() {
        parts.add(bytes());
        List<byte[]> taken = List.copyOf(parts);
        parts.clear();
        return taken;
    }

    private void cut() {
        if (writer.position() >= PART_BYTES) {
            parts.add(bytes());
        }
    }

    private byte[] bytes() {
        byte[] bytes = new byte[writer.position()];
        writer.buffer().get(0, bytes);
        writer.clear(0);
        return bytes;
    }
}
