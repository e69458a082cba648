package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Left;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.VolumeConfig.UnreadableConfigException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class VolumeConfigTest {

    /** The lock manager takes no larger value. */
    private static final int VALUE_LIMIT_BYTES = 4_096;

    @Test
    void whatIsEncodedIsDecoded() throws UnreadableConfigException {
        for (AckLevel level : AckLevel.values()) {
            for (Failover failover : Failover.values()) {
                VolumeConfig config = config(level, failover, 3);

                VolumeConfig decoded = VolumeConfig.decode(config.encode());

                assertThat(decoded).isEqualTo(config);
            }
        }
    }

    @Test
    void theLargestConfigurationFitsIntoAValueBlock() {
        VolumeConfig config = config(AckLevel.RECEIVED, Failover.AUTOMATIC, 64);
        for (int i = 0; i < 10; i++) {
            config = config.inThePlaceOf(config);
        }

        byte[] value = config.encode();

        assertThat(value.length).isLessThan(VALUE_LIMIT_BYTES);
    }

    @Test
    void theNewestTermsAreKept() throws UnreadableConfigException {
        VolumeConfig config = config(AckLevel.RECEIVED, Failover.AUTOMATIC, 40);

        VolumeConfig decoded = VolumeConfig.decode(config.encode());

        assertThat(decoded.lineage().starts())
                .isEqualTo(config.lineage().starts().subList(8, 40));
    }

    @Test
    void anotherFormatIsRefusedByItsNumber() {
        byte[] value = config(AckLevel.RECEIVED, Failover.MANUAL, 1).toProto().toBuilder()
                .setFormat(3)
                .build()
                .toByteArray();

        assertThatThrownBy(() -> VolumeConfig.decode(value))
                .isInstanceOf(UnreadableConfigException.class)
                .hasMessageContaining("format 3")
                .hasMessageContaining("formats 1 and 2");
    }

    @Test
    void unknownLevelsAndModesAreRefused() {
        var proto = config(AckLevel.RECEIVED, Failover.MANUAL, 1).toProto();

        assertThatThrownBy(() -> VolumeConfig.decode(
                        proto.toBuilder().setAckLevelValue(77).build().toByteArray()))
                .isInstanceOf(UnreadableConfigException.class)
                .hasMessageContaining("77");
        assertThatThrownBy(() -> VolumeConfig.decode(
                        proto.toBuilder().setAckLevelValue(0).build().toByteArray()))
                .isInstanceOf(UnreadableConfigException.class);
        assertThatThrownBy(() -> VolumeConfig.decode(
                        proto.toBuilder().setFailoverValue(9).build().toByteArray()))
                .isInstanceOf(UnreadableConfigException.class)
                .hasMessageContaining("9");
    }

    @Test
    void anEmptyInSyncSetAndImpossibleCopiesAreRefused() {
        var proto = config(AckLevel.RECEIVED, Failover.MANUAL, 1).toProto();

        assertThatThrownBy(() -> VolumeConfig.decode(
                        proto.toBuilder().clearInSync().build().toByteArray()))
                .isInstanceOf(UnreadableConfigException.class)
                .hasMessageContaining("in-sync set is empty");
        assertThatThrownBy(() -> VolumeConfig.decode(
                        proto.toBuilder().setCopies(6).build().toByteArray()))
                .isInstanceOf(UnreadableConfigException.class)
                .hasMessageContaining("copies 6");
    }

    @Test
    void damagedValuesAreRefusedOrDecodedNeverAnythingElse() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        byte[] value = config(AckLevel.DURABLE, Failover.AUTOMATIC, 4).encode();

        for (int i = 0; i < 20_000; i++) {
            byte[] damaged = value.clone();
            for (int n = 1 + random.nextInt(4); n > 0; n--) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
            }
            try {
                VolumeConfig.decode(damaged);
            } catch (UnreadableConfigException e) {
                assertThat(e.getMessage()).as("seed %d", seed).isNotBlank();
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }

    @Test
    void aMemberThatLeavesIsAbsentUntilItComesBack() {
        VolumeConfig config = config(AckLevel.RECEIVED, Failover.AUTOMATIC, 1);

        VolumeConfig without = config.without("agent-with-a-long-name-2", 512).without("agent-with-a-long-name-2", 640);
        VolumeConfig again = without.withMember(new Member("agent-with-a-long-name-2", "another boot"));

        assertThat(without.member("agent-with-a-long-name-2")).isEmpty();
        assertThat(without.absent()).containsExactly(new Left("agent-with-a-long-name-2", 640));
        assertThat(again.absent()).isEmpty();
        assertThat(again.member("agent-with-a-long-name-2"))
                .contains(new Member("agent-with-a-long-name-2", "another boot"));
    }

    @Test
    void theForcedWayLeavesOneMember() {
        VolumeConfig config = config(AckLevel.RECEIVED, Failover.AUTOMATIC, 1);
        Member survivor = new Member("agent-with-a-long-name-5", "now");

        VolumeConfig forced = config.onlyMember(survivor, 768);

        assertThat(forced.inSync()).containsExactly(survivor);
        assertThat(forced.absent()).hasSize(4).allMatch(l -> l.position() == 768);
    }

    static VolumeConfig config(AckLevel level, Failover failover, int terms) {
        List<Member> members = new ArrayList<>();
        List<Address> addresses = new ArrayList<>();
        for (int i = 1; i <= 5; i++) {
            String agent = "agent-with-a-long-name-" + i;
            members.add(new Member(agent, UUID.randomUUID().toString()));
            addresses.add(new Address(
                    agent, agent + ".terminus.svc.cluster.local:10810", agent + ".terminus.svc.cluster.local:9091"));
        }
        List<TermStart> starts = new ArrayList<>();
        for (int i = 1; i <= terms; i++) {
            starts.add(new TermStart(1_000_000 + i, "agent-with-a-long-name-" + (1 + i % 5), (1L << 45) + i * 128L));
        }
        return new VolumeConfig(
                UUID.fromString("5ca1ab1e-0000-4000-8000-00000000c0de"),
                "a-volume-with-a-name-of-forty-characters",
                1L << 40,
                64 << 20,
                1_000_000 + terms,
                "agent-with-a-long-name-1",
                members,
                List.of(),
                level,
                3,
                2,
                new Lineage(starts),
                failover,
                addresses,
                VolumeConfig.Fork.NONE);
    }
}
