package io.terminus.security;

import java.net.InetAddress;
import java.net.UnknownHostException;

/**
 * Whether a port may be open to the network: to this machine always, beyond it where callers are authenticated, else only if
 * {@value #SETTING} says so.
 *
 * @param insecure whether it says so
 */
public record Exposure(boolean insecure) {

    public static final String SETTING = "terminus.insecure";

    /**
     * Null if it may be opened; else why not.
     *
     * @param port what is to listen, such as "NBD on port 10809"
     * @param remedy how it is made to, such as "set agent.tls.cert, .key and .ca, or"; the sentence goes on with the setting
     */
    public @org.jspecify.annotations.Nullable String refusal(
            String port, String address, boolean authenticated, String remedy) {
        if (insecure || authenticated || isLoopback(address)) {
            return null;
        }
        return port + " at " + address
                + " would be reached from other machines, and whoever connects is not authenticated; " + remedy + " "
                + SETTING + "=true, if everyone who can connect there may do everything";
    }

    private static boolean isLoopback(String address) {
        try {
            return InetAddress.getByName(address).isLoopbackAddress();
        } catch (UnknownHostException e) {
            return false; // who listens says it better
        }
    }
}
