package io.terminus.agent.admin;

import java.util.function.BooleanSupplier;

/**
 * Where this agent is reached, each {@code host:port} as others are to use it.
 *
 * @param nbdNeedsTls clients get no further than STARTTLS without it
 */
public record Endpoints(
        String nbd,
        boolean nbdNeedsTls,
        String peer,
        String control,
        String lockManager,
        BooleanSupplier lockManagerReachable) {

    String nbdUri(String volume) {
        return (nbdNeedsTls ? "nbds://" : "nbd://") + nbd + "/" + volume;
    }
}
