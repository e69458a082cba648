package io.terminus.cli;

import io.terminus.proto.lock.v1.SessionInfo;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code terminus sessions}: who holds leases at the lock manager. */
@Command(name = "sessions", description = "List the sessions of the lock manager.")
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
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<Session> sessions;
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), LocksCommand.DEADLINE)) {
            sessions = client.sessions().stream().map(SessionsCommand::session).toList();
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
