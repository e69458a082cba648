package io.terminus.agent.journal;

import java.util.UUID;

/**
 * What a journal is opened with.
 *
 * @param volume seeds every checksum, so that no other volume's record passes here
 * @param segmentBytes a power of two, 1 MiB to 1 GiB; fixed when the volume is created and the same at every replica, because a
 *     record never crosses a segment
 * @param maxSegments the budget in segments, at least 2: when so many are in use and none is released, capture waits
 * @param self the name of this agent
 */
public record JournalSpec(UUID volume, int segmentBytes, int maxSegments, String self) {

    public static final int DEFAULT_SEGMENT_BYTES = 64 << 20;
    public static final int MIN_SEGMENT_BYTES = 1 << 20;
    public static final int MAX_SEGMENT_BYTES = 1 << 30;

    public JournalSpec {
        if (Integer.bitCount(segmentBytes) != 1
                || segmentBytes < MIN_SEGMENT_BYTES
                || segmentBytes > MAX_SEGMENT_BYTES) {
            throw new IllegalArgumentException("segmentBytes " + segmentBytes + ": a power of two from "
                    + MIN_SEGMENT_BYTES + " to " + MAX_SEGMENT_BYTES);
        }
        if (maxSegments < 2) {
            throw new IllegalArgumentException(
                    "maxSegments " + maxSegments + ": at least 2, one to write and one ahead");
        }
        if (self.isEmpty()) {
            throw new IllegalArgumentException("an agent has a name");
        }
    }

    /** The largest payload of one record; a larger write is several records, acknowledged with the last. */
    public int maxPayloadBytes() {
        return Math.min(RecordFormat.MAX_PAYLOAD_BYTES, segmentBytes / 4);
    }
}
