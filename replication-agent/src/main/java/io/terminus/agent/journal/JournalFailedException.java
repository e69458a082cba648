package io.terminus.agent.journal;

/**
 * The disk failed under the journal. Final: whether bytes past the last durable position are on disk is unknown and stays so, because
 * a second fdatasync may well succeed without having written what the first one lost.
 */
public final class JournalFailedException extends JournalException {

    JournalFailedException(String message, Throwable cause) {
        super(message, cause);
    }
}
