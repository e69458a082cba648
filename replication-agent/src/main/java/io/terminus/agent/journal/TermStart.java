package io.terminus.agent.journal;

import java.nio.charset.StandardCharsets;

/**
 * Which agent began a term, and at which position. The first position is that of the term's TERM record, or of the PAD
 * record in front of it where the TERM record did not fit into the rest of its segment.
 *
 * @param term at least 1
 * @param origin the agent's name, 1 to 255 bytes of UTF-8
 * @param firstPosition a record boundary
 */
public record TermStart(long term, String origin, long firstPosition) {

    static final int MAX_ORIGIN_BYTES = 255;

    public TermStart {
        if (term < 1) {
            throw new IllegalArgumentException("term " + term + ": terms start at 1");
        }
        int originBytes = origin.getBytes(StandardCharsets.UTF_8).length;
        if (originBytes < 1 || originBytes > MAX_ORIGIN_BYTES) {
            throw new IllegalArgumentException("origin '" + origin + "' has " + originBytes
                    + " bytes: an agent's name has 1 to " + MAX_ORIGIN_BYTES);
        }
        if (firstPosition < 0 || firstPosition % RecordFormat.ALIGNMENT != 0) {
            throw new IllegalArgumentException("first position " + firstPosition + " of term " + term
                    + ": records start at multiples of " + RecordFormat.ALIGNMENT);
        }
    }
}
