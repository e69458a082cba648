package io.terminus.lockmgr.admin;

import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.VolumeView;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Reason;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
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
 * Lists and the two verbs of an operator. Ids and tokens are texts in JSON, because they are larger than the numbers that
 * JavaScript keeps exact. Errors are problem+json with a {@code reason}.
 */
@RestController
@RequestMapping("/api/v1")
public final class AdminController {

    private static final int MAX_PAGE = 1000;

    /** So many locks are looked at for one page when a mode is asked for; the page may come out short, not late. */
    private final AdminDesk desk;

    public AdminController(AdminDesk desk) {
        this.desk = desk;
    }

    record Volume(String name, String uuid, long held, long waiting, long valueVersion) {}

    record Lock(
            String id,
            String volume,
            long start,
            long end,
            Mode mode,
            String token,
            String sessionId,
            String owner,
            boolean revoked,
            boolean recalled) {}

    record Waiter(
            String id,
            String volume,
            long start,
            long end,
            Mode mode,
            String sessionId,
            String owner,
            boolean standby,
            List<String> blockedBy) {}

    record Session(
            String sessionId,
            String owner,
            long ttlMillis,
            long expiresInMillis,
            long held,
            long waiting,
            boolean attached) {}

    /** {@code after} of the next page; null: this was the last. */
    record Page<T>(List<T> items, @Nullable String next) {}

    @GetMapping("/volumes")
    List<Volume> volumes() {
        List<VolumeView> volumes = desk.ask((table, attached, nowNanos) -> table.volumes());
        return volumes.stream()
                .map(v -> new Volume(v.name(), v.uuid(), v.held(), v.waiting(), v.valueVersion()))
                .toList();
    }

    @GetMapping("/volumes/{volume}/locks")
    Page<Lock> locks(
            @PathVariable String volume,
            @RequestParam(required = false) @Nullable String mode,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "100") int limit) {
        LockQuery query = new LockQuery(volume, 0, 0, mode == null ? null : mode(mode), "", after, limit);
        checkLimit(limit);
        return desk.ask((table, attached, nowNanos) -> {
            checkVolume(table, volume);
            LockQuery.Page<LockView> page = table.locks(query);
            return new Page<>(
                    page.items().stream().map(AdminController::lock).toList(),
                    page.next().isEmpty() ? null : page.next());
        });
    }

    @GetMapping("/volumes/{volume}/waiters")
    Page<Waiter> waiters(
            @PathVariable String volume,
            @RequestParam(defaultValue = "") String after,
            @RequestParam(defaultValue = "100") int limit) {
        LockQuery query = new LockQuery(volume, 0, 0, null, "", after, limit);
        checkLimit(limit);
        return desk.ask((table, attached, nowNanos) -> {
            checkVolume(table, volume);
            LockQuery.Page<WaiterView> page = table.waiters(query);
            return new Page<>(
                    page.items().stream().map(AdminController::waiter).toList(),
                    page.next().isEmpty() ? null : page.next());
        });
    }

    @GetMapping("/sessions")
    List<Session> sessions() {
        return desk.ask((table, attached, nowNanos) -> table.sessions().stream()
                .map(s -> new Session(
                        s.sessionId(),
                        s.owner(),
                        TimeUnit.NANOSECONDS.toMillis(s.ttlNanos()),
                        TimeUnit.NANOSECONDS.toMillis(Math.max(0, s.leaseEndNanos() - nowNanos)),
                        s.held(),
                        s.waiting(),
                        attached.test(s.sessionId())))
                .toList());
    }

    /** The range becomes grantable when the holder has acknowledged the loss, or when its lease has ended. */
    @PostMapping("/volumes/{volume}/locks/{id}/force-release")
    @ResponseStatus(HttpStatus.ACCEPTED)
    void forceRelease(@PathVariable String volume, @PathVariable long id) {
        desk.forceRelease(volume, id);
    }

    @DeleteMapping("/sessions/{sessionId}")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void closeSession(@PathVariable String sessionId) {
        if (!desk.closeSession(sessionId)) {
            throw new AdminRefusedException(Reason.UNKNOWN_SESSION, "session '" + sessionId + "' is not known");
        }
    }

    @ExceptionHandler
    ProblemDetail refused(AdminRefusedException e) {
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

    private static Lock lock(LockView l) {
        return new Lock(
                Long.toString(l.id()),
                l.volume(),
                l.start(),
                l.end(),
                l.mode(),
                Long.toString(l.token()),
                l.sessionId(),
                l.owner(),
                l.revoked(),
                l.recalled());
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
                w.standby(),
                w.blockedBy().stream().map(String::valueOf).toList());
    }
}
