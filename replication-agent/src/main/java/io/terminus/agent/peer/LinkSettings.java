package io.terminus.agent.peer;

import io.terminus.agent.volume.TestHooks;
import java.time.Duration;

/**
 * How an agent treats its links, those it opens and those it takes.
 *
 * @param compression used where the other side is set to it too
 * @param peerTimeout a peer unheard for so long counts as gone: what is on the way to it is bounded accordingly
 */
public record LinkSettings(Compression compression, Duration peerTimeout, TestHooks hooks) {

    static final LinkSettings DEFAULTS = new LinkSettings(Compression.NONE, Duration.ofSeconds(2), TestHooks.NONE);

    private static final Duration LEAST_SILENCE = Duration.ofSeconds(10);

    /** A connection without a byte for so long is given up: the other machine may be gone without a word. */
    Duration silence() {
        Duration several = peerTimeout.multipliedBy(5);
        return several.compareTo(LEAST_SILENCE) < 0 ? LEAST_SILENCE : several;
    }
}
