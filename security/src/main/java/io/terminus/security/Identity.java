package io.terminus.security;

import java.security.cert.Certificate;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * Who somebody is, from the URIs among the alternative names of its certificate:
 *
 * <pre>
 *   terminus:role/ROLE      see {@link Role}; several add up
 *   terminus:agent/NAME     an agent of that name, and with it the role agent
 *   terminus:volume/NAME    over NBD this volume, and others so named; none: all
 * </pre>
 *
 * What is not understood gives nothing.
 *
 * @param subject of the certificate, as RFC 2253 writes it
 * @param agent empty: none
 * @param volumes empty: all
 */
public record Identity(String subject, Set<Role> roles, String agent, Set<String> volumes) {

    /** Whoever comes over a connection that asks for no certificate. */
    public static final Identity UNKNOWN = new Identity("unauthenticated", EnumSet.of(Role.ADMIN), "", Set.of());

    private static final String NO_CERTIFICATE = "no certificate";
    private static final String SCHEME = "terminus:";
    private static final int URI_NAME = 6;

    public Identity {
        roles = Set.copyOf(roles);
        volumes = Set.copyOf(volumes);
    }

    public static Identity of(X509Certificate certificate) {
        Set<Role> roles = EnumSet.noneOf(Role.class);
        Set<String> volumes = new TreeSet<>();
        String agent = "";
        for (String uri : uris(certificate)) {
            String[] parts = uri.substring(SCHEME.length()).split("/", 2);
            String value = parts.length == 2 ? parts[1] : "";
            switch (parts[0]) {
                case "role" -> {
                    for (Role role : Role.values()) {
                        // Who is an agent says so with its name.
                        if (role != Role.AGENT && role.title().equals(value)) {
                            roles.add(role);
                        }
                    }
                }
                case "agent" -> {
                    if (!value.isEmpty()) {
                        agent = value;
                        roles.add(Role.AGENT);
                    }
                }
                case "volume" -> volumes.add(value);
                default -> {} // of a later version
            }
        }
        return new Identity(certificate.getSubjectX500Principal().getName(), roles, agent, volumes);
    }

    /** Of the other side; its certificate was verified by the handshake. */
    public static Identity of(@Nullable SSLSession session) {
        if (session == null) {
            return UNKNOWN;
        }
        try {
            Certificate[] chain = session.getPeerCertificates();
            return of((X509Certificate) chain[0]);
        } catch (SSLPeerUnverifiedException e) {
            return nobody();
        }
    }

    /** Somebody without a certificate where one is needed. */
    public static Identity nobody() {
        return new Identity(NO_CERTIFICATE, Set.of(), "", Set.of());
    }

    /** Whether there is one among the roles that may what one of these may. */
    public boolean hasAny(Collection<Role> needed) {
        return needed.stream().anyMatch(need -> roles.stream().anyMatch(need::isIn));
    }

    public boolean has(Role needed) {
        return hasAny(Set.of(needed));
    }

    /** Why something is not done: names the roles needed and those had. */
    public String refusal(String what, Collection<Role> needed) {
        return what + " needs the role "
                + needed.stream().sorted().map(Role::title).collect(Collectors.joining(" or ")) + "; " + this;
    }

    @Override
    public String toString() {
        String had = roles.isEmpty()
                ? "no role"
                : roles.stream().sorted().map(Role::title).collect(Collectors.joining("+"));
        if (subject.equals(NO_CERTIFICATE)) {
            return "no certificate was shown";
        }
        return subject + " has " + had + (agent.isEmpty() ? "" : " (agent " + agent + ")");
    }

    private static List<String> uris(X509Certificate certificate) {
        try {
            Collection<List<?>> names = certificate.getSubjectAlternativeNames();
            return names == null
                    ? List.of()
                    : names.stream()
                            .filter(name -> name.get(0) instanceof Integer kind && kind == URI_NAME)
                            .map(name -> String.valueOf(name.get(1)))
                            .filter(uri -> uri.startsWith(SCHEME))
                            .toList();
        } catch (CertificateParsingException e) {
            return List.of();
        }
    }
}
