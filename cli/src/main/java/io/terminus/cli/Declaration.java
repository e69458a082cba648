package io.terminus.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The volumes that there should be, as a file says it: what {@code volume apply} reads.
 *
 * <pre>
 *   {"agents":  ["a:10813", "b:10813"],
 *    "volumes": [{"name": "demo", "size": "1GiB", "replicas": ["a", "b"], "ackLevel": "received",
 *                 "copies": 0, "minCopies": 1, "failover": "automatic"}]}
 * </pre>
 *
 * @param agents gRPC endpoints; each agent says its name itself. Empty: those of the set on this machine
 * @param volumes in the order in which they are made
 */
record Declaration(List<String> agents, List<Volume> volumes) {

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .build();

    /**
     * @param replicas names of agents; the first writes first
     * @param ackLevel null: received
     * @param copies that an acknowledgement needs; null or 0: all in sync
     * @param minCopies null: 1
     * @param failover null: manual. Fixed when the volume is made
     */
    record Volume(
            String name,
            ByteSize size,
            List<String> replicas,
            VolumeCommand.@Nullable Ack ackLevel,
            @Nullable Integer copies,
            @Nullable Integer minCopies,
            VolumeCommand.@Nullable FailoverChoice failover) {

        Volume {
            replicas = List.copyOf(Objects.requireNonNull(replicas, "replicas"));
            if (replicas.isEmpty() || Set.copyOf(replicas).size() < replicas.size()) {
                throw new Failure("the replicas " + replicas + " of volume " + name
                        + " are none, or name an agent twice: each is the name of one agent");
            }
            Terminus.checkVolumeSize(size);
        }
    }

    /** The file's own words, before their rules are looked at. */
    private record Written(
            @Nullable List<String> agents, @Nullable List<WrittenVolume> volumes) {}

    private record WrittenVolume(
            @Nullable String name,
            @Nullable String size,
            @Nullable List<String> replicas,
            @Nullable String ackLevel,
            @Nullable Integer copies,
            @Nullable Integer minCopies,
            @Nullable String failover) {

        Volume checked() {
            if (name == null || size == null || replicas == null) {
                throw new Failure("a volume has to have a name, a size and replicas; here is " + this);
            }
            try {
                return new Volume(
                        name,
                        ByteSize.parse(size),
                        replicas,
                        choice(VolumeCommand.Ack.class, "ackLevel", ackLevel),
                        copies,
                        minCopies,
                        choice(VolumeCommand.FailoverChoice.class, "failover", failover));
            } catch (IllegalArgumentException e) {
                throw new Failure("volume " + name + ": " + e.getMessage(), e);
            }
        }

        private static <E extends Enum<E>> @Nullable E choice(Class<E> choices, String key, @Nullable String word) {
            if (word == null) {
                return null;
            }
            for (E one : choices.getEnumConstants()) {
                if (one.name().equalsIgnoreCase(word)) {
                    return one;
                }
            }
            throw new IllegalArgumentException(key + " of '" + word + "' is not one of "
                    + List.of(choices.getEnumConstants()).toString().toLowerCase(java.util.Locale.ROOT));
        }
    }

    Declaration {
        agents = List.copyOf(agents);
        volumes = List.copyOf(volumes);
        Set<String> names = new HashSet<>();
        for (Volume volume : volumes) {
            if (!names.add(volume.name())) {
                throw new Failure("volume " + volume.name() + " is declared twice");
            }
        }
    }

    static Declaration read(Path file) {
        try {
            Written written = JSON.readValue(Files.readString(file), Written.class);
            return new Declaration(
                    Objects.requireNonNullElse(written.agents(), List.of()),
                    Objects.requireNonNullElse(written.volumes(), List.<WrittenVolume>of()).stream()
                            .map(WrittenVolume::checked)
                            .toList());
        } catch (IOException e) {
            throw new Failure("cannot read " + file + ": " + SetDirectory.reason(e), e);
        } catch (JacksonException e) {
            throw new Failure(file + " is not a declaration of volumes: " + e.getOriginalMessage(), e);
        } catch (Failure e) {
            throw new Failure(file + ": " + e.getMessage(), e);
        }
    }
}
