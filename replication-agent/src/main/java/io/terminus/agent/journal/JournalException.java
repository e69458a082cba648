package io.terminus.agent.journal;

import java.io.IOException;

/** What can go wrong with a journal; each says what its caller may now believe. */
public abstract sealed class JournalException extends IOException
        permits BadRecordException,
                JournalClosedException,
                JournalFailedException,
                JournalNoSpaceException,
                TermClosedException,
                UnknownVersionException {

    JournalException(String message) {
        super(message);
    }

    JournalException(String message, Throwable cause) {
        super(message, cause);
    }
}
