package io.terminus.agent.peer;

import io.terminus.agent.net.DuplexSocket;
import io.terminus.agent.volume.TestHooks;
import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * How an agent treats its links, those it opens and those it takes.
 *
 * @param compression used where the other side is set to it too
 * @param peerTimeout a peer unheard for so long counts as gone: what is on the way to it is bounded accordingly
 * @param tls null: links are neither encrypted nor authenticated
 */
public record LinkSettings(
        Compression compression,
        Duration peerTimeout,
        TestHooks hooks,
        @Nullable TlsKeys tls) {

    static final LinkSettings DEFAULTS =
            new LinkSettings(Compression.NONE, Duration.ofSeconds(2), TestHooks.NONE, null);

    private static final Duration LEAST_SILENCE = Duration.ofSeconds(10);

    /** Without TLS. */
    public LinkSettings(Compression compression, Duration peerTimeout, TestHooks hooks) {
        this(compression, peerTimeout, hooks, null);
    }

    /** Opens a connection to an agent; under TLS nothing is said to another one. */
    DuplexSocket connect(InetSocketAddress to, String agent, Duration timeout, String name, long queueLimitBytes)
            throws IOException {
        TlsKeys keys = tls;
        return keys == null
                ? DuplexSocket.connect(to, timeout, name, queueLimitBytes)
                : DuplexSocket.connect(
                        to, timeout, name, queueLimitBytes, keys.clientEngine(to.getHostString(), to.getPort(), agent));
    }

    /** A connection without a byte for so long is given up: the other machine may be gone without a word. */
    Duration silence() {
        Duration several = peerTimeout.multipliedBy(5);
        return several.compareTo(LEAST_SILENCE) < 0 ? LEAST_SILENCE : several;
    }
}
