package io.terminus.cli;

import io.terminus.proto.lock.v1.SessionInfo;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code terminus sessions}: who holds leases at the lock manager. */
@Command(name = "sessions", description = "List the sessions of the lock manager, and end them.")
final class SessionsCommand {

    /** One row of {@code sessions list --json}. */
    record Session(
            String session,
            String owner,
            long ttlMillis,
            long expiresInMillis,
            long held,
            long waiting,
            boolean attached) {}

    private final Terminus terminus;

    SessionsCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(name = "list", description = "The sessions and their leases.")
    int list(
            @Option(
                            names = "--owner",
                            paramLabel = "NAME",
                            defaultValue = "",
                            description = "Only those whose owner begins like this.")
                    String owner,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<Session> sessions;
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), LocksCommand.DEADLINE)) {
            sessions = client.sessions(owner).stream()
                    .map(SessionsCommand::session)
                    .toList();
        }
        if (json) {
            terminus.screen().line(LocksCommand.JSON.writeValueAsString(sessions));
        } else if (sessions.isEmpty()) {
            terminus.screen().line("There are no sessions.");
        } else {
            terminus.screen().lines(table(sessions));
        }
        return 0;
    }

    @Command(
            name = "close",
            description = {
                "End a session: what it holds is released at once.",
                "Only for one whose owner is known to be gone; a living owner learns of it too late to stop."
            })
    int close(
            @Parameters(paramLabel = "SESSION", description = "The session's id, as 'sessions list' shows it.")
                    String session,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        PortPlan ports = terminus.ports(dir);
        String rest;
        try (LockManagerClient client = new LockManagerClient(ports, LocksCommand.DEADLINE)) {
            rest = ports.endpoints(client.leaderOfSession(session)).rest();
        }
        close(rest, session);
        terminus.screen()
                .line(
                        json
                                ? LocksCommand.JSON.writeValueAsString(Map.of("closed", session))
                                : "Session " + session + " is closed.");
        return 0;
    }

    /** Over REST, where it is known for what an operator did, and kept in the audit log. */
    private static void close(String rest, String session) {
        String who = "the lock manager at " + rest;
        URI uri =
                URI.create("http://" + rest + "/api/v1/sessions/" + URLEncoder.encode(session, StandardCharsets.UTF_8));
        try (HttpClient http = HttpClient.newBuilder()
                .proxy(HttpClient.Builder.NO_PROXY)
                .connectTimeout(LocksCommand.DEADLINE)
                .build()) {
            HttpResponse<String> response = http.send(
                    HttpRequest.newBuilder(uri)
                            .DELETE()
                            .timeout(LocksCommand.DEADLINE)
                            .build(),
                    BodyHandlers.ofString());
            if (response.statusCode() != 204) {
                String said = LocksCommand.JSON
                        .readTree(response.body())
                        .path("detail")
                        .asString("status " + response.statusCode());
                throw new Failure(who + " refused: " + said);
            }
        } catch (HttpTimeoutException e) {
            throw new Failure(who + " did not answer in time", e);
        } catch (IOException e) {
            throw new Failure(who + " does not answer: 'terminus status' shows what runs", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted while closing session " + session, e);
        }
    }

    private static List<String> table(List<Session> sessions) {
        Table table = new Table("SESSION", "OWNER", "LEASE MS", "ENDS IN MS", "HELD", "WAITING", "STREAM");
        for (Session session : sessions) {
            table.row(
                    session.session(),
                    session.owner(),
                    Long.toString(session.ttlMillis()),
                    Long.toString(session.expiresInMillis()),
                    Long.toString(session.held()),
                    Long.toString(session.waiting()),
                    session.attached() ? "attached" : "none");
        }
        return table.lines();
    }

    private static Session session(SessionInfo info) {
        return new Session(
                info.getSessionId(),
                info.getOwner(),
                info.getTtlMillis(),
                info.getExpiresInMillis(),
                info.getHeld(),
                info.getWaiting(),
                info.getAttached());
    }
}
