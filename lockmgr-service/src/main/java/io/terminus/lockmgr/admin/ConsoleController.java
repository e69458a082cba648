package io.terminus.lockmgr.admin;

import io.swagger.v3.oas.annotations.Operation;
import io.swagger.v3.oas.annotations.tags.Tag;
import io.terminus.lockmgr.agents.AgentRefusedException;
import io.terminus.lockmgr.agents.Agents;
import io.terminus.lockmgr.agents.Replication;
import io.terminus.lockmgr.agents.Sample;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.ValueView;
import io.terminus.lockmgr.lock.LockTable.VolumeView;
import io.terminus.lockmgr.lock.RangeMap;
import io.terminus.lockmgr.lock.RangeMap.Cell;
import io.terminus.lockmgr.lock.Reason;
import io.terminus.lockmgr.lock.WaitGraph;
import io.terminus.security.Audit;
import jakarta.servlet.http.HttpServletRequest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/**
 * What the console shows beyond lists, and its verbs that are the agents' own. Every answer is bounded, whatever the lock
 * manager holds. What is told of replicas is what their agents said within the last seconds.
 */
@Tag(name = "console", description = "Pictures, and volumes with what their agents say")
@RestController
@RequestMapping("/api/v1")
public final class ConsoleController {

    private static final int MOST_VOLUMES = 200;
    private static final int MOST_CELLS = 2000;
    /** Names that one request for volumes looks at. */
    private static final int NAMES = 10_000;
    /** What locks on volumes are mostly multiples of. */
    private static final long BLOCK_BYTES = 4096;

    private final AdminDesk desk;
    private final Agents agents;
    private final Audit log;
    private final Permissions permissions;

    public ConsoleController(AdminDesk desk, Agents agents, Audit log, Permissions permissions) {
        this.desk = desk;
        this.agents = agents;
        this.log = log;
        this.permissions = permissions;
    }

    /** {@code mayChange}: whether this caller may do anything but look. */
    record Overview(
            String version,
            long epoch,
            boolean recovering,
            int sessions,
            boolean mayChange,
            List<Shown> volumes,
            @Nullable String next) {}

    /** {@code replication}: null for a volume that is only locked. */
    record Shown(
            String name,
            String uuid,
            long held,
            long waiting,
            @Nullable Replication replication) {}

    /** A list for each figure, with an entry for each cell; {@code closing} is nobody's and not free yet. */
    record Cells(
            long start,
            long end,
            long cellBytes,
            boolean exact,
            int[] held,
            int[] writing,
            int[] recalled,
            int[] closing,
            int[] waiting,
            int[] standby) {}

    record Word(String message) {}

    private record Found(VolumeView view, byte[] value) {}

    private record Names(LockQuery.Page<Found> page, long epoch, boolean recovering, int sessions) {}

    @Operation(
            summary =
                    "Volumes whose names hold a text, with what their agents say; a page may hold fewer than the limit")
    @GetMapping("/overview")
    Overview overview(
            @RequestParam(defaultValue = "") String name,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "50") int limit,
            HttpServletRequest request) {
        check(limit, 1, MOST_VOLUMES, "limit");
        Names names = merged(
                desk.led().stream()
                        .map(led -> led.ask((table, attached, nowNanos) -> names(table, name, after, limit)))
                        .toList(),
                limit);
        Map<String, byte[]> values = new LinkedHashMap<>();
        names.page().items().forEach(found -> values.put(found.view().name(), found.value()));
        Map<String, Replication> replications = agents.look(values);
        String version = ConsoleController.class.getPackage().getImplementationVersion();
        return new Overview(
                version == null ? "development" : version,
                names.epoch(),
                names.recovering(),
                names.sessions(),
                permissions.mayChange(request),
                names.page().items().stream()
                        .map(found -> shown(
                                found.view(), replications.get(found.view().name())))
                        .toList(),
                names.page().next().isEmpty() ? null : names.page().next());
    }

    private static Names names(LockTable table, String part, String after, int limit) {
        List<Found> found = new ArrayList<>();
        String next = after;
        for (int looked = 0; looked < NAMES; looked += NAMES / 10) {
            LockQuery.Page<VolumeView> page = table.volumes(next, NAMES / 10);
            for (VolumeView view : page.items()) {
                if (!view.name().contains(part)) {
                    continue;
                }
                if (found.size() == limit) {
                    return names(table, found, found.getLast().view().name());
                }
                byte[] value = value(table, view.name()).value();
                found.add(new Found(view, value.clone()));
            }
            if (page.next().isEmpty()) {
                return names(table, found, "");
            }
            next = page.next();
        }
        return names(table, found, next);
    }

    private static Names names(LockTable table, List<Found> found, String next) {
        return new Names(new LockQuery.Page<>(found, next), table.epoch(), table.recovering(), table.sessionCount());
    }

    /** Of all groups that are led here: the newest epoch, and their sessions together. */
    private static Names merged(List<Names> names, int limit) {
        return new Names(
                LockQuery.Page.merge(
                        names.stream().map(Names::page).toList(),
                        found -> found.view().name(),
                        limit),
                names.stream().mapToLong(Names::epoch).max().orElseThrow(),
                names.stream().anyMatch(Names::recovering),
                names.stream().mapToInt(Names::sessions).sum());
    }

    @Operation(summary = "One volume, with what its agents say")
    @GetMapping("/volumes/{volume}/overview")
    Shown volume(@PathVariable String volume) {
        Found found = desk.ofVolume(volume).ask((table, attached, nowNanos) -> {
            VolumeView view = table.volume(volume).orElseThrow(() -> unknown(volume));
            return new Found(view, table.value(volume).orElseThrow().value().clone());
        });
        return shown(found.view(), agents.look(Map.of(volume, found.value())).get(volume));
    }

    private static Shown shown(VolumeView view, @Nullable Replication replication) {
        return new Shown(view.name(), view.uuid(), view.held(), view.waiting(), replication);
    }

    @Operation(
            summary =
                    "Locks and waiters of [start, end), counted in cells of whole blocks of 4096 bytes; fewer cells where"
                            + " there are fewer blocks")
    @GetMapping("/volumes/{volume}/range-map")
    Cells rangeMap(
            @PathVariable String volume,
            @RequestParam(defaultValue = "0") long start,
            @RequestParam long end,
            @RequestParam(defaultValue = "400") int cells) {
        check(cells, 1, MOST_CELLS, "cells");
        if (start < 0 || start >= end) {
            throw new AdminRefusedException(
                    Reason.INVALID_RANGE, "range [" + start + ", " + end + ") breaks the rule 0 <= start < end");
        }
        RangeMap map = desk.ofVolume(volume).ask((table, attached, nowNanos) -> {
            value(table, volume);
            return table.rangeMap(volume, start, end, cells, BLOCK_BYTES);
        });
        return new Cells(
                map.start(),
                map.end(),
                map.cellBytes(),
                map.exact(),
                figures(map, Cell::held),
                figures(map, Cell::writing),
                figures(map, Cell::recalled),
                figures(map, Cell::closing),
                figures(map, Cell::waiting),
                figures(map, Cell::standby));
    }

    private static int[] figures(RangeMap map, ToIntFunction<Cell> figure) {
        return map.cells().stream().mapToInt(figure).toArray();
    }

    @Operation(summary = "Who waits for whom, by session; of 400 waiters and 16 claims in the way of each")
    @GetMapping("/volumes/{volume}/wait-graph")
    WaitGraph waitGraph(@PathVariable String volume) {
        return desk.ofVolume(volume).ask((table, attached, nowNanos) -> {
            value(table, volume);
            return table.waitGraph(volume);
        });
    }

    @Operation(
            summary =
                    "Latency, rates and lag of a replicated volume, a point a second since somebody began to look; those"
                            + " after since, in milliseconds of the epoch")
    @GetMapping("/volumes/{volume}/history")
    List<Sample> history(@PathVariable String volume, @RequestParam(defaultValue = "0") long since) {
        return agents.history(volume, value(volume)).stream()
                .filter(point -> point.atMillis() > since)
                .toList();
    }

    @Operation(summary = "Make an agent the writer of a volume; the answer comes when it serves, or cannot")
    @PostMapping("/volumes/{volume}/promote")
    Word promote(
            @PathVariable String volume,
            @RequestParam String agent,
            @RequestParam(defaultValue = "false") boolean force,
            @RequestParam(defaultValue = "false") boolean acceptDataLoss,
            HttpServletRequest request)
            throws AgentRefusedException {
        byte[] value = value(volume);
        String what =
                volume + " at " + agent + (force ? " by force" : "") + (acceptDataLoss ? " accepting data loss" : "");
        return logged(
                request, "promote", what, () -> new Word(agents.promote(volume, value, agent, force, acceptDataLoss)));
    }

    @Operation(summary = "Stop serving a volume, in good order, until an agent is promoted")
    @PostMapping("/volumes/{volume}/demote")
    Word demote(@PathVariable String volume, HttpServletRequest request) throws AgentRefusedException {
        byte[] value = value(volume);
        return logged(request, "demote", volume, () -> {
            agents.demote(volume, value);
            return new Word("demoted: served by nobody until an agent is promoted");
        });
    }

    @Operation(summary = "Begin to compare the replicas of a volume with what its writer has")
    @PostMapping("/volumes/{volume}/verify")
    @ResponseStatus(HttpStatus.ACCEPTED)
    Word verify(
            @PathVariable String volume,
            @RequestParam(defaultValue = "false") boolean repair,
            HttpServletRequest request)
            throws AgentRefusedException {
        byte[] value = value(volume);
        return logged(request, repair ? "verify-repair" : "verify", volume, () -> {
            agents.verify(volume, value, repair);
            return new Word("the comparison has begun");
        });
    }

    @Operation(summary = "Stop a comparison that was begun here")
    @DeleteMapping("/volumes/{volume}/verify")
    Word stopVerifying(@PathVariable String volume, HttpServletRequest request) throws AgentRefusedException {
        byte[] value = value(volume);
        return logged(
                request,
                "stop-verify",
                volume,
                () -> new Word(
                        agents.stopVerifying(volume, value)
                                ? "the comparison was stopped"
                                : "no comparison was begun here"));
    }

    private interface Verb {
        Word run() throws AgentRefusedException;
    }

    /** What the operator is answered is in the log before. */
    private Word logged(HttpServletRequest request, String action, String what, Verb verb)
            throws AgentRefusedException {
        String outcome = "failed";
        try {
            Word word = verb.run();
            outcome = "done";
            return word;
        } catch (AgentRefusedException e) {
            outcome = String.valueOf(e.getMessage());
            throw e;
        } finally {
            log.record(AdminController.who(request), action, what, outcome);
        }
    }

    @ExceptionHandler
    ProblemDetail refused(AdminRefusedException e) {
        return AdminController.problem(e);
    }

    @ExceptionHandler
    ProblemDetail refused(AgentRefusedException e) {
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status(e.why()), String.valueOf(e.getMessage()));
        problem.setProperty("reason", e.why().name());
        return problem;
    }

    static HttpStatus status(AgentRefusedException.Why why) {
        return switch (why) {
            case UNKNOWN -> HttpStatus.NOT_FOUND;
            case INVALID -> HttpStatus.BAD_REQUEST;
            case NOT_NOW -> HttpStatus.CONFLICT;
            case UNREACHABLE -> HttpStatus.SERVICE_UNAVAILABLE;
            case OUTCOME_UNKNOWN -> HttpStatus.GATEWAY_TIMEOUT;
        };
    }

    private byte[] value(String volume) {
        return desk.ofVolume(volume)
                .ask((table, attached, nowNanos) -> value(table, volume).value().clone());
    }

    private static ValueView value(LockTable table, String volume) {
        return table.value(volume).orElseThrow(() -> unknown(volume));
    }

    private static AdminRefusedException unknown(String volume) {
        return new AdminRefusedException(Reason.UNKNOWN_REQUEST, "volume '" + volume + "' is not known");
    }

    private static void check(int figure, int least, int most, String what) {
        if (figure < least || figure > most) {
            throw new AdminRefusedException(
                    Reason.INVALID_ARGUMENT,
                    what + " " + figure + " breaks the rule " + least + " <= " + what + " <= " + most);
        }
    }
}
