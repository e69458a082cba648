package io.terminus.agent.nbd;

import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/** Who may use which export. Called by a connection's reader; must not wait. */
public interface Admission {

    /** Everyone whose certificate is trusted. */
    Admission EVERYONE = (client, export) -> null;

    /** Null if this client may use it; else why not, which the client is told. */
    @Nullable
    String refusal(SSLSession client, String export);
}
