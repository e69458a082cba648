package io.terminus.cli;

import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.lock.v1.VolumeInfo;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Makes one picture of a volume out of what each agent says of it.
 *
 * <p>The writer's view wins, because only the writer knows how far every replica is. Without one, each agent is believed
 * about its own replica, and the agent that knows the highest term about the rest. Two agents that both call themselves
 * writer (an old one that does not yet know) are told apart by their terms.
 */
final class VolumeViews {

    private static final Comparator<View> AUTHORITY = Comparator.comparing(
                    (View view) -> view.status.getRole() == Role.WRITER)
            .thenComparing(view -> view.status.getTerm())
            .thenComparing(view -> view.status.getConfigVersion());

    /** A volume as one agent sees it. */
    private record View(String agent, VolumeStatus status) {}

    private VolumeViews() {}

    /**
     * @param views what each agent that answered said
     * @param locks what the lock manager said, empty when it did not answer
     */
    static List<StatusReport.Volume> merge(Map<String, List<VolumeStatus>> views, Optional<List<VolumeInfo>> locks) {
        Map<String, View> best = new TreeMap<>();
        Map<String, Map<String, ReplicaStatus>> own = new TreeMap<>();
        views.forEach((agent, volumes) -> {
            for (VolumeStatus status : volumes) {
                best.merge(
                        status.getName(),
                        new View(agent, status),
                        (one, other) -> AUTHORITY.compare(one, other) >= 0 ? one : other);
                for (ReplicaStatus replica : status.getReplicasList()) {
                    if (replica.getAgent().equals(agent)) {
                        own.computeIfAbsent(status.getName(), name -> new TreeMap<>())
                                .put(agent, replica);
                    }
                }
            }
        });
        return best.values().stream()
                .map(view -> volume(view.status, own.getOrDefault(view.status.getName(), Map.of()), locks))
                .toList();
    }

    private static StatusReport.Volume volume(
            VolumeStatus status, Map<String, ReplicaStatus> own, Optional<List<VolumeInfo>> locks) {
        boolean fromWriter = status.getRole() == Role.WRITER;
        // Files of a replica that was taken away may still be at an agent; the writer knows that it is none any more.
        Map<String, ReplicaStatus> replicas = fromWriter ? new TreeMap<>() : new TreeMap<>(own);
        for (ReplicaStatus replica : status.getReplicasList()) {
            if (fromWriter) {
                replicas.put(replica.getAgent(), withOwn(replica, own.get(replica.getAgent())));
            } else {
                replicas.putIfAbsent(replica.getAgent(), replica);
            }
        }
        Optional<VolumeInfo> held = locks.flatMap(all -> all.stream()
                .filter(volume -> volume.getName().equals(status.getName()))
                .findFirst());
        return new StatusReport.Volume(
                status.getName(),
                status.getSizeBytes(),
                orNull(status.getWriter()),
                status.getTerm(),
                name(status.getAckLevel()),
                orNull(status.getNbdUri()),
                status.getDetail(),
                locks.isPresent() ? held.map(VolumeInfo::getHeld).orElse(0L) : null,
                locks.isPresent() ? held.map(VolumeInfo::getWaiting).orElse(0L) : null,
                status.getWritesWait(),
                replicas.values().stream().map(VolumeViews::replica).toList());
    }

    /** The writer may not know where a peer keeps its image, nor what another writer found there; the peer does. */
    private static ReplicaStatus withOwn(ReplicaStatus seenByWriter, @Nullable ReplicaStatus seenByItself) {
        if (seenByItself == null) {
            return seenByWriter;
        }
        ReplicaStatus.Builder both = seenByWriter.toBuilder().setDifferingBlocks(seenByItself.getDifferingBlocks());
        if (seenByWriter.getImage().isEmpty()) {
            both.setImage(seenByItself.getImage());
        }
        return both.build();
    }

    private static StatusReport.Replica replica(ReplicaStatus replica) {
        return new StatusReport.Replica(
                replica.getAgent(),
                replica.getImage(),
                replica.getInSync(),
                replica.getConnected(),
                replica.getReceived(),
                replica.getDurable(),
                replica.getApplied(),
                replica.getLagBytes(),
                replica.getDetail(),
                replica.hasCopy() ? copy(replica.getCopy()) : null,
                replica.getDifferingBlocks());
    }

    private static StatusReport.Copy copy(CopyStatus copy) {
        return new StatusReport.Copy(
                copy.getPhase().name().toLowerCase(Locale.ROOT),
                copy.getTotalBytes(),
                copy.getLeftBytes(),
                copy.getBytesPerSecond(),
                copy.getRemainingSeconds() < 0 ? null : copy.getRemainingSeconds());
    }

    static String name(AckLevel level) {
        return level.name().toLowerCase(Locale.ROOT);
    }

    private static @Nullable String orNull(String text) {
        return text.isEmpty() ? null : text;
    }
}
