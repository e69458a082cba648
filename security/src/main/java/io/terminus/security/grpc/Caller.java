package io.terminus.security.grpc;

import io.grpc.Context;
import io.terminus.security.Identity;

/**
 * Who makes a gRPC call.
 *
 * @param address host:port
 */
public record Caller(Identity identity, String address) {

    static final Context.Key<Caller> KEY = Context.key("terminus-caller");

    private static final Caller UNKNOWN = new Caller(Identity.UNKNOWN, "unknown");

    /** Of the call in whose method this is asked. */
    public static Caller current() {
        Caller caller = KEY.get();
        return caller == null ? UNKNOWN : caller;
    }

    /** As the audit log has it. */
    @Override
    public String toString() {
        return identity.equals(Identity.UNKNOWN) ? address : identity + ", " + address;
    }
}
