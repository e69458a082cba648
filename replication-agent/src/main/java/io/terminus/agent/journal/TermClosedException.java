package io.terminus.agent.journal;

/**
 * No term is open for writing in this process; nothing was done. A term is written by the one process that opened it: what was
 * recovered from disk, or received from a peer, opens none.
 */
public final class TermClosedException extends JournalException {

    TermClosedException() {
        super("no term is open for writing: openTerm comes first, and closeTerm ends it");
    }
}
