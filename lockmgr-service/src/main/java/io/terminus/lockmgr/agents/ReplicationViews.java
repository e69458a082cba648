package io.terminus.lockmgr.agents;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.lockmgr.agents.Replication.Health;
import io.terminus.lockmgr.agents.Replication.Progress;
import io.terminus.lockmgr.agents.Replication.Replica;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.Member;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.Standing;
import io.terminus.proto.agent.v1.VerifyStatus;
import io.terminus.proto.agent.v1.VolumeConfig;
import io.terminus.proto.agent.v1.VolumeStatus;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Puts together what a value block and the agents say of a volume. Knows neither network nor time. */
final class ReplicationViews {

    /** Formats of value blocks that are understood here. */
    private static final int NEWEST_FORMAT = 2;

    private static final int MOST_REPLICAS = 64;
    /** host:port; value blocks are written by clients, and what they hold is not to be believed. */
    private static final Pattern ADDRESS =
            Pattern.compile("[A-Za-z0-9._-]{1,253}:[0-9]{1,5}|\\[[0-9A-Fa-f:.]{2,45}]:[0-9]{1,5}");

    /** What an agent said of a volume, and when on the clock of {@link System#nanoTime}. */
    record Said(VolumeStatus status, long atNanos) {}

    private ReplicationViews() {}

    /** The value block of a replicated volume; empty: it is something of a client of another kind, or newer than this program. */
    static Optional<VolumeConfig> config(String volume, byte[] value) {
        if (value.length == 0) {
            return Optional.empty();
        }
        try {
            VolumeConfig config = VolumeConfig.parseFrom(value);
            boolean known = config.getFormat() >= 1
                    && config.getFormat() <= NEWEST_FORMAT
                    && config.getName().equals(volume)
                    && !config.getUuid().isEmpty()
                    && config.getReplicasCount() > 0
                    && config.getReplicasCount() <= MOST_REPLICAS
                    && config.getReplicasList().stream()
                            .allMatch(r -> ADDRESS.matcher(r.getControl()).matches());
            return known ? Optional.of(config) : Optional.empty();
        } catch (InvalidProtocolBufferException anotherClients) {
            return Optional.empty();
        }
    }

    /** The writer's view, of those that say they are it that of the newest term; null: nobody says so. */
    static @Nullable Said writer(VolumeConfig config, Function<String, Answer> answers) {
        Said writer = null;
        for (ReplicaAddress address : config.getReplicasList()) {
            Answer answer = answers.apply(address.getControl());
            VolumeStatus status = answer.of(config.getUuid());
            if (status != null
                    && status.getRole() == Role.WRITER
                    && (writer == null || status.getTerm() > writer.status().getTerm())) {
                writer = new Said(status, answer.atNanos());
            }
        }
        return writer;
    }

    /** @param answers by the address of the control service */
    static Replication view(VolumeConfig config, Function<String, Answer> answers) {
        Said said = writer(config, answers);
        VolumeStatus writer = said == null ? null : said.status();
        List<Replica> replicas = config.getReplicasList().stream()
                .map(address -> replica(config, address, answers.apply(address.getControl()), writer))
                .toList();
        Health health = health(config, writer, replicas);
        return new Replication(
                config.getUuid(),
                config.getSizeBytes(),
                config.getTerm(),
                config.getWriter(),
                config.getAckLevel().name(),
                config.getCopies(),
                config.getMinCopies(),
                config.getFailover().name(),
                standing(config).name(),
                health,
                why(health, config, writer, replicas),
                writer == null ? "" : writer.getDetail(),
                writer == null ? "" : writer.getNbdUri(),
                writer == null ? -1 : writer.getCommitted(),
                replicas);
    }

    private static Standing standing(VolumeConfig config) {
        return config.getStanding() == Standing.STANDING_UNSPECIFIED ? Standing.IN_USE : config.getStanding();
    }

    private static Replica replica(
            VolumeConfig config, ReplicaAddress address, Answer answer, @Nullable VolumeStatus writer) {
        String agent = address.getAgent();
        VolumeStatus own = answer.of(config.getUuid());
        ReplicaStatus seen = entry(writer, agent);
        ReplicaStatus figures = seen != null ? seen : entry(own, agent);
        boolean member = config.getInSyncList().stream().map(Member::getAgent).anyMatch(agent::equals);
        return new Replica(
                agent,
                address.getControl(),
                answer.failure() == null,
                own == null ? "" : own.getRole().name(),
                seen != null ? seen.getInSync() : member,
                seen != null && seen.getConnected(),
                figures == null ? -1 : figures.getReceived(),
                figures == null ? -1 : figures.getDurable(),
                figures == null ? -1 : figures.getApplied(),
                seen == null ? -1 : seen.getLagBytes(),
                figures == null ? 0 : figures.getDifferingBlocks(),
                detail(answer, own, seen),
                seen != null && seen.hasCopy() ? progress(seen.getCopy()) : null,
                seen != null && seen.hasVerify() ? progress(seen.getVerify()) : null);
    }

    private static @Nullable ReplicaStatus entry(@Nullable VolumeStatus status, String agent) {
        return status == null
                ? null
                : status.getReplicasList().stream()
                        .filter(r -> r.getAgent().equals(agent))
                        .findFirst()
                        .orElse(null);
    }

    private static String detail(Answer answer, @Nullable VolumeStatus own, @Nullable ReplicaStatus seen) {
        String failure = answer.failure();
        if (failure != null) {
            return failure;
        }
        if (own == null) {
            return "this agent has no replica of the volume";
        }
        return seen == null || seen.getDetail().isEmpty()
                ? own.getDetail()
                : own.getDetail() + "; the writer says: " + seen.getDetail();
    }

    private static Progress progress(CopyStatus copy) {
        return new Progress(
                copy.getPhase().name(),
                copy.getTotalBytes() - copy.getLeftBytes(),
                copy.getTotalBytes(),
                copy.getBytesPerSecond(),
                copy.getRemainingSeconds(),
                0,
                "");
    }

    private static Progress progress(VerifyStatus verify) {
        return new Progress(
                verify.getPhase().name(),
                verify.getComparedBytes(),
                verify.getTotalBytes(),
                verify.getBytesPerSecond(),
                verify.getRemainingSeconds(),
                verify.getDifferingBlocks(),
                verify.getDetail());
    }

    private static Health health(VolumeConfig config, @Nullable VolumeStatus writer, List<Replica> replicas) {
        if (standing(config) != Standing.IN_USE) {
            return Health.OUT_OF_USE;
        }
        if (writer == null || writer.getNbdUri().isEmpty()) {
            return replicas.stream().anyMatch(Replica::answers) ? Health.DOWN : Health.UNKNOWN;
        }
        return replicas.stream().allMatch(r -> wrong(r) == null) ? Health.WELL : Health.DEGRADED;
    }

    private static String why(
            Health health, VolumeConfig config, @Nullable VolumeStatus writer, List<Replica> replicas) {
        return switch (health) {
            case WELL -> "";
            case OUT_OF_USE ->
                standing(config) == Standing.DEMOTED ? "demoted: promote an agent to serve it" : "deleted";
            case UNKNOWN -> "none of its agents answers: " + replicas.getFirst().detail();
            case DEGRADED ->
                tooFew(config, replicas)
                        + replicas.stream()
                                .map(r -> wrong(r) == null ? "" : r.agent() + " " + wrong(r))
                                .filter(sentence -> !sentence.isEmpty())
                                .collect(Collectors.joining("; "));
            case DOWN ->
                writer != null
                        ? writer.getDetail()
                        : "served by nobody; "
                                + replicas.stream()
                                        .map(r -> r.agent() + ": " + r.detail())
                                        .collect(Collectors.joining("; "));
        };
    }

    private static String tooFew(VolumeConfig config, List<Replica> replicas) {
        long inSync = replicas.stream().filter(Replica::inSync).count();
        return inSync < config.getMinCopies()
                ? "writes wait: " + inSync + " in sync, at least " + config.getMinCopies() + " are asked for; "
                : "";
    }

    private static @Nullable String wrong(Replica replica) {
        List<String> wrongs = new ArrayList<>();
        if (replica.role().equals(Role.FAILED.name())) {
            wrongs.add("has failed");
        } else if (replica.copy() != null) {
            wrongs.add("is being copied to");
        } else if (!replica.inSync()) {
            wrongs.add("is not in sync");
        }
        if (replica.differingBlocks() > 0) {
            wrongs.add("differs in " + replica.differingBlocks() + " blocks");
        }
        if (!replica.answers()) {
            wrongs.add("does not answer");
        }
        return wrongs.isEmpty() ? null : String.join(" and ", wrongs);
    }
}
