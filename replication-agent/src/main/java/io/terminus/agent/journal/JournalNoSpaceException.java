package io.terminus.agent.journal;

/**
 * No segment could be had: the disk is full, or the budget was used up and nothing was released for as long as a caller waits. Nothing
 * was done; not final, the same call succeeds once there is space.
 */
public final class JournalNoSpaceException extends JournalException {

    JournalNoSpaceException(String message) {
        super(message);
    }

    public JournalNoSpaceException(String message, Throwable cause) {
        super(message, cause);
    }
}
