package io.terminus.lockmgr.admin;

import io.swagger.v3.oas.annotations.Operation;
import io.swagger.v3.oas.annotations.tags.Tag;
import io.terminus.lockmgr.lock.ClaimView;
import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.SessionView;
import io.terminus.lockmgr.lock.LockTable.VolumeView;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Reason;
import io.terminus.security.rest.RestAccess;
import jakarta.servlet.http.HttpServletRequest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/**
 * Lists and the verbs of an operator. Ids and tokens are texts in JSON, because they are larger than the numbers that
 * JavaScript keeps exact. Errors are problem+json with a {@code reason}. The same is described in {@code /api/v1/openapi.yaml}.
 */
@Tag(name = "locks", description = "What operators may ask and do")
@RestController
@RequestMapping("/api/v1")
public final class AdminController {

    private static final int MAX_PAGE = 1000;
    private static final int MAX_BUCKETS = 1000;

    private final AdminDesk desk;

    public AdminController(AdminDesk desk) {
        this.desk = desk;
    }

    record Volume(String name, String uuid, long held, long waiting, long valueVersion, long lockDelayMillis) {}

    /** {@code requestedStart} and {@code requestedEnd}: what was asked for, should the grant be larger. */
    record Lock(
            String id,
            String volume,
            long start,
            long end,
            long requestedStart,
            long requestedEnd,
            Mode mode,
            String token,
            String sessionId,
            String owner,
            String requestId,
            boolean revoked,
            boolean recalled,
            boolean delayed) {}

    /** {@code convertsLockId}: the lock a waiting conversion would change; null for an acquire. */
    record Waiter(
            String id,
            String volume,
            long start,
            long end,
            Mode mode,
            String sessionId,
            String owner,
            String requestId,
            boolean standby,
            @Nullable String convertsLockId,
            List<String> blockedBy) {}

    /** What is in the way of a request: locks, and older waiters. */
    record Blockers(List<Lock> locks, List<Waiter> waiters) {}

    record Bucket(long start, long end, long held, long waiting) {}

    record Session(
            String sessionId,
            String owner,
            long ttlMillis,
            long expiresInMillis,
            long held,
            long waiting,
            int unacknowledgedLosses,
            boolean attached) {}

    /** What of a volume can be set. */
    record Settings(long lockDelayMillis) {}

    /** {@code after} of the next page; null: this was the last. */
    record Page<T>(List<T> items, @Nullable String next) {}

    @Operation(summary = "All volumes, by name")
    @GetMapping("/volumes")
    List<Volume> volumes() {
        return desk.led().stream()
                .flatMap(led -> led.ask((table, attached, nowNanos) -> table.volumes()).stream())
                .sorted(Comparator.comparing(VolumeView::name))
                .map(v -> new Volume(
                        v.name(),
                        v.uuid(),
                        v.held(),
                        v.waiting(),
                        v.valueVersion(),
                        TimeUnit.NANOSECONDS.toMillis(v.lockDelayNanos())))
                .toList();
    }

    @Operation(summary = "Set the lock delay of a volume, which comes into being if it is not there")
    @PutMapping("/volumes/{volume}")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void configureVolume(@PathVariable String volume, @RequestBody Settings settings, HttpServletRequest request) {
        desk.configureVolume(who(request), volume, settings.lockDelayMillis());
    }

    @Operation(summary = "Locks by range, mode and session; a page may hold fewer than the limit with more to come")
    @GetMapping("/volumes/{volume}/locks")
    Page<Lock> locks(
            @PathVariable String volume,
            @RequestParam(defaultValue = "0") long start,
            @RequestParam(required = false) @Nullable Long end,
            @RequestParam(required = false) @Nullable String mode,
            @RequestParam(defaultValue = "") String session,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "100") int limit) {
        LockQuery query = query(volume, start, end, mode, session, after, limit);
        return page(volume, after, table -> table.locks(query), AdminController::lock);
    }

    @Operation(summary = "Requests that wait, and the first 16 claims each waits for")
    @GetMapping("/volumes/{volume}/waiters")
    Page<Waiter> waiters(
            @PathVariable String volume,
            @RequestParam(defaultValue = "0") long start,
            @RequestParam(required = false) @Nullable Long end,
            @RequestParam(required = false) @Nullable String mode,
            @RequestParam(defaultValue = "") String session,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "100") int limit) {
        LockQuery query = query(volume, start, end, mode, session, after, limit);
        return page(volume, after, table -> table.waiters(query), AdminController::waiter);
    }

    @Operation(summary = "How much is held and waited for, range by range")
    @GetMapping("/volumes/{volume}/contention")
    List<Bucket> contention(
            @PathVariable String volume,
            @RequestParam(defaultValue = "0") long start,
            @RequestParam(required = false) @Nullable Long end,
            @RequestParam(defaultValue = "64") int buckets) {
        if (buckets < 1 || buckets > MAX_BUCKETS) {
            throw new AdminRefusedException(
                    Reason.INVALID_ARGUMENT, buckets + " buckets break the rule 1 <= buckets <= " + MAX_BUCKETS);
        }
        long to = start == 0 && end == null ? 0 : checkedEnd(start, end);
        List<LockQuery.Bucket> found = desk.ofVolume(volume).ask((table, attached, nowNanos) -> {
            checkVolume(table, volume);
            return table.contention(volume, start, to, buckets);
        });
        return found.stream()
                .map(b -> new Bucket(b.start(), b.end(), b.held(), b.waiting()))
                .toList();
    }

    @Operation(summary = "Sessions by id; owner filters by the beginning of the name")
    @GetMapping("/sessions")
    Page<Session> sessions(
            @RequestParam(defaultValue = "") String owner,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "100") int limit) {
        checkLimit(limit);
        List<LockQuery.Page<Session>> pages = desk.led().stream()
                .map(led -> led.ask((table, attached, nowNanos) -> {
                    LockQuery.Page<SessionView> page = table.sessions(owner, after, limit);
                    List<Session> items = page.items().stream()
                            .map(s -> session(s, attached, nowNanos))
                            .toList();
                    return new LockQuery.Page<>(items, page.next());
                }))
                .toList();
        LockQuery.Page<Session> page = LockQuery.Page.merge(pages, Session::sessionId, limit);
        return new Page<>(page.items(), page.next().isEmpty() ? null : page.next());
    }

    @Operation(summary = "One session and its lease")
    @GetMapping("/sessions/{sessionId}")
    Session session(@PathVariable String sessionId) {
        return desk.ofSession(sessionId)
                .ask((table, attached, nowNanos) -> table.session(sessionId)
                        .map(s -> session(s, attached, nowNanos))
                        .orElseThrow(() -> unknownSession(sessionId)));
    }

    @Operation(summary = "Who is in the way of a request that waits")
    @GetMapping("/sessions/{sessionId}/requests/{requestId}/blockers")
    Blockers blockers(@PathVariable String sessionId, @PathVariable long requestId) {
        return desk.ofSession(sessionId).ask((table, attached, nowNanos) -> {
            List<ClaimView> claims = table.blockers(sessionId, requestId)
                    .orElseThrow(() -> new AdminRefusedException(
                            Reason.UNKNOWN_REQUEST,
                            "session '" + sessionId + "' has no request " + requestId + " that waits"));
            List<Lock> locks = new ArrayList<>();
            List<Waiter> waiters = new ArrayList<>();
            for (ClaimView claim : claims) {
                switch (claim) {
                    case LockView lock -> locks.add(lock(lock));
                    case WaiterView waiter -> waiters.add(waiter(waiter));
                }
            }
            return new Blockers(locks, waiters);
        });
    }

    @Operation(
            summary =
                    "Take a lock from its holder; the range comes free when the holder knows of it or its lease has ended")
    @PostMapping("/volumes/{volume}/locks/{id}/force-release")
    @ResponseStatus(HttpStatus.ACCEPTED)
    void forceRelease(@PathVariable String volume, @PathVariable long id, HttpServletRequest request) {
        desk.forceRelease(who(request), volume, id);
    }

    @Operation(summary = "End a session and release what it holds")
    @DeleteMapping("/sessions/{sessionId}")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void closeSession(@PathVariable String sessionId, HttpServletRequest request) {
        if (!desk.closeSession(who(request), sessionId)) {
            throw unknownSession(sessionId);
        }
    }

    @ExceptionHandler
    ProblemDetail refused(AdminRefusedException e) {
        return problem(e);
    }

    static ProblemDetail problem(AdminRefusedException e) {
        Reason reason = e.reason();
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status(reason), String.valueOf(e.getMessage()));
        problem.setProperty("reason", reason == null ? "UNAVAILABLE" : reason.name());
        return problem;
    }

    static HttpStatus status(@Nullable Reason reason) {
        return switch (reason) {
            case null -> HttpStatus.SERVICE_UNAVAILABLE;
            case INVALID_RANGE, INVALID_MODE, INVALID_NAME, INVALID_ARGUMENT -> HttpStatus.BAD_REQUEST;
            case UNKNOWN_SESSION, UNKNOWN_LOCK, UNKNOWN_REQUEST -> HttpStatus.NOT_FOUND;
            case WOULD_BLOCK, NOT_HOLDER, DEADLOCK, VERSION_MISMATCH, CANCELLED -> HttpStatus.CONFLICT;
            case DEADLINE -> HttpStatus.REQUEST_TIMEOUT;
            case LIMIT_EXCEEDED -> HttpStatus.TOO_MANY_REQUESTS;
            case RECOVERING -> HttpStatus.SERVICE_UNAVAILABLE;
        };
    }

    static String who(HttpServletRequest request) {
        return RestAccess.caller(request);
    }

    private static LockQuery query(
            String volume,
            long start,
            @Nullable Long end,
            @Nullable String mode,
            String session,
            String after,
            int limit) {
        checkLimit(limit);
        long to = start == 0 && end == null ? 0 : checkedEnd(start, end);
        return new LockQuery(volume, start, to, mode == null ? null : mode(mode), session, after, limit);
    }

    private static long checkedEnd(long start, @Nullable Long end) {
        long to = end == null ? Long.MAX_VALUE : end;
        if (start < 0 || start >= to) {
            throw new AdminRefusedException(
                    Reason.INVALID_RANGE, "range [" + start + ", " + to + ") breaks the rule 0 <= start < end");
        }
        return to;
    }

    private <V, R> Page<R> page(
            String volume, String after, Function<LockTable, LockQuery.Page<V>> read, Function<V, R> row) {
        LockQuery.Page<V> page = desk.ofVolume(volume).ask((table, attached, nowNanos) -> {
            checkVolume(table, volume);
            try {
                return read.apply(table);
            } catch (IllegalArgumentException e) {
                throw new AdminRefusedException(
                        Reason.INVALID_ARGUMENT, "after '" + after + "' is not the next of a page");
            }
        });
        return new Page<>(page.items().stream().map(row).toList(), page.next().isEmpty() ? null : page.next());
    }

    private static AdminRefusedException unknownSession(String sessionId) {
        return new AdminRefusedException(Reason.UNKNOWN_SESSION, "session '" + sessionId + "' is not known");
    }

    private static void checkVolume(LockTable table, String volume) {
        if (table.value(volume).isEmpty()) {
            throw new AdminRefusedException(Reason.UNKNOWN_REQUEST, "volume '" + volume + "' is not known");
        }
    }

    private static void checkLimit(int limit) {
        if (limit < 1 || limit > MAX_PAGE) {
            throw new AdminRefusedException(
                    Reason.INVALID_ARGUMENT, "limit " + limit + " breaks the rule 1 <= limit <= " + MAX_PAGE);
        }
    }

    private static Mode mode(String text) {
        for (Mode mode : Mode.values()) {
            if (mode.name().equals(text.toUpperCase(Locale.ROOT))) {
                return mode;
            }
        }
        throw new AdminRefusedException(
                Reason.INVALID_MODE, "mode '" + text + "' is not one of NL, CR, CW, PR, PW, EX");
    }

    private static Session session(SessionView s, Predicate<String> attached, long nowNanos) {
        return new Session(
                s.sessionId(),
                s.owner(),
                TimeUnit.NANOSECONDS.toMillis(s.ttlNanos()),
                TimeUnit.NANOSECONDS.toMillis(Math.max(0, s.leaseEndNanos() - nowNanos)),
                s.held(),
                s.waiting(),
                s.unackedLosses(),
                attached.test(s.sessionId()));
    }

    private static Lock lock(LockView l) {
        return new Lock(
                Long.toString(l.id()),
                l.volume(),
                l.start(),
                l.end(),
                l.requestedStart(),
                l.requestedEnd(),
                l.mode(),
                Long.toString(l.token()),
                l.sessionId(),
                l.owner(),
                Long.toString(l.requestId()),
                l.revoked(),
                l.recalled(),
                l.delayed());
    }

    private static Waiter waiter(WaiterView w) {
        return new Waiter(
                Long.toString(w.id()),
                w.volume(),
                w.start(),
                w.end(),
                w.mode(),
                w.sessionId(),
                w.owner(),
                Long.toString(w.requestId()),
                w.standby(),
                w.convertsLockId() == 0 ? null : Long.toString(w.convertsLockId()),
                w.blockedBy().stream().map(String::valueOf).toList());
    }
}
