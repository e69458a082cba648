package io.terminus.agent.journal;

/**
 * The journal holds a genuine record of a version that this program does not know. It is not opened, and nothing of it is changed: what
 * cannot be read here was promised by another program.
 */
public final class UnknownVersionException extends JournalException {

    UnknownVersionException(long position, byte version) {
        super("the record at position " + position + " is of version " + Byte.toUnsignedInt(version)
                + "; this program reads version " + RecordFormat.VERSION
                + " only. A newer one wrote it, and has to be used. Nothing was changed");
    }
}
