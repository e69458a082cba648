package io.terminus.agent.peer;

import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.security.Identity;

/** An agent speaks for itself, and for the volumes it has a replica of. Without TLS nobody can be told from another. */
final class PeerIdentity {

    private PeerIdentity() {}

    /**
     * @param config as it is known here: an agent that was added since is refused until it is known, and comes again
     * @param claimed who the message says it is from
     */
    static void require(Identity who, VolumeConfig config, String claimed) throws RefusedException {
        if (who.equals(Identity.UNKNOWN)) {
            return;
        }
        if (who.agent().isEmpty() || !who.agent().equals(claimed)) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, "agent \"" + claimed + "\" needs a certificate of that agent; " + who);
        }
        if (config.replicas().stream().noneMatch(replica -> replica.agent().equals(claimed))) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "agent " + claimed + " has no replica of volume " + config.name() + ", as far as is known here");
        }
    }
}
