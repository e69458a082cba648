package io.terminus.agent.journal;

import static io.terminus.agent.journal.RecordFormat.*;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
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

    /** The bytes of the journal's segments. */
    interface Segments {
        /** All bytes of the segment of that number, little endian, or null if it is not there. */
        @Nullable
        ByteBuffer bytes(long number);
    }

    private final int segmentBytes;
    private final UUID volume;
    private final Segments segments;
    private final Lineage known;
    private final RecordCodec codec;

    private Lineage lineage = Lineage.EMPTY;
    private long end;
    private long committed;
    private long synced;
    /** By the hash of the writer whose disk it was. */
    private final Map<Long, Long> syncedByOrigin = new HashMap<>();

    private long strayEnd;
    private long touchedEnd;
    private boolean begun;
    private long knownSafe;

    RecoveryScan(UUID volume, int segmentBytes, Segments segments, Lineage known) {
        this.volume = volume;
        this.segmentBytes = segmentBytes;
        this.segments = segments;
        this.known = known;
        this.codec = new RecordCodec(volume);
    }

    /** @throws UnknownVersionException then nothing is known, and nothing may be cut */
    void run(long from, long safeBefore) throws UnknownVersionException {
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

    /** The highest synced position that a valid record of this agent's own terms claims: so far its own disk had everything. */
    long syncedBy(String agent) {
        return syncedByOrigin.getOrDefault(originHash(agent), 0L);
    }

    /** Behind the last byte that belongs to a record, whole or not, as far as can be seen. */
    long touchedEnd() {
        return touchedEnd;
    }

    private void followChain(long from) throws UnknownVersionException {
        RecordChain chain = new RecordChain(volume, known.upTo(from));
        long position = from;
        end = from;
        lineage = chain.lineage();
        for (ByteBuffer bytes = segmentOf(position); bytes != null; bytes = segmentOf(position)) {
            int at = at(position);
            int taken = chain.check(bytes, at, segmentBytes - at, position);
            if (taken <= 0) {
                break;
            }
            noteClaims(bytes, at);
            position += taken;
            if (chain.settled()) {
                end = position;
                lineage = chain.lineage();
            }
        }
        strayEnd = end;
        touchedEnd = end;
        ByteBuffer behind = segmentOf(position);
        if (behind != null) {
            requireKnownVersion(behind, at(position), position);
        }
        ByteBuffer bytes = segmentOf(end);
        if (bytes != null) {
            lookAtBadHeader(bytes, at(end));
        }
    }

    /** A genuine record that cannot be read is not a bad one: it was promised by a program that is newer than this. */
    private void requireKnownVersion(ByteBuffer bytes, int at, long position) throws UnknownVersionException {
        if (codec.isOfUnknownVersion(bytes, at, position) && bytes.getLong(at + TERM_AT) >= lineage.lastTerm()) {
            throw new UnknownVersionException(position, bytes.get(at + VERSION_AT));
        }
    }

    /** Bytes that name this very position are of a record that was begun here, in this lap. */
    private void lookAtBadHeader(ByteBuffer bytes, int at) {
        begun = bytes.getInt(at + MAGIC_AT) == MAGIC && bytes.getLong(at + POSITION_AT) == end;
        if (begun) {
            int payloadLength = bytes.getInt(at + PAYLOAD_LENGTH_AT);
            int rest = segmentBytes - at;
            boolean plausible = payloadLength >= 0 && payloadLength <= rest - HEADER_BYTES;
            touchedEnd = end + (plausible ? Math.min(rest, recordBytes(payloadLength)) : HEADER_BYTES);
        }
    }

    private void lookBeyond() throws UnknownVersionException {
        Lineage terms = lineage;
        long position = end + ALIGNMENT;
        for (ByteBuffer bytes = segmentOf(position); bytes != null; bytes = segmentOf(position)) {
            int at = at(position);
            if (bytes.getInt(at + MAGIC_AT) != MAGIC) {
                position += ALIGNMENT;
                continue;
            }
            requireKnownVersion(bytes, at, position);
            if (codec.checkHeader(bytes, at, position) != null || !codec.payloadIntact(bytes, at)) {
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
            // What a PAD covers is not checked: records that count may have been written over an old one.
            position += bytes.get(at + KIND_AT) == RecordKind.PAD.code ? ALIGNMENT : recordBytes;
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
        boolean behindItsPad = at == 0 && begins < position && begins > position - segmentBytes;
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
        syncedByOrigin.merge(bytes.getLong(at + ORIGIN_AT), bytes.getLong(at + SYNCED_AT), Math::max);
    }

    private @Nullable ByteBuffer segmentOf(long position) {
        return segments.bytes(position / segmentBytes);
    }

    private int at(long position) {
        return (int) (position & segmentBytes - 1);
    }
}
