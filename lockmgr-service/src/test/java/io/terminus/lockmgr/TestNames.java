package io.terminus.lockmgr;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.net.spi.InetAddressResolver;
import java.net.spi.InetAddressResolverProvider;
import java.security.Security;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/** A DNS for names that end with {@value #DOMAIN}, in this process: hosts get addresses, and other ones later. */
public final class TestNames extends InetAddressResolverProvider {

    public static final String DOMAIN = "group.test";

    private static final Map<String, InetAddress> ADDRESSES = new ConcurrentHashMap<>();

    static {
        // Else this process would go by what it was told for half a minute.
        Security.setProperty("networkaddress.cache.ttl", "0");
    }

    /** @param address in digits */
    public static void point(String host, String address) {
        try {
            ADDRESSES.put(
                    host,
                    InetAddress.getByAddress(
                            host, InetAddress.getByName(address).getAddress()));
        } catch (UnknownHostException e) {
            throw new IllegalArgumentException(address, e);
        }
    }

    @Override
    public InetAddressResolver get(Configuration configuration) {
        InetAddressResolver system = configuration.builtinResolver();
        return new InetAddressResolver() {
            @Override
            public Stream<InetAddress> lookupByName(String host, LookupPolicy policy) throws UnknownHostException {
                if (!host.endsWith("." + DOMAIN)) {
                    return system.lookupByName(host, policy);
                }
                InetAddress address = ADDRESSES.get(host);
                if (address == null) {
                    throw new UnknownHostException(host);
                }
                return Stream.of(address);
            }

            @Override
            public String lookupByAddress(byte[] address) throws UnknownHostException {
                return system.lookupByAddress(address);
            }
        };
    }

    @Override
    public String name() {
        return "test";
    }
}
