package io.terminus.cli;

import java.time.Duration;
import java.util.Optional;

/** {@code terminus status}. */
final class Status {

    private static final Duration REDRAW = Duration.ofSeconds(1);
    private static final Duration PLAIN_LINE = Duration.ofSeconds(5);

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
        try (StatusProbe probe =
                new StatusProbe(installation, directory, state.orElseThrow().ports())) {
            StatusReport report = probe.report();
            show(report, json, watch);
            while (watch) {
                pause(screen.isTerminal() && !json ? REDRAW : PLAIN_LINE);
                report = probe.report();
                show(report, json, true);
            }
            return report.isWell() ? 0 : 1;
        }
    }

    private void show(StatusReport report, boolean json, boolean watch) {
        StatusView view = new StatusView(screen);
        if (json) {
            screen.line(report.toJson());
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
