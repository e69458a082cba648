package io.terminus.agent.volume;

import org.jspecify.annotations.Nullable;

/** This agent does not do what was asked; nothing was changed. */
public final class RefusedException extends Exception {

    /** Why, for programs; the peer protocol carries the ordinal's code, docs/peer-protocol.md lists them. */
    public enum Why {
        /** A newer term has been answered to here. */
        FENCED(1),
        /** No such volume on this agent. */
        UNKNOWN_VOLUME(2),
        /** Size or segment size are not this replica's. */
        OTHER_SHAPE(3),
        /** This replica's journal ends before the oldest position that was offered. */
        NEEDS_COPY(4),
        /** The image holds writes that the volume no longer has. */
        DIVERGED(5),
        /** The replica stopped for good. */
        FAILED(6),
        /** No room for the image or the journal. */
        NO_SPACE(7),
        /** The agent is stopping, or not ready yet. */
        NOT_READY(8),
        /** The lock manager's value block here is newer, or went back. */
        OTHER_CONFIG(9),
        /** What was sent cannot be a message of this protocol, or a run of this journal. */
        BAD_MESSAGE(10),
        /** The two agents have no version of the peer protocol in common. */
        OTHER_VERSION(11);

        private final int code;

        Why(int code) {
            this.code = code;
        }

        public int code() {
            return code;
        }

        public static Why of(int code) {
            for (Why w : values()) {
                if (w.code == code) {
                    return w;
                }
            }
            return BAD_MESSAGE;
        }
    }

    private final Why why;

    public RefusedException(Why why, @Nullable String message) {
        super(message);
        this.why = why;
    }

    public Why why() {
        return why;
    }
}
