package io.terminus.cli;

import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** {@code terminus locks}: what is asked of the lock manager. */
@Command(name = "locks", description = "List locks and take them back.")
final class LocksCommand {

    static final Duration DEADLINE = Duration.ofSeconds(10);
    static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** The end of a range that covers a whole volume. */
    private static final long WHOLE = Long.MAX_VALUE;

    /** One row of {@code locks list --json}. */
    record Lock(
            long id,
            String volume,
            long start,
            long end,
            String mode,
            long token,
            String session,
            String owner,
            boolean standby,
            boolean revoked,
            boolean recalled,
            List<Long> blockedBy) {}

    private final Terminus terminus;

    LocksCommand(Terminus terminus) {
        this.terminus = terminus;
    }

    @Command(name = "list", description = "The locks that are held, or with --waiting those that are waited for.")
    int list(
            @Parameters(paramLabel = "VOLUME", arity = "0..1", description = "Of this volume (default: of all).")
                    @Nullable
                    String volume,
            @Option(names = "--waiting", description = "Waiters, and what each waits for.") boolean waiting,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<Lock> locks = new ArrayList<>();
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            List<String> names = volume == null
                    ? client.volumes().stream()
                            .map(VolumeInfo::getName)
                            .sorted()
                            .toList()
                    : List.of(volume);
            for (String name : names) {
                client.locks(name, waiting).stream().map(LocksCommand::lock).forEach(locks::add);
            }
        }
        if (json) {
            terminus.screen().line(JSON.writeValueAsString(locks));
        } else if (locks.isEmpty()) {
            terminus.screen().line(waiting ? "Nobody waits for a lock." : "No locks are held.");
        } else {
            terminus.screen().lines(waiting ? waiters(locks) : holders(locks));
        }
        return 0;
    }

    @Command(
            name = "release",
            description = {
                "Take a lock from its holder.",
                "Its range becomes free when the holder knows of it, or when the holder's lease has ended."
            })
    int release(
            @Parameters(paramLabel = "VOLUME", description = "The volume.") String volume,
            @Parameters(paramLabel = "LOCK", description = "The lock's id, as 'locks list' shows it.") long lockId,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            client.forceRelease(volume, lockId);
        }
        terminus.screen().line("Lock " + lockId + " on " + volume + " is revoked.");
        return 0;
    }

    private static List<String> holders(List<Lock> locks) {
        Table table = new Table("LOCK", "VOLUME", "RANGE", "MODE", "OWNER", "SESSION", "TOKEN", "STATE");
        for (Lock lock : locks) {
            table.row(
                    Long.toString(lock.id()),
                    lock.volume(),
                    range(lock),
                    lock.mode(),
                    lock.owner(),
                    lock.session(),
                    Long.toUnsignedString(lock.token()),
                    lock.revoked() ? "revoked" : lock.recalled() ? "recalled" : "held");
        }
        return table.lines();
    }

    private static List<String> waiters(List<Lock> locks) {
        Table table = new Table("WAITER", "VOLUME", "RANGE", "MODE", "OWNER", "SESSION", "KIND", "BEHIND");
        for (Lock lock : locks) {
            table.row(
                    Long.toString(lock.id()),
                    lock.volume(),
                    range(lock),
                    lock.mode(),
                    lock.owner(),
                    lock.session(),
                    lock.standby() ? "standby" : "ordinary",
                    lock.blockedBy().stream().map(String::valueOf).collect(Collectors.joining(" ")));
        }
        return table.lines();
    }

    private static Lock lock(LockInfo info) {
        return new Lock(
                info.getId(),
                info.getVolume(),
                info.getRange().getStart(),
                info.getRange().getEnd(),
                info.getMode().name().replaceFirst("^MODE_", ""),
                info.getToken(),
                info.getSessionId(),
                info.getOwner(),
                info.getStandby(),
                info.getRevoked(),
                info.getRecalled(),
                info.getBlockedByList());
    }

    private static String range(Lock lock) {
        return lock.start() == 0 && lock.end() == WHOLE ? "whole volume" : "[" + lock.start() + ", " + lock.end() + ")";
    }
}
