package io.terminus.lockmgr.grpc;

/**
 * What one client may ask of the service at a time; what the table keeps has limits of its own. Each is refused with a
 * sentence that names the value and the bound.
 *
 * @param rangesPerRequest of one acquire, the first one counted
 * @param operationsPerMessage of one message of a session stream
 * @param messageBytes of one message of a client; gRPC refuses a longer one before it is read
 * @param outbound answers and events that may wait for a client that does not read
 * @param watchers of all volumes together
 * @param watchBacklog events that may wait for a watcher that does not read
 */
public record ServiceLimits(
        int rangesPerRequest,
        int operationsPerMessage,
        int messageBytes,
        int outbound,
        int watchers,
        int watchBacklog) {

    /** The contract allows no more than this: a first range and 63 others. */
    public static final int MOST_RANGES_PER_REQUEST = 64;

    public ServiceLimits {
        require(
                rangesPerRequest >= 1 && rangesPerRequest <= MOST_RANGES_PER_REQUEST,
                "ranges-per-request of " + rangesPerRequest + " breaks the rule 1 to " + MOST_RANGES_PER_REQUEST);
        require(operationsPerMessage > 0, "operations-per-message of " + operationsPerMessage + " must be positive");
        require(messageBytes >= 1024, "message-size of " + messageBytes + " bytes is less than 1 KiB");
        require(outbound > 0, "outbound-limit of " + outbound + " must be positive");
        require(watchers >= 0, "watchers of " + watchers + " is negative");
        require(watchBacklog > 0, "watch-backlog of " + watchBacklog + " must be positive");
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
