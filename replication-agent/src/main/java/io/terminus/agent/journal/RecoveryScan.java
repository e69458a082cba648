package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import java.nio.ByteBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Reads a journal from a checkpoint on. The chain of valid records ends at the first bad one; what is valid beyond it is no part of the
 * journal, but what its records claim to be committed or synced tells whether the bad one was damaged after somebody relied on it.
 *
 * <p>Beyond the chain a record counts as valid if it stands at its own position, both checksums hold, and its term is the last one of
 * the chain, or a later one of the known lineage, or of a TERM record found on the way that continues the chain. An older term's
 * record there was cut off before and would accuse the journal of having lost it.
 */
final class RecoveryScan {

    private final JournalSpec spec;
    private final SegmentStore store;
    private final Lineage known;
    private final RecordCodec codec;

    private Lineage lineage = Lineage.EMPTY;
    private long end;
    private long committed;
    private long synced;
    private long strayEnd;
    private long touchedEnd;
    private boolean begun;
    private long knownSafe;

    RecoveryScan(JournalSpec spec, SegmentStore store, Lineage known) {
        this.spec = spec;
        this.store = store;
        this.known = known;
        this.codec = new RecordCodec(spec.volume());
    }

    void run(long from, long safeBefore) {
        followChain(from);
        lookBeyond();
        knownSafe = Math.max(safeBefore, Math.max(committed, synced));
    }

    Recovery result() {
        Recovery.Verdict verdict;
        if (end < knownSafe) {
            verdict = new Recovery.Corrupt(end, knownSafe);
        } else if (begun || strayEnd > end) {
            verdict = new Recovery.TornTail(end);
        } else {
            verdict = new Recovery.Clean();
        }
        return new Recovery(end, lineage, committed, synced, knownSafe, strayEnd, verdict);
    }

    /** Behind the last byte that belongs to a record, whole or not, as far as can be seen. */
    long touchedEnd() {
        return touchedEnd;
    }

    private void followChain(long from) {
        RecordChain chain = new RecordChain(spec.volume(), known.upTo(from));
        long position = from;
        end = from;
        lineage = chain.lineage();
        for (Segment segment = segmentOf(position); segment != null; segment = segmentOf(position)) {
            int at = at(position);
            int taken = chain.check(segment.bytes, at, spec.segmentBytes() - at, position);
            if (taken <= 0) {
                break;
            }
            noteClaims(segment.bytes, at);
            position += taken;
            if (chain.settled()) {
                end = position;
                lineage = chain.lineage();
            }
        }
        strayEnd = end;
        touchedEnd = end;
        Segment segment = segmentOf(end);
        if (segment != null) {
            lookAtBadHeader(segment.bytes, at(end));
        }
    }

    /** Bytes that name this very position are of a record that was begun here, in this lap. */
    private void lookAtBadHeader(ByteBuffer bytes, int at) {
        begun = bytes.getInt(at + MAGIC_AT) == MAGIC && bytes.getLong(at + POSITION_AT) == end;
        if (begun) {
            int payloadLength = bytes.getInt(at + PAYLOAD_LENGTH_AT);
            int rest = spec.segmentBytes() - at;
            boolean plausible = payloadLength >= 0 && payloadLength <= rest - HEADER_BYTES;
            touchedEnd = end + (plausible ? Math.min(rest, recordBytes(payloadLength)) : HEADER_BYTES);
        }
    }

    private void lookBeyond() {
        Lineage terms = lineage;
        long position = end + ALIGNMENT;
        for (Segment segment = segmentOf(position); segment != null; segment = segmentOf(position)) {
            ByteBuffer bytes = segment.bytes;
            int at = at(position);
            if (bytes.getInt(at + MAGIC_AT) != MAGIC
                    || codec.checkHeader(bytes, at, position) != null
                    || !codec.payloadIntact(bytes, at)) {
                position += ALIGNMENT;
                continue;
            }
            boolean counts;
            if (bytes.get(at + KIND_AT) == RecordKind.TERM.code) {
                Lineage continued = continued(terms, bytes, at, position);
                counts = continued != null;
                terms = Objects.requireNonNullElse(continued, terms);
            } else {
                counts = isOfKnownTerm(terms, bytes, at, position);
            }
            int recordBytes = recordBytes(bytes.getInt(at + PAYLOAD_LENGTH_AT));
            if (counts) {
                noteClaims(bytes, at);
                strayEnd = position + recordBytes;
                touchedEnd = Math.max(touchedEnd, strayEnd);
            }
            position += recordBytes;
        }
    }

    /** The terms behind a TERM record that continues them, though records between may be missing; otherwise null. */
    private @Nullable Lineage continued(Lineage terms, ByteBuffer bytes, int at, long position) {
        Lineage named;
        try {
            named = Lineage.decode(bytes.slice(at + HEADER_BYTES, bytes.getInt(at + PAYLOAD_LENGTH_AT)));
        } catch (IllegalArgumentException e) {
            return null;
        }
        TermStart last = named.last();
        long begins = last.firstPosition();
        boolean behindItsPad = at == 0 && begins < position && begins > position - spec.segmentBytes();
        boolean continues = last.term() > terms.lastTerm()
                && last.term() == bytes.getLong(at + TERM_AT)
                && originHash(last.origin()) == bytes.getLong(at + ORIGIN_AT)
                && (begins == position || behindItsPad)
                && (terms.isEmpty() || named.starts().contains(terms.last()));
        return continues ? named : null;
    }

    private boolean isOfKnownTerm(Lineage terms, ByteBuffer bytes, int at, long position) {
        long term = bytes.getLong(at + TERM_AT);
        long origin = bytes.getLong(at + ORIGIN_AT);
        if (term < terms.lastTerm()) {
            return false;
        }
        if (term == terms.lastTerm()) {
            return !terms.isEmpty() && origin == originHash(terms.last().origin());
        }
        for (TermStart start : known.starts()) {
            if (start.term() == term) {
                return start.firstPosition() <= position && originHash(start.origin()) == origin;
            }
        }
        return false;
    }

    private void noteClaims(ByteBuffer bytes, int at) {
        committed = Math.max(committed, bytes.getLong(at + COMMITTED_AT));
        synced = Math.max(synced, bytes.getLong(at + SYNCED_AT));
    }

    private @Nullable Segment segmentOf(long position) {
        return store.get(position / spec.segmentBytes());
    }

    private int at(long position) {
        return (int) (position & spec.segmentBytes() - 1);
    }
}
