package io.terminus.cli;

import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.LockEvent;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** {@code terminus locks}: what is asked of the lock manager. */
@Command(name = "locks", description = "List and watch locks, and take them back.")
final class LocksCommand {

    static final Duration DEADLINE = Duration.ofSeconds(10);
    static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private static final JsonMapper JSON_LINE = JsonMapper.builder().build();
    private static final String RANGE_HELP = "Only what overlaps these bytes, as in 1MiB-2MiB.";

    /** The modes as people write them. */
    enum LockMode {
        NL,
        CR,
        CW,
        PR,
        PW,
        EX
    }

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
            long request,
            boolean standby,
            boolean revoked,
            boolean recalled,
            boolean delayed,
            long convertsLock,
            List<Long> blockedBy) {}

    /** One row of {@code locks contention --json}. */
    record Bucket(long start, long end, long held, long waiting) {}

    /** One line of {@code locks watch --json}. {@code HELD}: was there when the watch began, as a waiter is {@code WAITING}. */
    record Event(String time, String kind, Lock lock, String why, long valueVersion) {}

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
            @Option(names = "--range", paramLabel = "START-END", description = RANGE_HELP) @Nullable String range,
            @Option(names = "--mode", paramLabel = "MODE", description = "Only this of NL CR CW PR PW EX.") @Nullable
                    LockMode mode,
            @Option(names = "--session", paramLabel = "ID", description = "Only of this session.") @Nullable
                    String session,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        ListLocksRequest.Builder query = ListLocksRequest.newBuilder().setWaiting(waiting);
        if (range != null) {
            query.setRange(parse(range));
        }
        if (mode != null) {
            query.setMode(Mode.valueOf("MODE_" + mode));
        }
        if (session != null) {
            query.setSessionId(session);
        }
        List<Lock> locks = new ArrayList<>();
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            List<String> names = volume == null
                    ? client.volumes().stream()
                            .map(VolumeInfo::getName)
                            .sorted()
                            .toList()
                    : List.of(volume);
            for (String name : names) {
                client.locks(query.setVolume(name).build()).stream()
                        .map(LocksCommand::lock)
                        .forEach(locks::add);
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

    @Command(name = "waiters", description = "The same as 'list --waiting'.")
    int waiters(
            @Parameters(paramLabel = "VOLUME", arity = "0..1", description = "Of this volume (default: of all).")
                    @Nullable
                    String volume,
            @Option(names = "--range", paramLabel = "START-END", description = RANGE_HELP) @Nullable String range,
            @Option(names = "--mode", paramLabel = "MODE", description = "Only this of NL CR CW PR PW EX.") @Nullable
                    LockMode mode,
            @Option(names = "--session", paramLabel = "ID", description = "Only of this session.") @Nullable
                    String session,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        return list(volume, true, range, mode, session, json, dir);
    }

    @Command(name = "blockers", description = "What is in the way of a request that waits: locks first, then waiters.")
    int blockers(
            @Parameters(paramLabel = "SESSION", description = "The session that waits.") String session,
            @Parameters(paramLabel = "REQUEST", description = "Its request, as 'locks waiters' shows it.") long request,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        List<LockInfo> found;
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            found = client.blockers(session, request);
        }
        List<Lock> blockers = found.stream().map(LocksCommand::lock).toList();
        if (json) {
            terminus.screen().line(JSON.writeValueAsString(blockers));
        } else if (blockers.isEmpty()) {
            terminus.screen().line("Nothing is in its way any more.");
        } else {
            Table table = new Table("KIND", "ID", "VOLUME", "RANGE", "MODE", "OWNER", "SESSION", "REQUEST");
            for (Lock blocker : blockers) {
                table.row(
                        blocker.token() != 0 ? "lock" : "waiter",
                        Long.toString(blocker.id()),
                        blocker.volume(),
                        range(blocker),
                        blocker.mode(),
                        blocker.owner(),
                        blocker.session(),
                        Long.toString(blocker.request()));
            }
            terminus.screen().lines(table.lines());
        }
        return 0;
    }

    @Command(name = "contention", description = "How much of a volume is held and waited for, range by range.")
    int contention(
            @Parameters(paramLabel = "VOLUME", description = "The volume.") String volume,
            @Option(names = "--range", paramLabel = "START-END", description = RANGE_HELP) @Nullable String range,
            @Option(
                            names = "--buckets",
                            paramLabel = "N",
                            defaultValue = "16",
                            description = "In so many parts (default: ${DEFAULT-VALUE}).")
                    int buckets,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        GetContentionRequest.Builder request =
                GetContentionRequest.newBuilder().setVolume(volume).setBuckets(buckets);
        if (range != null) {
            request.setRange(parse(range));
        }
        List<Bucket> found;
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            found = client.contention(request.build()).stream()
                    .map(b -> new Bucket(b.getRange().getStart(), b.getRange().getEnd(), b.getHeld(), b.getWaiting()))
                    .toList();
        }
        if (json) {
            terminus.screen().line(JSON.writeValueAsString(found));
        } else if (found.isEmpty()) {
            terminus.screen().line("Nothing of " + volume + " is held or waited for.");
        } else {
            Table table = new Table("RANGE", "HELD", "WAITING");
            for (Bucket bucket : found) {
                table.row(
                        "[" + bucket.start() + ", " + bucket.end() + ")",
                        Long.toString(bucket.held()),
                        Long.toString(bucket.waiting()));
            }
            terminus.screen().lines(table.lines());
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
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            client.forceRelease(volume, lockId);
        }
        terminus.screen()
                .line(
                        json
                                ? JSON.writeValueAsString(Map.of("volume", volume, "revoked", lockId))
                                : "Lock " + lockId + " on " + volume + " is revoked.");
        return 0;
    }

    @Command(
            name = "watch",
            description = {
                "Show what is held and waited for, then what happens, until Ctrl-C or --count events.",
                "With --json one object a line."
            })
    int watch(
            @Parameters(paramLabel = "VOLUME", description = "The volume.") String volume,
            @Option(
                            names = "--count",
                            paramLabel = "N",
                            defaultValue = "0",
                            description = "End after so many events (default: go on).")
                    long count,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        long[] left = {count == 0 ? Long.MAX_VALUE : count};
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            client.watch(volume, message -> {
                switch (message.getKindCase()) {
                    case SNAPSHOT -> {
                        message.getSnapshot().getHeldList().forEach(held -> show(event("HELD", held), json));
                        message.getSnapshot().getWaitingList().forEach(w -> show(event("WAITING", w), json));
                    }
                    case EVENT -> {
                        show(event(message.getEvent()), json);
                        left[0]--;
                    }
                    case KIND_NOT_SET -> {} // of a newer lock manager
                }
                return left[0] > 0;
            });
        }
        return 0;
    }

    @Command(
            name = "configure",
            description = {
                "Set the lock delay of a volume.",
                "For so long its ranges stay closed when a holder went without giving them back; for storage that checks no"
                        + " tokens."
            })
    int configure(
            @Parameters(paramLabel = "VOLUME", description = "The volume.") String volume,
            @Option(names = "--lock-delay", paramLabel = "TIME", required = true, description = "0s (none) to 60s.")
                    Duration lockDelay,
            @Option(names = "--json", description = "For scripts.") boolean json,
            @Option(names = "--dir", paramLabel = "DIR", description = Terminus.DIR_HELP) @Nullable Path dir) {
        try (LockManagerClient client = new LockManagerClient(terminus.ports(dir), DEADLINE)) {
            client.configure(volume, lockDelay);
        }
        terminus.screen()
                .line(
                        json
                                ? JSON.writeValueAsString(
                                        Map.of("volume", volume, "lockDelayMillis", lockDelay.toMillis()))
                                : "Ranges of " + volume + " stay closed for " + lockDelay.toMillis()
                                        + " ms when their holder vanished.");
        return 0;
    }

    private void show(Event event, boolean json) {
        Lock lock = event.lock();
        terminus.screen()
                .line(
                        json
                                ? JSON_LINE.writeValueAsString(event)
                                : String.join(
                                                "  ",
                                                event.time(),
                                                event.kind(),
                                                Long.toString(lock.id()),
                                                range(lock),
                                                lock.mode(),
                                                lock.owner(),
                                                lock.blockedBy().isEmpty() ? "" : "behind " + ids(lock),
                                                event.why())
                                        .stripTrailing());
    }

    private static Event event(String kind, LockInfo info) {
        return new Event(Instant.now().truncatedTo(ChronoUnit.MILLIS).toString(), kind, lock(info), "", 0);
    }

    private static Event event(LockEvent event) {
        return new Event(
                Instant.ofEpochMilli(event.getTimeUnixMillis()).toString(),
                event.getKind().name(),
                lock(event.getLock()),
                event.getWhy(),
                event.getValueVersion());
    }

    /** Sizes as elsewhere: {@code 0-4096}, {@code 1MiB-2MiB}. */
    private static Range parse(String text) {
        int dash = text.indexOf('-');
        try {
            if (dash > 0) {
                long start = ByteSize.parse(text.substring(0, dash)).bytes();
                long end = ByteSize.parse(text.substring(dash + 1)).bytes();
                if (start < end) {
                    return Range.newBuilder().setStart(start).setEnd(end).build();
                }
            }
        } catch (IllegalArgumentException e) {
            throw new Failure("range '" + text + "' is none: " + e.getMessage(), e);
        }
        throw new Failure("range '" + text + "' is none: write START-END with START below END, as in 1MiB-2MiB");
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
                    lock.delayed() ? "delayed" : lock.revoked() ? "revoked" : lock.recalled() ? "recalled" : "held");
        }
        return table.lines();
    }

    private static List<String> waiters(List<Lock> locks) {
        Table table = new Table("WAITER", "VOLUME", "RANGE", "MODE", "OWNER", "SESSION", "REQUEST", "KIND", "BEHIND");
        for (Lock lock : locks) {
            table.row(
                    Long.toString(lock.id()),
                    lock.volume(),
                    range(lock),
                    lock.mode(),
                    lock.owner(),
                    lock.session(),
                    Long.toString(lock.request()),
                    lock.standby() ? "standby" : lock.convertsLock() != 0 ? "conversion" : "ordinary",
                    ids(lock));
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
                info.getRequestId(),
                info.getStandby(),
                info.getRevoked(),
                info.getRecalled(),
                info.getDelayed(),
                info.getConvertsLockId(),
                info.getBlockedByList());
    }

    private static String ids(Lock lock) {
        return lock.blockedBy().stream().map(String::valueOf).collect(Collectors.joining(" "));
    }

    private static String range(Lock lock) {
        return lock.start() == 0 && lock.end() == WHOLE ? "whole volume" : "[" + lock.start() + ", " + lock.end() + ")";
    }
}
