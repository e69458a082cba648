package io.terminus.cli;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A {@link StatusReport} for people. */
final class StatusView {

    private static final String NONE = "-";
    private static final String UNKNOWN = "?";

    private final Screen screen;

    StatusView(Screen screen) {
        this.screen = screen;
    }

    List<String> lines(StatusReport report) {
        List<String> lines = new ArrayList<>(processes(report));
        if (!report.volumes().isEmpty()) {
            lines.add("");
            lines.addAll(volumesAndReplicas(report.volumes()));
        }
        return lines;
    }

    List<String> volumesAndReplicas(List<StatusReport.Volume> volumes) {
        List<String> lines = new ArrayList<>(volumes(volumes));
        lines.add("");
        lines.addAll(replicas(volumes));
        for (StatusReport.Volume volume : volumes) {
            if (volume.nbd() == null) {
                lines.add("");
                lines.add(screen.warning(
                        volume.name() + " is not served" + (volume.detail().isBlank() ? "" : ": " + volume.detail())));
            }
            if (volume.writesWait()) {
                lines.add("");
                lines.add(screen.bad(volume.name() + ": " + volume.detail()));
            }
            for (StatusReport.Replica replica : volume.replicas()) {
                if (replica.copy() != null) {
                    lines.add(volume.name() + " at " + replica.agent() + ": " + CopyView.line(replica.copy()));
                } else if (!replica.detail().isBlank() && !replica.inSync()) {
                    lines.add(screen.warning(volume.name() + " at " + replica.agent() + ": " + replica.detail()));
                }
                if (replica.differingBlocks() > 0) {
                    lines.add(screen.bad(differs(volume, replica)));
                }
            }
        }
        return lines;
    }

    private static String differs(StatusReport.Volume volume, StatusReport.Replica replica) {
        return volume.name() + " at " + replica.agent() + ": " + replica.differingBlocks()
                + " blocks of 4 KiB differ from what the writer had: 'terminus verify " + volume.name()
                + "' shows which; with --repair it replaces them";
    }

    /** One line, for an output that cannot be drawn over. */
    String summary(StatusReport report) {
        List<String> parts = new ArrayList<>();
        for (StatusReport.ProcessStatus process : report.processes()) {
            if (!process.running() || !process.healthy()) {
                parts.add(process.name() + (process.running() ? " does not answer" : " is down"));
            }
        }
        for (StatusReport.Volume volume : report.volumes()) {
            StringBuilder part = new StringBuilder(volume.name())
                    .append(
                            volume.nbd() == null
                                    ? " not served"
                                    : volume.writesWait() ? " served, but " + volume.detail() : " served")
                    .append(", writer ")
                    .append(orNone(volume.writer()))
                    .append(", term ")
                    .append(volume.term())
                    .append(", locks ")
                    .append(locks(volume));
            for (StatusReport.Replica replica : volume.replicas()) {
                part.append("; ")
                        .append(replica.agent())
                        .append(replica.inSync() ? " in sync" : " not in sync")
                        .append(" received ")
                        .append(position(replica.received()))
                        .append(" durable ")
                        .append(position(replica.durable()))
                        .append(" applied ")
                        .append(position(replica.applied()))
                        .append(" lag ")
                        .append(lag(replica));
                if (replica.differingBlocks() > 0) {
                    part.append(" differs in ")
                            .append(replica.differingBlocks())
                            .append(" blocks");
                }
                if (replica.copy() != null) {
                    part.append(' ').append(CopyView.line(replica.copy()));
                }
            }
            parts.add(part.toString());
        }
        return String.join(" | ", parts);
    }

    private List<String> processes(StatusReport report) {
        Table table = new Table("PROCESS", "ROLE", "PID", "STATE", "GRPC", "REST", "NBD", "PEER");
        for (StatusReport.ProcessStatus process : report.processes()) {
            Long pid = process.pid();
            table.row(
                    process.name(),
                    process.role(),
                    pid == null ? NONE : pid.toString(),
                    state(process),
                    process.endpoints().grpc(),
                    process.endpoints().rest(),
                    orNone(process.endpoints().nbd()),
                    orNone(process.endpoints().peer()));
        }
        return headed(table);
    }

    List<String> volumes(List<StatusReport.Volume> volumes) {
        Table table = new Table("VOLUME", "SIZE", "WRITER", "TERM", "ACK", "LOCKS", "SERVED AT");
        for (StatusReport.Volume volume : volumes) {
            table.row(
                    volume.name(),
                    new ByteSize(volume.sizeBytes()).toString(),
                    orNone(volume.writer()),
                    Long.toString(volume.term()),
                    volume.ackLevel(),
                    locks(volume),
                    orNone(volume.nbd()));
        }
        return headed(table);
    }

    private List<String> replicas(List<StatusReport.Volume> volumes) {
        Table table = new Table("REPLICA", "IN SYNC", "RECEIVED", "DURABLE", "APPLIED", "LAG", "IMAGE");
        for (StatusReport.Volume volume : volumes) {
            for (StatusReport.Replica replica : volume.replicas()) {
                table.row(
                        volume.name() + "@" + replica.agent(),
                        replica.inSync() ? screen.good("yes") : screen.bad("no"),
                        position(replica.received()),
                        position(replica.durable()),
                        position(replica.applied()),
                        lag(replica),
                        replica.image().isEmpty() ? NONE : replica.image());
            }
        }
        return headed(table);
    }

    /** Of a replica that was not heard from nothing is known. */
    private static String position(long position) {
        return position < 0 ? UNKNOWN : Long.toString(position);
    }

    private static String lag(StatusReport.Replica replica) {
        return replica.received() < 0 ? UNKNOWN : new ByteSize(Math.max(0, replica.lagBytes())).toString();
    }

    private List<String> headed(Table table) {
        List<String> lines = new ArrayList<>(table.lines());
        lines.set(0, screen.strong(lines.getFirst()));
        return lines;
    }

    private String state(StatusReport.ProcessStatus process) {
        if (!process.running()) {
            return screen.bad("down");
        }
        return process.healthy() ? screen.good("serving") : screen.warning("no answer");
    }

    private static String locks(StatusReport.Volume volume) {
        return volume.locksHeld() == null
                ? "unknown"
                : volume.locksHeld() + " held, " + volume.locksWaiting() + " waiting";
    }

    static String orNone(@Nullable String text) {
        return text == null ? NONE : text;
    }
}
