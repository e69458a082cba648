package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.peer.Abilities.Agreement;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.TestHooks;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class AbilitiesTest {

    private static final Abilities PLAIN = Abilities.of(LinkSettings.DEFAULTS);
    private static final Abilities PACKING = setTo(Compression.ZSTD);

    @Test
    void aLinkIsCompressedIfBothAgentsAreSetToIt() throws RefusedException {
        for (Compression one : Compression.values()) {
            for (Compression other : Compression.values()) {
                Agreement agreement = setTo(one).agreeWith(setTo(other), "b", "a");
                Agreement heard = setTo(other).agreed(1, agreement.features(), "b");

                Compression both = one == other ? one : Compression.NONE;
                assertThat(agreement).isEqualTo(new Agreement(1, true, both));
                assertThat(heard).isEqualTo(agreement);
            }
        }
    }

    @Test
    void theNewestVersionOfBothIsSpoken() throws RefusedException {
        Abilities own = new Abilities(2, 5, List.of());

        assertThat(own.agreeWith(new Abilities(1, 9, List.of()), "b", "a").version())
                .isEqualTo(5);
        assertThat(own.agreeWith(new Abilities(1, 2, List.of()), "b", "a").version())
                .isEqualTo(2);
    }

    @Test
    void withoutAVersionInCommonBothSidesAreNamed() {
        Abilities own = new Abilities(2, 5, List.of());

        for (Abilities other : List.of(new Abilities(6, 9, List.of()), new Abilities(1, 1, List.of()))) {
            assertThatThrownBy(() -> own.agreeWith(other, "b", "writer a"))
                    .isInstanceOfSatisfying(
                            RefusedException.class, e -> assertThat(e.why()).isEqualTo(Why.OTHER_VERSION))
                    .hasMessageContaining("agent b speaks versions 2 to 5")
                    .hasMessageContaining(
                            "writer a versions " + other.oldestVersion() + " to " + other.newestVersion());
        }
    }

    @Test
    void whoSaysNothingIsOfVersionOneAndHasNoFeature() throws RefusedException {
        Abilities silent = Abilities.of(false, io.terminus.proto.agent.v1.Abilities.getDefaultInstance());

        assertThat(PACKING.agreeWith(silent, "b", "a")).isEqualTo(Agreement.NONE);
        assertThat(PACKING.agreed(0, List.of(), "b")).isEqualTo(Agreement.NONE);
    }

    @Test
    void whatIsSaidIsReadAsItWasMeant() throws RefusedException {
        assertThat(Abilities.of(true, PACKING.toProto())).isEqualTo(PACKING);
    }

    @Test
    void featuresThatNobodyHereKnowsAreLeftAlone() throws RefusedException {
        Abilities newer = new Abilities(1, 1, List.of("credit", "telepathy"));

        assertThat(PLAIN.agreeWith(newer, "b", "a").features()).containsExactly("credit");
    }

    @Test
    void anAnswerNamesOnlyWhatWasOffered() {
        assertThatThrownBy(() -> PLAIN.agreed(1, List.of("credit", "zstd"), "agent b"))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("agent b answers with the features [credit, zstd]")
                .hasMessageContaining("offered were [credit]");
        assertThatThrownBy(() -> PLAIN.agreed(2, List.of(), "agent b"))
                .isInstanceOfSatisfying(
                        RefusedException.class, e -> assertThat(e.why()).isEqualTo(Why.OTHER_VERSION))
                .hasMessageContaining("version 2")
                .hasMessageContaining("versions 1 to 1");
    }

    @Test
    void versionsThatMakeNoSenseAreRefused() {
        for (int[] versions : new int[][] {{0, 1}, {2, 1}, {-1, -1}}) {
            var said = io.terminus.proto.agent.v1.Abilities.newBuilder()
                    .setOldestVersion(versions[0])
                    .setNewestVersion(versions[1])
                    .build();

            assertThatThrownBy(() -> Abilities.of(true, said))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining("versions " + versions[0] + " to " + versions[1]);
        }
        var many = io.terminus.proto.agent.v1.Abilities.newBuilder()
                .setOldestVersion(1)
                .setNewestVersion(1)
                .addAllFeatures(Collections.nCopies(65, "f"))
                .build();
        assertThatThrownBy(() -> Abilities.of(true, many)).hasMessageContaining("65 features");
    }

    @Test
    void aSettingThatIsNoneOfThemIsNamed() {
        assertThat(Compression.of("k", "zstd")).isEqualTo(Compression.ZSTD);
        assertThat(Compression.of("k", "lz4")).isEqualTo(Compression.LZ4);
        assertThat(Compression.of("k", "none")).isEqualTo(Compression.NONE);
        assertThatThrownBy(() -> Compression.of("agent.peer-compression", "gzip"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("agent.peer-compression of \"gzip\" is not among [none, lz4, zstd]");
    }

    private static Abilities setTo(Compression compression) {
        return Abilities.of(new LinkSettings(compression, Duration.ofSeconds(2), TestHooks.NONE));
    }
}
