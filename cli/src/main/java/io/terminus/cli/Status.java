package io.terminus.cli;

import java.time.Duration;
import java.util.Optional;

/** {@code terminus status}. */
final class Status {

    /** What is shown stays at least so long. */
    private static final Duration REDRAW = Duration.ofMillis(200);

    private static final Duration PLAIN_LINE = Duration.ofSeconds(1);

    /** Processes are given so long to say how they are. */
    private static final Duration FIRST = Duration.ofSeconds(2);

    /** So often it is seen that a process has come, gone or fallen silent. */
    private static final Duration LOOK = Duration.ofSeconds(1);

    private final Installation installation;
    private final SetDirectory directory;
    private final Screen screen;

    Status(Installation installation, SetDirectory directory, Screen screen) {
        this.installation = installation;
        this.directory = directory;
        this.screen = screen;
    }

    /** @return the exit code */
    int run(boolean json, boolean watch) {
        Optional<SetState> state = directory.load();
        if (state.isEmpty()) {
            if (json) {
                screen.line(StatusReport.empty().toJson());
            }
            directory.loadExisting();
        }
        PortPlan ports = state.orElseThrow().ports();
        if (watch) {
            return watch(ports, json);
        }
        try (StatusProbe probe = new StatusProbe(installation, directory, ports)) {
            StatusReport report = probe.report();
            show(report, json, false);
            return report.isWell() ? 0 : 1;
        }
    }

    /** Ends with the program. Shows what is new as it is told, no more often than can be read. */
    private int watch(PortPlan ports, boolean json) {
        try (StatusWatch told = new StatusWatch(installation, directory, ports)) {
            told.awaitFirst(FIRST);
            StatusReport shown = StatusReport.empty();
            while (!screen.isUnread()) {
                StatusReport now = told.report();
                if (!now.equals(shown)) {
                    show(now, json, true);
                    shown = now;
                    pause(screen.isTerminal() && !json ? REDRAW : PLAIN_LINE);
                } else {
                    told.awaitChange(LOOK);
                }
            }
            return 0;
        }
    }

    private void show(StatusReport report, boolean json, boolean watch) {
        StatusView view = new StatusView(screen);
        if (json) {
            screen.line(watch ? Json.write(report) : report.toJson()); // one event, one line
        } else if (watch && screen.isTerminal()) {
            screen.redraw(view.lines(report));
        } else if (watch) {
            screen.line(view.summary(report));
        } else {
            screen.lines(view.lines(report));
        }
    }

    private static void pause(Duration time) {
        try {
            Thread.sleep(time);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted", e);
        }
    }
}
