package io.terminus.agent.nbd;

import java.time.Duration;

/** The limits of every day, but for what a test is about. */
public final class TestLimits {

    private TestLimits() {}

    /** So long the relay looks for a volume's writer. */
    public static Limits relaying(Duration relay) {
        Limits l = Limits.defaults();
        return of(l.connections(), l.connectionsOfOneAddress(), relay);
    }

    static Limits connections(int all, int ofOneAddress) {
        return of(all, ofOneAddress, Limits.defaults().relay());
    }

    private static Limits of(int connections, int connectionsOfOneAddress, Duration relay) {
        Limits l = Limits.defaults();
        return new Limits(
                connections,
                connectionsOfOneAddress,
                l.requestsInFlight(),
                l.bytesInFlight(),
                l.largeRequests(),
                l.stall(),
                l.handshake(),
                l.shutdown(),
                relay,
                l.relayStep());
    }
}
