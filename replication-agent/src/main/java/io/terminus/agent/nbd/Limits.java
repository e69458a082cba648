package io.terminus.agent.nbd;

import java.time.Duration;

/**
 * What clients may take of this server.
 *
 * <p>In all, buffers take at most {@code connections} times 2.5 MiB, and 30 MiB more for each of {@code largeRequests}: with the
 * defaults 880 MiB for each address that is listened on, if every place is taken by a client that sends half of its request.
 *
 * @param connections at a time, over all exports, by address that is listened on; more are told so, and closed
 * @param connectionsOfOneAddress of those, how many may come from one address; an agent that relays comes with all its clients from one
 * @param requestsInFlight of one connection; its reader stops there until one is answered
 * @param bytesInFlight payload of unanswered writes of one connection; a single larger write is still let in
 * @param largeRequests connections that may have received a part of a request of more than 2 MiB at a time; others wait
 *     with theirs
 * @param stall a client that sends nothing of the rest of such a request for so long is disconnected
 * @param handshake a client that has not chosen an export by then is disconnected
 * @param shutdown the longest that {@link NbdServer#close} waits for requests in flight
 * @param relay how long a client waits in the handshake while nobody serves its export, as during a failover
 * @param relayStep how long another agent may take to answer in a step of it
 */
public record Limits(
        int connections,
        int connectionsOfOneAddress,
        int requestsInFlight,
        long bytesInFlight,
        int largeRequests,
        Duration stall,
        Duration handshake,
        Duration shutdown,
        Duration relay,
        Duration relayStep) {

    public Limits {
        requirePositive("connections", connections);
        requirePositive("connectionsOfOneAddress", connectionsOfOneAddress);
        requirePositive("requestsInFlight", requestsInFlight);
        requirePositive("bytesInFlight", bytesInFlight);
        requirePositive("largeRequests", largeRequests);
        if (requestsInFlight > InFlight.MOST_REQUESTS) {
            throw new IllegalArgumentException(
                    "requestsInFlight is " + requestsInFlight + ", the most is " + InFlight.MOST_REQUESTS);
        }
    }

    public Limits(
            int connections,
            int requestsInFlight,
            long bytesInFlight,
            int largeRequests,
            Duration stall,
            Duration handshake,
            Duration shutdown) {
        this(
                connections,
                connections,
                requestsInFlight,
                bytesInFlight,
                largeRequests,
                stall,
                handshake,
                shutdown,
                Duration.ofSeconds(20),
                Duration.ofSeconds(3));
    }

    public static Limits defaults() {
        return new Limits(
                256,
                128,
                1024,
                64 << 20,
                8,
                Duration.ofSeconds(30),
                Duration.ofSeconds(10),
                Duration.ofSeconds(5),
                Duration.ofSeconds(20),
                Duration.ofSeconds(3));
    }

    private static void requirePositive(String what, long value) {
        if (value <= 0) {
            throw new IllegalArgumentException(what + " is " + value + ", must be positive");
        }
    }
}
