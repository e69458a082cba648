package io.terminus.cli;

import com.fasterxml.jackson.annotation.JsonIgnore;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * What {@code status} shows. Its JSON is a contract for scripts: fields may be added, none is renamed or removed. A value
 * that is not known is null.
 */
record StatusReport(List<ProcessStatus> processes, List<Volume> volumes) {

    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /**
     * @param pid null when it does not run
     * @param dir where its data lies
     * @param running the process exists
     * @param healthy it answers that it serves
     */
    record ProcessStatus(
            String name,
            String role,
            @Nullable Long pid,
            String dir,
            PortPlan.Endpoints endpoints,
            boolean running,
            boolean healthy) {

        static ProcessStatus of(
                SetMember member,
                SetDirectory directory,
                PortPlan ports,
                Optional<ProcessHandle> process,
                boolean healthy) {
            return new ProcessStatus(
                    member.title(),
                    member.role(),
                    process.map(ProcessHandle::pid).orElse(null),
                    directory.data(member).toString(),
                    ports.endpoints(member),
                    process.isPresent(),
                    process.isPresent() && healthy);
        }
    }

    /**
     * A volume as its writer sees it; while that is away, as the other agents do.
     *
     * @param ackLevel local, received or durable
     * @param nbd URI, null when nobody serves it
     * @param detail what is being waited for, or what went wrong, in words
     * @param locksHeld null when the lock manager does not answer
     * @param writesWait clients' writes are not acknowledged, and will not be before something changes; {@code detail} says what
     */
    record Volume(
            String name,
            long sizeBytes,
            @Nullable String writer,
            long term,
            String ackLevel,
            @Nullable String nbd,
            String detail,
            @Nullable Long locksHeld,
            @Nullable Long locksWaiting,
            boolean writesWait,
            List<Replica> replicas) {}

    /**
     * Positions are bytes of the volume's journal.
     *
     * @param image path of the image file
     * @param connected the writer has a link to it; the writer itself is connected
     * @param copy null unless the writer copies to it now
     * @param differingBlocks of 4 KiB, that the last {@code verify} found to differ from the writer's, and left so
     */
    record Replica(
            String agent,
            String image,
            boolean inSync,
            boolean connected,
            long received,
            long durable,
            long applied,
            long lagBytes,
            String detail,
            @Nullable Copy copy,
            long differingBlocks) {}

    /**
     * @param phase preparing, copying or ending
     * @param totalBytes of the volume, holes included; 0 while it is not known yet
     * @param bytesPerSecond lately; 0 when nothing moves
     * @param remainingSeconds at that rate; null when nothing moves
     */
    record Copy(
            String phase,
            long totalBytes,
            long leftBytes,
            long bytesPerSecond,
            @Nullable Long remainingSeconds) {}

    static StatusReport empty() {
        return new StatusReport(List.of(), List.of());
    }

    String toJson() {
        return JSON.writeValueAsString(this);
    }

    /** Every process runs and answers, and every volume is served and takes writes. */
    @JsonIgnore
    boolean isWell() {
        return !processes.isEmpty()
                && processes.stream().allMatch(process -> process.running() && process.healthy())
                && volumes.stream().allMatch(volume -> volume.nbd() != null && !volume.writesWait());
    }

    @JsonIgnore
    boolean anyRunning() {
        return processes.stream().anyMatch(ProcessStatus::running);
    }
}
