package io.terminus.agent.volume;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The lock manager, as one volume needs it: its lock over the whole volume and its value block. Every future fails with
 * an {@link AuthorityException} when the outcome is known not to be what was asked for.
 */
public interface VolumeAuthority {

    /** The value block; version 0 and no config: never written. */
    record Block(long version, @Nullable VolumeConfig config) {}

    /** How a compare-and-set ended. */
    sealed interface Put {
        record Stored(long version) implements Put {}

        /** Somebody else's value is there. */
        record Mismatch(Block current) implements Put {}

        /** The lock manager took nothing. */
        record Refused(String why) implements Put {}

        /** Nobody knows: read the block to find out. */
        record Unknown(String why) implements Put {}
    }

    /** What the holder of the volume's lock has to hear. Called from the lock client's thread: be quick. */
    interface HolderEvents {
        /** Somebody needs the lock: drain and release. */
        void recalled();

        /** The grant is gone. When this returns, this agent has stopped using it. */
        void lost(String why);
    }

    /** A granted whole-volume lock. */
    interface Grant {
        /** Is this agent still the holder, by its own clock? Asked last, just before a reply. Any thread, no lock. */
        boolean believed();

        long token();

        CompletableFuture<Put> put(long expectedVersion, VolumeConfig config);

        /** Answers a recall: still draining. Prolongs its deadline, up to the lock manager's cap. */
        void progress(long progress);

        void release();
    }

    /** A wait for the lock that can be given up. A grant that comes too late is released by itself. */
    interface Waiting {
        CompletableFuture<Grant> granted();

        void cancel();
    }

    final class AuthorityException extends Exception {
        public AuthorityException(String message) {
            super(message);
        }
    }

    CompletableFuture<Block> read();

    /** @param standby waits for ever, recalls nobody; else {@code wait} is the deadline */
    Waiting lock(boolean standby, Duration wait, HolderEvents events);

    /** Takes the lock from whoever holds it; its loss is then waited for as with any lock. */
    CompletableFuture<String> revokeHolder();
}
