package io.terminus.agent.peer;

import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import java.util.ArrayList;
import java.util.List;

/**
 * What an agent can do on a link: the versions of the protocol that it speaks, and features, by name, that a link has if
 * both sides have them. The side that opens a connection says its own, the other one answers with what is spoken: the
 * newest version of both, and the features of both.
 *
 * <p>A feature is for what one side may leave alone; a version is for what it may not. An agent from before there were
 * abilities says nothing, which is version 1 without features: all frames but those that a feature brings.
 */
record Abilities(int oldestVersion, int newestVersion, List<String> features) {

    /** What is spoken on one connection. */
    record Agreement(int version, boolean credit, Compression compression) {
        static final Agreement NONE = new Agreement(OLDEST_VERSION, false, Compression.NONE);

        List<String> features() {
            List<String> names = new ArrayList<>();
            if (credit) {
                names.add(CREDIT);
            }
            names.addAll(Abilities.features(compression));
            return names;
        }
    }

    static final int OLDEST_VERSION = 1;
    static final int NEWEST_VERSION = 1;

    /**
     * ACKs count the bytes that came over the connection, so the writer knows how much is on the way, whatever it is; and say
     * what the journal there has room for, so that its reader never stands still before news that would make room.
     */
    static final String CREDIT = "credit";

    /** Runs may come as PACKED frames, each one zstd frame. */
    static final String ZSTD = "zstd";

    /** Runs may come as PACKED frames, each one LZ4 block. */
    static final String LZ4 = "lz4";

    /** More features than anybody ever has: who says so is no agent. */
    private static final int MOST_FEATURES = 64;

    Abilities {
        features = List.copyOf(features);
    }

    static Abilities of(LinkSettings settings) {
        List<String> names = new ArrayList<>(List.of(CREDIT));
        names.addAll(features(settings.compression()));
        return new Abilities(OLDEST_VERSION, NEWEST_VERSION, names);
    }

    private static List<String> features(Compression compression) {
        return switch (compression) {
            case NONE -> List.of();
            case LZ4 -> List.of(LZ4);
            case ZSTD -> List.of(ZSTD);
        };
    }

    static Abilities of(boolean said, io.terminus.proto.agent.v1.Abilities a) throws RefusedException {
        if (!said) {
            return new Abilities(OLDEST_VERSION, OLDEST_VERSION, List.of());
        }
        if (a.getOldestVersion() < 1 || a.getNewestVersion() < a.getOldestVersion()) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "versions " + a.getOldestVersion() + " to " + a.getNewestVersion()
                            + " of the peer protocol: they begin with 1, and do not fall");
        }
        if (a.getFeaturesCount() > MOST_FEATURES) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, a.getFeaturesCount() + " features; at most " + MOST_FEATURES + " are allowed");
        }
        return new Abilities(a.getOldestVersion(), a.getNewestVersion(), a.getFeaturesList());
    }

    io.terminus.proto.agent.v1.Abilities toProto() {
        return io.terminus.proto.agent.v1.Abilities.newBuilder()
                .setOldestVersion(oldestVersion)
                .setNewestVersion(newestVersion)
                .addAllFeatures(features)
                .build();
    }

    /** What this agent, which was asked, speaks with the one that asks. */
    Agreement agreeWith(Abilities asking, String self, String other) throws RefusedException {
        int version = Math.min(newestVersion, asking.newestVersion);
        if (version < Math.max(oldestVersion, asking.oldestVersion)) {
            throw new RefusedException(
                    Why.OTHER_VERSION,
                    "agent " + self + " speaks " + versions() + " of the peer protocol, and " + other + " "
                            + asking.versions());
        }
        return new Agreement(version, bothHave(CREDIT, asking), compression(asking.features));
    }

    /** The other side's answer: it may only name what this agent has offered. */
    Agreement agreed(int version, List<String> named, String by) throws RefusedException {
        int spoken = version == 0 ? OLDEST_VERSION : version;
        if (spoken < oldestVersion || spoken > newestVersion) {
            throw new RefusedException(
                    Why.OTHER_VERSION,
                    by + " answers in version " + spoken + " of the peer protocol; this agent speaks " + versions());
        }
        if (!features.containsAll(named)) {
            throw new RefusedException(
                    Why.BAD_MESSAGE, by + " answers with the features " + named + "; offered were " + features);
        }
        return new Agreement(spoken, named.contains(CREDIT), compression(named));
    }

    /** The one of this side, if the other side has it: a side is set to one at most. */
    private Compression compression(List<String> others) {
        for (Compression c : Compression.values()) {
            List<String> its = features(c);
            if (!its.isEmpty() && features.containsAll(its) && others.containsAll(its)) {
                return c;
            }
        }
        return Compression.NONE;
    }

    private boolean bothHave(String feature, Abilities other) {
        return features.contains(feature) && other.features.contains(feature);
    }

    private String versions() {
        return "versions " + oldestVersion + " to " + newestVersion;
    }
}
