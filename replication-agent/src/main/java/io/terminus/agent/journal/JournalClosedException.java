package io.terminus.agent.journal;

/** The journal was closed; nothing was done. */
public final class JournalClosedException extends JournalException {

    JournalClosedException() {
        super("the journal is closed");
    }
}
