package io.terminus.agent.volume;

import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.util.Set;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The newest value block that this agent has seen of a volume, and what has to be done before it counts here: it is stored, the image
 * grows, marks are kept for who is away. It changes under the fence of {@link Following} alone; any thread looks at it.
 */
final class KnownBlock {

    private static final Logger LOG = LoggerFactory.getLogger(KnownBlock.class);

    private final String agent;
    private final Replica replica;
    private final RoleState roles;
    private volatile VolumeConfig config;
    private volatile long version;

    private final Object marksLock = new Object();
    private volatile boolean marksLacking;

    KnownBlock(String agent, VolumeConfig config, Replica replica, RoleState roles) {
        this.agent = agent;
        this.config = config;
        this.version = replica.superblock().seen().version();
        this.replica = replica;
        this.roles = roles;
    }

    VolumeConfig config() {
        return config;
    }

    long version() {
        return version;
    }

    String name() {
        return config.name();
    }

    /** As {@link Volume#everInUse}. */
    boolean everInUse() {
        return version > 0;
    }

    boolean inSync() {
        return config.member(agent).isPresent();
    }

    /** What another version wrote, or nobody, says nothing against this replica: it waits for a writer it understands. */
    void requireReadable(byte[] encoded, long version) throws RefusedException {
        try {
            if (version > this.version) {
                VolumeConfig.decode(encoded);
            }
        } catch (VolumeConfig.UnreadableConfigException e) {
            throw new RefusedException(
                    Why.OTHER_CONFIG, "agent " + agent + " cannot act on the value block: " + e.getMessage());
        }
    }

    /** Keeps the newest value block seen. A member under this incarnation has all its memory. */
    void remember(byte[] encoded, long version) throws IOException {
        if (version <= this.version) {
            return;
        }
        VolumeConfig newer;
        try {
            newer = VolumeConfig.decode(encoded);
        } catch (VolumeConfig.UnreadableConfigException e) {
            throw new IOException(e.getMessage(), e);
        }
        boolean vouched = newer.inSync()
                .contains(new Member(agent, replica.superblock().life().incarnation()));
        replica.update(s -> {
            Superblock next = s.with(new Superblock.Seen(encoded, version));
            return vouched ? next.vouched() : next;
        });
        // Before anybody acts on the new size, a client or a record: and tried again if it fails.
        try {
            replica.grow(newer.sizeBytes());
        } catch (IOException e) {
            throw new CannotGrowException(
                    "the image at " + agent + " cannot grow to " + newer.sizeBytes() + " bytes: " + e.getMessage(), e);
        }
        config = newer;
        this.version = version;
        keepMarks();
    }

    /** For every replica that is not in sync: whoever is, can bring it back one day. Without space it is tried again. */
    void keepMarks() {
        synchronized (marksLock) { // who comes last goes by the newest block
            VolumeConfig now = config;
            Set<String> absent = now.replicas().stream()
                    .map(VolumeConfig.Address::agent)
                    .filter(a -> !a.equals(agent) && now.member(a).isEmpty())
                    .collect(Collectors.toSet());
            try {
                replica.marks().keepFor(absent);
                marksLacking = false;
            } catch (IOException e) {
                if (!marksLacking) {
                    LOG.warn(
                            "volume {}: no marks are kept for {} until they can be: {}",
                            name(),
                            absent,
                            e.getMessage());
                }
                marksLacking = true;
            }
        }
    }

    /** Once more, if they could not be kept. To be called from time to time. */
    void keepMarksThatLack() {
        if (marksLacking) {
            keepMarks();
        }
    }

    /** A full disk passes, and is told to whoever asked. Any other failure to write is final. */
    RefusedException cannotStore(String what, IOException e) {
        String why = what + " cannot be written: " + e.getMessage();
        if (e instanceof CannotGrowException) {
            roles.say(String.valueOf(e.getMessage()));
            return new RefusedException(Why.NO_SPACE, e.getMessage());
        }
        if (e instanceof NoSpaceException || e instanceof DiskFullException) {
            roles.say(why);
            return new RefusedException(Why.NO_SPACE, why);
        }
        replica.fail(why);
        return new RefusedException(Why.FAILED, why);
    }

    /** Not final: this replica goes without until it can. */
    private static final class CannotGrowException extends IOException {
        CannotGrowException(String message, IOException cause) {
            super(message, cause);
        }
    }
}
