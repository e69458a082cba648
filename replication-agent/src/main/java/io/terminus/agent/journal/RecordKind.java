package io.terminus.agent.journal;

/** What a record does. */
public enum RecordKind {
    /** Its payload goes to the volume at its offset. */
    WRITE(1),
    /** Its range of the volume reads as zeros from here on; no payload. */
    WRITE_ZEROES(2),
    /** A new term begins; its payload is the whole {@link Lineage}. */
    TERM(3),
    /** Nothing: fills a segment up to its end, or a place that was reserved and not filled. */
    PAD(4);

    final byte code;

    RecordKind(int code) {
        this.code = (byte) code;
    }

    /** The kind of that code; the header must have been checked. */
    static RecordKind of(byte code) {
        return switch (code) {
            case 1 -> WRITE;
            case 2 -> WRITE_ZEROES;
            case 3 -> TERM;
            case 4 -> PAD;
            default -> throw new IllegalArgumentException("no record kind has the code " + code);
        };
    }

    static boolean known(byte code) {
        return code >= 1 && code <= 4;
    }
}
