package io.terminus.agent.nbd;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import javax.net.ssl.SSLEngine;

/** The exports of this agent. Called by any connection's reader; must not block for long. */
public interface Exports {

    /** What is served here now. */
    List<Export> list();

    /** {@code ""} is the default export: the only one, if there is exactly one. */
    Lookup find(String name);

    /** Who writes it, as far as is known here without asking anybody; a relayed connection ends when this changes. */
    default String writer(String name) {
        return "";
    }

    /** What a name led to. */
    sealed interface Lookup {

        record Found(Export export) implements Lookup {}

        /** Known, but not served here now; the client is told why. */
        record Unavailable(String why) implements Lookup {}

        record Unknown() implements Lookup {}

        /** Served by another agent, to which the connection is relayed. */
        record Elsewhere(String name, Locator locator) implements Lookup {}
    }

    /** Where it is served now. */
    interface Locator {

        /**
         * Asks others, and waits for them, for some seconds at most.
         *
         * @throws IOException if it is not known now; the message says why
         */
        Upstream locate() throws IOException;
    }

    /**
     * @param tls a client's engine for one connection; empty: the other agent is spoken to without TLS
     */
    record Upstream(InetSocketAddress address, Optional<Supplier<SSLEngine>> tls) {}
}
