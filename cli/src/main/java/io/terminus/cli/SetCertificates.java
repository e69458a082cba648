package io.terminus.cli;

import io.terminus.security.CertificateAuthority;
import io.terminus.security.Role;
import io.terminus.security.TlsFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * An authority of a set's own, and a certificate for each of its processes and for each role people can have. For tests and first steps: all
 * keys lie in one directory.
 *
 * <pre>
 *   ca, lockmgr, a, b, admin, operator, reader, client   each .crt and .key
 *   nbd/                                                 the client's and the authority's under the names that qemu and libnbd look for
 * </pre>
 */
final class SetCertificates {

    private static final Duration VALID = Duration.ofDays(365);
    private static final List<String> HOSTS = List.of("localhost", "127.0.0.1");
    private static final List<Role> PEOPLE = List.of(Role.ADMIN, Role.OPERATOR, Role.READER, Role.CLIENT);

    private SetCertificates() {}

    static TlsFiles of(SetDirectory directory, SetMember member) {
        return files(directory.certificates(), member.title());
    }

    /** Returns those of the admin, with which commands ask. Those that are there already stay. */
    static TlsFiles make(SetDirectory set) {
        Path directory = set.certificates();
        TlsFiles admin = files(directory, Role.ADMIN.title());
        if (Files.exists(directory.resolve("nbd"))) {
            return admin;
        }
        Instant until = Instant.now().plus(VALID);
        try {
            CertificateAuthority authority = Files.exists(directory.resolve("ca.crt"))
                    ? CertificateAuthority.open(directory)
                    : CertificateAuthority.create(directory, "terminus test authority", until);
            for (SetMember member : SetMember.values()) {
                String uri = member.isAgent() ? "terminus:agent/" + member.title() : "terminus:role/lockmgr";
                authority.issue(member.title(), List.of(uri), HOSTS, until);
            }
            for (Role role : PEOPLE) {
                authority.issue(role.title(), List.of("terminus:role/" + role.title()), List.of(), until);
            }
            TlsFiles client = files(directory, Role.CLIENT.title());
            Path fresh = Files.createDirectories(directory.resolve("nbd.new"));
            Files.createSymbolicLink(fresh.resolve("ca-cert.pem"), client.ca());
            Files.createSymbolicLink(fresh.resolve("client-cert.pem"), client.cert());
            Files.createSymbolicLink(fresh.resolve("client-key.pem"), client.key());
            Files.move(fresh, directory.resolve("nbd"));
            return admin;
        } catch (IOException e) {
            throw new Failure("cannot make certificates in " + directory + ": " + SetDirectory.reason(e), e);
        }
    }

    private static TlsFiles files(Path directory, String name) {
        return new TlsFiles(
                directory.resolve(name + ".crt"), directory.resolve(name + ".key"), directory.resolve("ca.crt"));
    }
}
