package io.terminus.agent.journal;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Which term owns which positions, oldest first. A volume's positions run on over its terms, so two journals hold the same bytes
 * as far as their lineages agree; that is all a returning replica needs to know where its tail departed.
 *
 * <p>At most {@value #MAX_TERMS} terms are kept, the newest: a replica that has seen none of them is compared as a whole
 * anyway.
 *
 * <p>Payload of a TERM record, little endian, nothing behind the last entry:
 *
 * <pre>
 *  0        2        4                8
 * +--------+--------+----------------+----------------------- - -
 * | format | count  | reserved, 0    | count entries
 * |   1    | 1..512 |                |
 * +--------+--------+----------------+----------------------- - -
 *
 *  0                8                16       18
 * +----------------+----------------+--------+------ - - -+
 * | term           | first position | bytes  | origin, UTF-8
 * +----------------+----------------+--------+------ - - -+
 * </pre>
 */
public record Lineage(List<TermStart> starts) {

    public static final Lineage EMPTY = new Lineage(List.of());

    /** Keeps the largest encoding, with the longest names, below the smallest maximum payload (256 KiB). */
    public static final int MAX_TERMS = 512;

    private static final short FORMAT = 1;
    private static final int LIST_HEADER_BYTES = 8;
    private static final int ENTRY_HEADER_BYTES = 18;

    public Lineage {
        starts = List.copyOf(starts);
        if (starts.size() > MAX_TERMS) {
            throw new IllegalArgumentException(starts.size() + " terms: a lineage keeps at most " + MAX_TERMS);
        }
        for (int i = 1; i < starts.size(); i++) {
            TermStart before = starts.get(i - 1);
            TermStart start = starts.get(i);
            if (start.term() <= before.term()) {
                throw new IllegalArgumentException(
                        "term " + start.term() + " behind term " + before.term() + ": terms strictly rise");
            }
            if (start.firstPosition() < before.firstPosition()) {
                throw new IllegalArgumentException("term " + start.term() + " starts at " + start.firstPosition()
                        + ", before term " + before.term() + " at " + before.firstPosition()
                        + ": positions never fall");
            }
        }
    }

    public boolean isEmpty() {
        return starts.isEmpty();
    }

    /** The newest term, 0 if there is none yet. */
    public long lastTerm() {
        return starts.isEmpty() ? 0 : starts.getLast().term();
    }

    /** The newest term's start; there must be one. */
    public TermStart last() {
        return starts.getLast();
    }

    /** The term that owns {@code position}, 0 if the lineage does not reach back that far. */
    public long termAt(long position) {
        for (int i = starts.size() - 1; i >= 0; i--) {
            if (starts.get(i).firstPosition() <= position) {
                return starts.get(i).term();
            }
        }
        return 0;
    }

    /** Where {@code term} ends, which is where the next one starts; {@link Long#MAX_VALUE} for the newest. */
    public long endOf(long term) {
        for (int i = 0; i < starts.size(); i++) {
            if (starts.get(i).term() == term) {
                return i + 1 < starts.size() ? starts.get(i + 1).firstPosition() : Long.MAX_VALUE;
            }
        }
        throw new IllegalArgumentException("term " + term + " is not in the lineage " + this);
    }

    /**
     * Up to which position a journal of this lineage that ends at {@code ownEnd} holds the same history as one of the other lineage
     * that ends at {@code otherEnd}: they share everything up to where the first of them leaves the newest term that both
     * name. 0 if they name no term in common.
     */
    public long commonEnd(Lineage other, long ownEnd, long otherEnd) {
        for (int i = starts.size() - 1; i >= 0; i--) {
            TermStart shared = starts.get(i);
            if (other.starts.contains(shared)) {
                long ownLeaves = Math.min(endOf(shared.term()), ownEnd);
                long otherLeaves = Math.min(other.endOf(shared.term()), otherEnd);
                return Math.min(ownLeaves, otherLeaves);
            }
        }
        return 0;
    }

    /** This lineage with one more term; forgets the oldest one beyond {@value #MAX_TERMS}. */
    public Lineage plus(TermStart start) {
        List<TermStart> longer = new ArrayList<>(starts);
        longer.add(start);
        return new Lineage(longer.size() > MAX_TERMS ? longer.subList(1, longer.size()) : longer);
    }

    /** The lineage of a journal cut at {@code end}: a term that starts there or later has no record in it. */
    public Lineage upTo(long end) {
        return new Lineage(
                starts.stream().filter(start -> start.firstPosition() < end).toList());
    }

    /** What a TERM record carries. */
    ByteBuffer encode() {
        int bytes = LIST_HEADER_BYTES;
        for (TermStart start : starts) {
            bytes += ENTRY_HEADER_BYTES + start.origin().getBytes(StandardCharsets.UTF_8).length;
        }
        ByteBuffer out = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        out.putShort(FORMAT).putShort((short) starts.size()).putInt(0);
        for (TermStart start : starts) {
            byte[] origin = start.origin().getBytes(StandardCharsets.UTF_8);
            out.putLong(start.term())
                    .putLong(start.firstPosition())
                    .putShort((short) origin.length)
                    .put(origin);
        }
        return out.flip();
    }

    /** Reads all that remains of {@code in}; {@link IllegalArgumentException} says what is wrong with it. */
    static Lineage decode(ByteBuffer in) {
        in.order(ByteOrder.LITTLE_ENDIAN);
        require(in, LIST_HEADER_BYTES, "the list header");
        short format = in.getShort();
        int count = Short.toUnsignedInt(in.getShort());
        int reserved = in.getInt();
        if (format != FORMAT || reserved != 0) {
            throw new IllegalArgumentException("lineage format " + format + "/" + reserved + ": only 1/0 is known");
        }
        if (count < 1 || count > MAX_TERMS) {
            throw new IllegalArgumentException("a lineage of " + count + " terms: 1 to " + MAX_TERMS + " are allowed");
        }
        List<TermStart> starts = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            require(in, ENTRY_HEADER_BYTES, "entry " + i);
            long term = in.getLong();
            long firstPosition = in.getLong();
            int originBytes = Short.toUnsignedInt(in.getShort());
            require(in, originBytes, "the origin of entry " + i);
            starts.add(new TermStart(term, text(in, originBytes), firstPosition));
        }
        if (in.hasRemaining()) {
            throw new IllegalArgumentException(in.remaining() + " bytes behind the last entry of a lineage");
        }
        return new Lineage(starts);
    }

    private static void require(ByteBuffer in, int bytes, String what) {
        if (in.remaining() < bytes) {
            throw new IllegalArgumentException(
                    "lineage ends within " + what + ": " + in.remaining() + " bytes left of " + bytes);
        }
    }

    private static String text(ByteBuffer in, int bytes) {
        ByteBuffer utf8 = in.slice(in.position(), bytes);
        in.position(in.position() + bytes);
        try {
            CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(utf8);
            return text.toString();
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("an origin that is not UTF-8", e);
        }
    }

    @Override
    public String toString() {
        return starts.stream()
                .map(start -> start.term() + ":" + start.origin() + "@" + start.firstPosition())
                .collect(Collectors.joining(", ", "[", "]"));
    }
}
