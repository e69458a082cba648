package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import io.terminus.agent.journal.BadRecordException.Rule;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.UUID;

/**
 * Decides record by record whether bytes continue a journal: the place, both checksums, and the term in force, which changes only at a
 * TERM record. Recovery and receiving use this one rule. One thread at a time.
 */
final class RecordChain {

    /** Not all bytes of the record are there yet. */
    static final int INCOMPLETE = 0;

    private final RecordCodec codec;
    private Lineage lineage;
    private long term;
    private long origin;

    /** Of a PAD that waits for the TERM record of its term; 0 if there is none. */
    private long announcedTerm;

    private long announcedOrigin;
    private long announcedPosition;

    RecordChain(UUID volume, Lineage lineage) {
        this.codec = new RecordCodec(volume);
        this.lineage = lineage;
        adopt(lineage);
    }

    /** The terms up to the last record that was accepted and {@link #settled}. */
    Lineage lineage() {
        return lineage;
    }

    /** False between the PAD of a new term and its TERM record: they count together. */
    boolean settled() {
        return announcedTerm == 0;
    }

    /** Forgets the PAD of a new term whose TERM record did not come; the next record is checked in its place. */
    void unsettle() {
        announcedTerm = 0;
    }

    /** Starts over behind records of that lineage. */
    void adopt(Lineage known) {
        unsettle();
        lineage = known;
        term = known.lastTerm();
        origin = known.isEmpty() ? 0 : originHash(known.last().origin());
    }

    /**
     * Checks the record whose header lies at {@code at}, where {@code available} bytes are there, as the next one of the journal.
     *
     * @return the record's bytes, after which it counts; {@link #INCOMPLETE}; or {@link #refusal} of the rule it breaks
     */
    int check(ByteBuffer segment, int at, int available, long position) {
        if (available < HEADER_BYTES) {
            return INCOMPLETE;
        }
        Rule broken = codec.checkHeader(segment, at, position);
        if (broken != null) {
            return refusal(broken);
        }
        RecordKind kind = RecordKind.of(segment.get(at + KIND_AT));
        long recordTerm = segment.getLong(at + TERM_AT);
        long recordOrigin = segment.getLong(at + ORIGIN_AT);
        int recordBytes = recordBytes(segment.getInt(at + PAYLOAD_LENGTH_AT));
        boolean fillsSegment = at + recordBytes == segment.capacity();
        boolean allowed;
        boolean announces = false;
        if (!settled()) {
            allowed = kind == RecordKind.TERM && recordTerm == announcedTerm && recordOrigin == announcedOrigin;
        } else if (kind == RecordKind.TERM) {
            allowed = recordTerm > term;
        } else if (kind == RecordKind.PAD && recordTerm > term) {
            allowed = fillsSegment;
            announces = true;
        } else {
            allowed = recordTerm == term && recordOrigin == origin && term != 0;
        }
        if (!allowed) {
            return refusal(Rule.TERM);
        }
        if (available < recordBytes) {
            return INCOMPLETE;
        }
        if (!codec.payloadIntact(segment, at)) {
            return refusal(Rule.PAYLOAD_CHECKSUM);
        }
        if (kind == RecordKind.TERM) {
            return checkTerm(segment, at, settled() ? position : announcedPosition)
                    ? recordBytes
                    : refusal(Rule.LINEAGE);
        }
        if (announces) {
            announcedTerm = recordTerm;
            announcedOrigin = recordOrigin;
            announcedPosition = position;
        }
        return recordBytes;
    }

    static int refusal(Rule rule) {
        return -1 - rule.ordinal();
    }

    static Rule rule(int refusal) {
        return Rule.values()[-1 - refusal];
    }

    /**
     * A TERM record's lineage names itself last and its predecessor before, and agrees with this journal about every term that both
     * name. Either may have forgotten old ones.
     */
    private boolean checkTerm(ByteBuffer segment, int at, long firstPosition) {
        Lineage named;
        try {
            named = Lineage.decode(segment.slice(at + HEADER_BYTES, segment.getInt(at + PAYLOAD_LENGTH_AT)));
        } catch (IllegalArgumentException e) {
            return false;
        }
        TermStart last = named.last();
        if (last.term() != segment.getLong(at + TERM_AT)
                || last.firstPosition() != firstPosition
                || originHash(last.origin()) != segment.getLong(at + ORIGIN_AT)) {
            return false;
        }
        List<TermStart> theirs = named.starts().subList(0, named.starts().size() - 1);
        List<TermStart> ours = lineage.starts();
        if (!ours.isEmpty()) {
            int shared = Math.min(ours.size(), theirs.size());
            if (shared == 0
                    || !ours.subList(ours.size() - shared, ours.size())
                            .equals(theirs.subList(theirs.size() - shared, theirs.size()))) {
                return false;
            }
        }
        adopt(named);
        return true;
    }
}
