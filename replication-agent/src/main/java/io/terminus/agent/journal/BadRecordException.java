package io.terminus.agent.journal;

/** Bytes that are no record for their place. Nothing of it was published; everything before it stands. */
public final class BadRecordException extends JournalException {

    /** The rule that was broken, in the order in which the rules are checked. */
    public enum Rule {
        MAGIC("does not begin with the magic number"),
        VERSION("has an unknown version"),
        POSITION("names another position: it is of another lap or place"),
        HEADER_CHECKSUM("has a header that does not match its checksum: damaged, or of another volume"),
        FIELDS("has an unknown kind or flag, or bytes where zeros belong"),
        LENGTH("has a length that its kind does not allow or its segment does not hold"),
        CLAIMS("names a committed or synced position beyond its own"),
        TERM("is not of the term in force, nor a TERM record of a higher one"),
        PAYLOAD_CHECKSUM("has a payload that does not match its checksum"),
        LINEAGE("is a TERM record whose lineage is malformed, or contradicts this journal's");

        private final String text;

        Rule(String text) {
            this.text = text;
        }

        /** The end of a sentence about a record. */
        public String text() {
            return text;
        }
    }

    private final long position;
    private final Rule rule;

    BadRecordException(long position, Rule rule) {
        super("the record at position " + position + " " + rule.text + " (" + rule + ")");
        this.position = position;
        this.rule = rule;
    }

    public long position() {
        return position;
    }

    public Rule rule() {
        return rule;
    }
}
