package io.terminus.cli;

import io.terminus.security.CertificateAuthority;
import io.terminus.security.Role;
import io.terminus.security.TlsFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus certs}: for those who have no authority of their own. */
@Command(
        name = "certs",
        description = "Make an authority, and certificates with roles, in a directory.",
        synopsisSubcommandLabel = "COMMAND")
final class CertsCommand {

    private static final Duration AUTHORITY_VALID = Duration.ofDays(3650);

    private final Terminus terminus;

    CertsCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(name = "init", description = "Make an authority: DIR/ca.crt and DIR/ca.key.")
    int init(
            @Parameters(paramLabel = "DIR", description = "The authority's directory.") Path directory,
            @Option(names = "--json", description = "The file that was made.") boolean json) {
        try {
            var unused = CertificateAuthority.create(
                    directory, "terminus authority", Instant.now().plus(AUTHORITY_VALID));
        } catch (IOException e) {
            throw new Failure("no authority was made in " + directory + ": " + SetDirectory.reason(e), e);
        }
        String made = directory.resolve("ca.crt").toString();
        terminus.screen()
                .line(json ? Json.write(new Authority(made)) : "Made " + made + ". Keep ca.key where nobody reads it.");
        return 0;
    }

    @Command(
            name = "issue",
            description = {
                "Make DIR/NAME.key and DIR/NAME.crt, signed by the authority in DIR.",
                "Files that are there are replaced: processes that use them take the new ones within seconds."
            })
    int issue(
            @Parameters(paramLabel = "DIR", description = "The authority's directory.") Path directory,
            @Parameters(paramLabel = "NAME", description = "Of the files, and the common name of the subject.")
                    String name,
            @Option(names = "--role", paramLabel = "ROLE", description = "admin, operator, reader, client or lockmgr.")
                    @Nullable
                    List<Role> roles,
            @Option(names = "--agent", paramLabel = "AGENT", description = "It is the certificate of this agent.")
                    @Nullable
                    String agent,
            @Option(
                            names = "--volume",
                            paramLabel = "VOLUME",
                            description = "Of the volumes served over NBD only this one, and others so named.")
                    @Nullable
                    List<String> volumes,
            @Option(
                            names = "--host",
                            paramLabel = "HOST",
                            description = "A name or address under which it is reached as a server.")
                    @Nullable
                    List<String> hosts,
            @Option(
                            names = "--days",
                            paramLabel = "DAYS",
                            defaultValue = "365",
                            description = "How long it is valid (default: ${DEFAULT-VALUE}).")
                    int days,
            @Option(names = "--json", description = "The files that were made, and what they let one do.")
                    boolean json) {
        List<String> uris = new ArrayList<>();
        for (Role role : roles == null ? List.<Role>of() : roles) {
            if (role == Role.AGENT) {
                throw new Failure("an agent has a name: --agent NAME");
            }
            uris.add("terminus:role/" + role.title());
        }
        if (agent != null) {
            uris.add("terminus:agent/" + agent);
        }
        for (String volume : volumes == null ? List.<String>of() : volumes) {
            uris.add("terminus:volume/" + volume);
        }
        if (uris.isEmpty()) {
            throw new Failure("a certificate without --role and --agent lets nobody do anything");
        }
        try {
            TlsFiles made = CertificateAuthority.open(directory)
                    .issue(
                            name,
                            uris,
                            hosts == null ? List.of() : hosts,
                            Instant.now().plus(Duration.ofDays(days)));
            terminus.screen()
                    .line(
                            json
                                    ? Json.write(new Issued(
                                            made.cert().toString(), made.key().toString(), uris))
                                    : "Made " + made.cert() + " and " + made.key() + ": " + String.join(", ", uris));
        } catch (IOException e) {
            throw new Failure("no certificate " + name + " was made: " + SetDirectory.reason(e), e);
        }
        return 0;
    }

    record Authority(String ca) {}

    /** @param uris the names in the certificate */
    record Issued(String cert, String key, List<String> uris) {}
}
