package io.terminus.agent.admin;

import java.util.function.BooleanSupplier;

/** Where this agent is reached, each {@code host:port} as others are to use it. */
public record Endpoints(
        String nbd, String peer, String control, String lockManager, BooleanSupplier lockManagerReachable) {}
