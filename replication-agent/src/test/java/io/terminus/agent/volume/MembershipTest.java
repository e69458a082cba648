package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Left;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** "a" writes; its TERM record ends at 1,000, in the tests that do not say otherwise. */
class MembershipTest {

    private static final long FLOOR = 1_000;
    private static final Lineage LINEAGE = new Lineage(List.of(new TermStart(5, "a", 0)));

    private final Map<String, Membership.Peer> peers = new HashMap<>();

    // ---- what is committed

    @ParameterizedTest(name = "{0} members, {1} copies: {2}")
    @CsvSource({"3,0,2000", "3,3,2000", "3,2,3000", "3,1,4000", "2,0,3000", "1,0,4000", "5,3,2000", "2,5,3000"})
    void qMembersCommitTheWriterBeingOneOfThem(int members, int copies, long committed) {
        Membership m = membership(AckLevel.RECEIVED, copies, "abcde".substring(0, members));

        received(m, "a", 4_000);
        received(m, "b", 3_000);
        received(m, "c", 2_000);
        received(m, "d", 1_500);
        received(m, "e", 2_000);

        assertThat(m.committed()).isEqualTo(committed);
    }

    @Test
    void membersAheadOfTheWriterDoNotCommitWithoutIt() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");

        received(m, "b", 5_000);
        received(m, "c", 5_000);
        received(m, "a", 1_200);

        assertThat(m.committed()).isEqualTo(1_200);
    }

    @Test
    void whoIsNoMemberCommitsNothing() {
        Membership m = membership(AckLevel.RECEIVED, 2, "ab");

        received(m, "a", 4_000);
        received(m, "c", 4_000);

        assertThat(m.committed()).isEqualTo(0);
        assertThat(m.open()).isFalse();
    }

    @Test
    void nothingIsCommittedBeforeTheTermRecordIs() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");

        received(m, "a", 1_500);
        received(m, "b", FLOOR - 1);

        assertThat(m.committed()).isEqualTo(0);
        assertThat(m.open()).isFalse();
        received(m, "b", FLOOR);
        assertThat(m.committed()).isEqualTo(FLOOR);
        assertThat(m.open()).isTrue();
    }

    @Test
    void whatOlderTermsCommittedStaysCommitted() {
        Membership m = new Membership(config(AckLevel.RECEIVED, 0, 1, "ab"), member("a"), 600, FLOOR, LINEAGE);

        received(m, "a", 1_500);

        assertThat(m.committed()).isEqualTo(600);
    }

    @Test
    void atDurableOnlySyncedBytesCount() {
        Membership m = membership(AckLevel.DURABLE, 0, "ab");

        m.holds("a", 3_000, 2_000);
        m.holds("b", 3_000, 1_500);

        assertThat(m.committed()).isEqualTo(1_500);
        assertThat(m.durablyCommitted()).isEqualTo(1_500);
    }

    @Test
    void atReceivedFlushesWaitForSyncedBytesAllTheSame() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");

        m.holds("a", 3_000, 2_000);
        m.holds("b", 3_000, 1_500);

        assertThat(m.committed()).isEqualTo(3_000);
        assertThat(m.durablyCommitted()).isEqualTo(1_500);
    }

    @Test
    void positionsThatFallOnANewConnectionCountFromThere() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        received(m, "a", 2_000);
        received(m, "b", 2_000);

        received(m, "b", 1_200);
        received(m, "a", 3_000);

        assertThat(m.committed()).isEqualTo(2_000);
        received(m, "b", 2_500);
        assertThat(m.committed()).isEqualTo(2_500);
    }

    @Test
    void fewerMembersThanTheVolumesOwnFloorAreNotEnough() {
        Membership m = new Membership(config(AckLevel.RECEIVED, 2, 2, "ab"), member("a"), 0, FLOOR, LINEAGE);
        served(m, "a", "b");
        assertThat(m.enoughMembers()).isTrue();

        gone("b");
        assertThat(m.propose(peers)).isPresent();

        assertThat(m.enoughMembers()).isFalse();
        m.changed();
        assertThat(m.enoughMembers()).isFalse();
        assertThat(m.config().inSync()).containsExactly(member("a"));
    }

    // ---- removal

    @Test
    void aRemovalOfUnknownOutcomeStillNeedsTheRemovedMember() {
        Membership m = membership(AckLevel.RECEIVED, 0, "abc");
        served(m, "a", "b", "c");
        gone("c");

        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.inSync()).containsExactly(member("a"), member("b")));

        received(m, "a", 2_000);
        received(m, "b", 2_000);
        assertThat(m.committed()).isEqualTo(FLOOR);
        assertThat(m.propose(peers)).as("one change at a time").isEmpty();
        assertThat(m.inFlight()).isPresent();
        m.changed();
        assertThat(m.committed()).isEqualTo(2_000);
        assertThat(m.config().absent()).containsExactly(new Left("c", FLOOR));
    }

    @Test
    void aRemovalThatWasNotStoredChangesNothing() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        served(m, "a", "b");
        gone("b");
        assertThat(m.propose(peers)).isPresent();

        m.unchanged();
        received(m, "a", 2_000);

        assertThat(m.committed()).isEqualTo(FLOOR);
        assertThat(m.inFlight()).isEmpty();
        received(m, "b", 2_000);
        assertThat(m.committed()).isEqualTo(2_000);
    }

    @Test
    void theOnlyOtherHolderOfAnAcknowledgedWriteStaysUntilTheRestHasIt() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        served(m, "a", "b", "c");
        received(m, "a", 2_000);
        received(m, "b", 2_000);
        assertThat(m.committed()).isEqualTo(2_000);
        gone("b");

        assertThat(m.propose(peers)).isEmpty();
        received(m, "c", 1_999);
        assertThat(m.propose(peers)).isEmpty();
        received(m, "c", 2_000);

        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.member("b")).isEmpty());
    }

    @Test
    void theRecoveredTailAndTheTermRecordCountAsAcknowledged() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        streaming("b", "c");
        received(m, "a", FLOOR);
        received(m, "c", 500);
        gone("b");

        assertThat(m.propose(peers)).isEmpty();
        received(m, "c", FLOOR);

        assertThat(m.propose(peers)).isPresent();
    }

    @Test
    void whatWasFlushedIsDurableInTheSetThatRemains() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        streaming("b", "c");
        m.holds("a", 2_000, 2_000);
        m.holds("b", 2_000, 2_000);
        m.holds("c", 2_000, 500);
        assertThat(m.durablyCommitted()).isEqualTo(2_000);
        gone("b");

        assertThat(m.propose(peers)).isEmpty();
        m.holds("c", 2_000, 2_000);

        assertThat(m.propose(peers)).isPresent();
    }

    @Test
    void theRecoveredTailMayHaveBeenFlushed() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        streaming("b");
        gone("b");
        m.holds("a", FLOOR, 500);

        assertThat(m.propose(peers)).isEmpty();
        m.holds("a", FLOOR, FLOOR);

        assertThat(m.propose(peers)).isPresent();
    }

    @Test
    void aMemberThatWasNeverSeenIsRemovedLikeASilentOne() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        m.holds("a", FLOOR, FLOOR);

        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.inSync()).containsExactly(member("a")));
    }

    // ---- a replica less

    @Test
    void aReplicaThatIsTakenAwayLeavesTheSetFirstAndOnlyWhenTheOthersHoldEverything() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        streaming("b", "c");
        m.holds("a", 2_000, 2_000);
        m.holds("b", 2_000, 2_000);
        m.holds("c", 1_500, 1_500);
        m.remove("b");

        assertThat(m.propose(peers)).isEmpty();
        m.holds("c", 2_000, 2_000);
        Optional<VolumeConfig> outOfTheSet = m.propose(peers);
        m.changed();
        Optional<VolumeConfig> outOfTheBlock = m.propose(peers);
        m.changed();

        assertThat(outOfTheSet).hasValueSatisfying(c -> {
            assertThat(c.inSync()).containsExactly(member("a"), member("c"));
            assertThat(c.address("b")).isPresent();
        });
        assertThat(outOfTheBlock).hasValueSatisfying(c -> {
            assertThat(c.address("b")).isEmpty();
            assertThat(c.absent()).isEmpty();
        });
        assertThat(m.propose(peers)).as("it streams still, and stays away").isEmpty();
    }

    @Test
    void aReplicaThatIsTakenAwayDoesNotJoinAndOneThatIsGivenBackDoes() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        served(m, "a");
        m.remove("b");
        VolumeConfig without = m.propose(peers).orElseThrow();
        m.changed();
        streaming("b");
        received(m, "b", FLOOR);

        assertThat(without.address("b")).isEmpty();
        assertThat(m.propose(peers)).isEmpty();
        m.add(new Address("b", "h:1", "h:2"));
        assertThat(m.propose(peers)).hasValueSatisfying(c -> {
            assertThat(c.address("b")).isPresent();
            assertThat(c.member("b")).isEmpty();
        });
        m.changed();
        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.member("b")).isPresent());
    }

    @Test
    void theLastReplicaThatTheCopiesNeedIsNotTakenAway() {
        Membership m = membership(AckLevel.RECEIVED, 5, "a");
        served(m, "a");

        m.remove("b");

        assertThat(m.propose(peers)).isEmpty();
    }

    // ---- joining

    @Test
    void aPeerIsRequiredFromBeforeItsChangeIsSentUntilTheOutcomeIsKnown() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        served(m, "a");
        streaming("b");
        received(m, "b", 500);

        assertThat(m.propose(peers)).as("required, not sent").isEmpty();
        assertThat(m.inFlight()).isEmpty();
        received(m, "a", 2_000);
        assertThat(m.committed()).as("already required").isEqualTo(FLOOR);
        received(m, "b", FLOOR);
        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.inSync()).containsExactly(member("a"), member("b")));
        assertThat(m.committed()).as("answer lost").isEqualTo(FLOOR);
        received(m, "b", 1_500);
        assertThat(m.committed()).isEqualTo(1_500);
        m.changed();
        received(m, "a", 3_000);
        assertThat(m.committed()).isEqualTo(1_500);
    }

    @Test
    void theChangeIsSentWhenThePeerHoldsAllThatWasAcknowledgedWithoutIt() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        served(m, "a");
        received(m, "a", 3_000);
        streaming("b");
        received(m, "b", 2_999);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "b", 3_000);

        assertThat(m.propose(peers)).isPresent();
    }

    @Test
    void whatWasFlushedWithoutThePeerIsDurableThereBeforeItJoins() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        m.holds("a", 3_000, 3_000);
        streaming("b");
        m.holds("b", 3_000, 2_000);

        assertThat(m.propose(peers)).isEmpty();
        m.holds("b", 3_000, 3_000);

        assertThat(m.propose(peers)).isPresent();
    }

    @Test
    void aPeerThatIsFarBehindIsNotRequired() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        received(m, "a", 10 * Membership.JOIN_LAG_BYTES);
        streaming("b");
        received(m, "b", 500);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 11 * Membership.JOIN_LAG_BYTES);

        assertThat(m.committed()).isEqualTo(11 * Membership.JOIN_LAG_BYTES);
    }

    @Test
    void aJoiningPeerThatLeavesBeforeTheChangeIsSentIsNotRequiredAnyMore() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        served(m, "a");
        streaming("b");
        received(m, "b", 500);
        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 2_000);
        assertThat(m.committed()).isEqualTo(FLOOR);

        gone("b");
        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 2_000);

        assertThat(m.committed()).isEqualTo(2_000);
    }

    @Test
    void aJoiningPeerThatComesBackWithOtherMemoryStartsOver() {
        Membership m = membership(AckLevel.RECEIVED, 0, "a");
        served(m, "a");
        streaming("b");
        received(m, "b", 500);
        assertThat(m.propose(peers)).isEmpty();

        peers.put("b", new Membership.Peer(true, false, "boot 2"));
        received(m, "b", FLOOR);

        assertThat(m.propose(peers)).isEmpty();
        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.inSync()).contains(new Member("b", "boot 2")));
    }

    @Test
    void aMemberThatLostItsMemoryIsTakenInAgainUnderItsNewIncarnation() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        served(m, "a", "b");
        peers.put("b", new Membership.Peer(true, false, "boot 2"));
        received(m, "b", 500);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "b", FLOOR);

        assertThat(m.propose(peers))
                .hasValueSatisfying(
                        c -> assertThat(c.inSync()).containsExactly(member("a"), new Member("b", "boot 2")));
    }

    @Test
    void aWriterThatLostItsMemoryIsAMemberAgainWhenItsTermIsOpen() {
        Member again = new Member("a", "boot 2");
        Membership m = new Membership(config(AckLevel.RECEIVED, 0, 1, "ab"), again, 0, FLOOR, LINEAGE);
        streaming("b");
        received(m, "a", FLOOR);
        received(m, "b", 500);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "b", FLOOR);

        assertThat(m.propose(peers))
                .hasValueSatisfying(c -> assertThat(c.inSync()).containsExactlyInAnyOrder(again, member("b")));
    }

    @Test
    void atLocalNobodyJoins() {
        Membership m = membership(AckLevel.LOCAL, 0, "a");
        served(m, "a");
        streaming("b");
        received(m, "b", FLOOR);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 2_000);
        assertThat(m.committed()).isEqualTo(2_000);
    }

    @Test
    void theNewTermIsWrittenIntoTheLineage() {
        Lineage longer = LINEAGE.plus(new TermStart(6, "a", 512));
        Membership m = new Membership(config(AckLevel.RECEIVED, 0, 1, "ab"), member("a"), 0, FLOOR, longer);
        streaming("b");

        Optional<VolumeConfig> change = m.propose(peers);

        assertThat(change).hasValueSatisfying(c -> {
            assertThat(c.lineage()).isEqualTo(longer);
            assertThat(c.inSync()).containsExactly(member("a"), member("b"));
        });
        m.changed();
        assertThat(m.propose(peers)).isEmpty();
    }

    @Test
    void anOutcomeWithoutAChangeIsOurOwnBug() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");

        assertThatThrownBy(m::changed).isInstanceOf(IllegalStateException.class);
    }

    // ---- what an acknowledgement asks for

    @Test
    void moreCopiesAreNeededAtOnceAndWrittenDownWhenAllThatWasAcknowledgedHasThem() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        served(m, "a", "b", "c");
        received(m, "a", 3_000);
        received(m, "b", 3_000);

        m.asks(new VolumeConfig.Acks(AckLevel.RECEIVED, 3, 2));

        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 4_000);
        received(m, "b", 4_000);
        assertThat(m.committed()).isEqualTo(3_000);
        received(m, "c", 2_999);
        assertThat(m.propose(peers)).isEmpty();
        received(m, "c", 3_000);
        assertThat(m.propose(peers).orElseThrow().acks()).isEqualTo(new VolumeConfig.Acks(AckLevel.RECEIVED, 3, 2));
    }

    @Test
    void fewerCopiesAreEnoughOnlyWhenTheBlockSaysSo() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        served(m, "a", "b");
        m.asks(new VolumeConfig.Acks(AckLevel.RECEIVED, 1, 1));

        assertThat(m.propose(peers)).isPresent();
        received(m, "a", 2_000);
        assertThat(m.committed()).isEqualTo(FLOOR);
        m.changed();

        assertThat(m.committed()).isEqualTo(2_000);
    }

    @Test
    void atDurableWhatWasAcknowledgedBeforeIsSyncedFirst() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        served(m, "a", "b");
        m.holds("a", 3_000, 3_000);
        m.holds("b", 3_000, 2_000);
        m.asks(new VolumeConfig.Acks(AckLevel.DURABLE, 0, 1));

        assertThat(m.propose(peers)).isEmpty();
        assertThat(m.needsDurable()).isTrue();
        m.holds("a", 4_000, 4_000);
        m.holds("b", 4_000, 2_999);
        assertThat(m.committed()).isEqualTo(3_000);
        assertThat(m.propose(peers)).isEmpty();
        m.holds("b", 4_000, 3_000);

        assertThat(m.propose(peers).orElseThrow().ackLevel()).isEqualTo(AckLevel.DURABLE);
        m.changed();
        m.holds("b", 4_000, 3_500);
        assertThat(m.committed()).isEqualTo(3_500);
    }

    @Test
    void atLocalOnlyTheWriterIsLeftInTheSet() {
        Membership m = membership(AckLevel.RECEIVED, 0, "ab");
        served(m, "a", "b");
        m.asks(new VolumeConfig.Acks(AckLevel.LOCAL, 0, 1));

        VolumeConfig next = m.propose(peers).orElseThrow();

        assertThat(next.inSync()).extracting(Member::agent).containsExactly("a");
        assertThat(next.absent()).extracting(Left::agent).containsExactly("b");
    }

    @Test
    void aMemberThatDiesIsRemovedBeforeMoreIsAskedForAndNobodyWaitsForIt() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        served(m, "a", "b", "c");
        received(m, "a", 3_000);
        received(m, "b", 3_000);
        m.asks(new VolumeConfig.Acks(AckLevel.RECEIVED, 3, 1));
        assertThat(m.propose(peers)).isEmpty();

        gone("c");

        VolumeConfig without = m.propose(peers).orElseThrow();
        assertThat(without.inSync()).extracting(Member::agent).containsExactly("a", "b");
        assertThat(without.copies()).isEqualTo(2);
        m.changed();
        assertThat(m.propose(peers).orElseThrow().copies()).isEqualTo(3);
    }

    @Test
    void whatIsThoughtBetterOfBeforeItWasSentBindsNobody() {
        Membership m = membership(AckLevel.RECEIVED, 2, "abc");
        served(m, "a", "b", "c");
        received(m, "a", 3_000);
        received(m, "b", 3_000);
        m.asks(new VolumeConfig.Acks(AckLevel.RECEIVED, 3, 1));
        assertThat(m.propose(peers)).isEmpty();

        m.asks(null);

        assertThat(m.propose(peers)).isEmpty();
        received(m, "a", 4_000);
        received(m, "b", 4_000);
        assertThat(m.committed()).isEqualTo(4_000);
    }

    // ---- the rule itself

    static Stream<Integer> runs() {
        return LongStream.range(0, 400).mapToObj(n -> (int) n);
    }

    /**
     * Any set the lock manager may hold, elected at this instant, has everything acknowledged: among any n - q + 1 of its
     * members that can vouch there is one that holds it. The model: what every agent really holds and has synced, under
     * which boot id; power loss takes what was not synced; a connection that broke reports nothing; the lock manager
     * stores a change at any time after it was sent, and says so at any time after that. Level and copies change meanwhile.
     */
    @ParameterizedTest
    @MethodSource("runs")
    void whoeverIsElectedAtAnyInstantHasEverythingAcknowledged(int run) {
        long seed = Long.getLong("terminus.seed", run);
        new Model(seed).run(400);
    }

    private static final class Model {

        private static final List<String> AGENTS = List.of("a", "b", "c", "d");

        private static final class Agent {
            long held;
            long durable;
            int boot;
            boolean connected;
            boolean gone;

            String bootId() {
                return "boot " + boot;
            }
        }

        private final long seed;
        private final Random random;
        private final Map<String, Agent> agents = new HashMap<>();
        private final List<String> story = new ArrayList<>();
        private final Membership membership;
        private final VolumeConfig first;
        private VolumeConfig stored;
        private @Nullable VolumeConfig inFlight;
        private long acknowledged;
        private long flushed;

        Model(long seed) {
            this.seed = seed;
            this.random = new Random(seed);
            AckLevel level = random.nextInt(3) == 0 ? AckLevel.DURABLE : AckLevel.RECEIVED;
            int copies = random.nextInt(4);
            String members = "abcd".substring(0, 1 + random.nextInt(4));
            first = config(level, copies, 1, members);
            stored = first;
            long floor = 100;
            acknowledged = random.nextInt(80);
            flushed = level == AckLevel.DURABLE ? acknowledged : random.nextInt((int) acknowledged + 1);
            // The elected tail is the writer's; q members held what earlier terms acknowledged.
            int holders = stored.copiesNeeded() - 1;
            for (String name : AGENTS) {
                Agent agent = new Agent();
                agent.boot = 1;
                if (name.equals("a")) {
                    agent.held = floor;
                    agent.durable = Math.max(flushed, random.nextInt((int) floor + 1));
                } else if (stored.member(name).isPresent() && holders-- > 0) {
                    agent.held = acknowledged + random.nextInt((int) (80 - acknowledged) + 1);
                    agent.durable = flushed + random.nextInt((int) (agent.held - flushed) + 1);
                } else {
                    agent.held = random.nextInt(80);
                    agent.durable = random.nextInt((int) agent.held + 1);
                }
                agents.put(name, agent);
            }
            long known = random.nextInt((int) acknowledged + 1);
            membership = new Membership(stored, member("a"), known, floor, LINEAGE);
            tell("start " + stored.inSync() + " q=" + stored.copiesNeeded() + " " + level + " acked " + acknowledged
                    + " flushed " + flushed);
        }

        void run(int steps) {
            try {
                check();
                for (int i = 0; i < steps; i++) {
                    step();
                    acknowledge();
                    check();
                }
            } catch (RuntimeException | AssertionError e) {
                throw new AssertionError(
                        "seed " + seed + ": " + e.getMessage() + "\n  "
                                + String.join("\n  ", story.subList(Math.max(0, story.size() - 25), story.size())),
                        e);
            }
        }

        private void step() {
            Agent writer = agent("a");
            String name = AGENTS.get(1 + random.nextInt(3));
            Agent peer = agent(name);
            switch (random.nextInt(14)) {
                case 0, 1 -> {
                    writer.held += 1 + random.nextInt(20);
                    report("a");
                }
                case 2 -> {
                    writer.durable += random.nextLong(writer.held - writer.durable + 1);
                    report("a");
                }
                case 3, 4, 5 -> {
                    if (peer.connected) {
                        peer.held += random.nextBoolean()
                                ? writer.held - peer.held
                                : random.nextLong(writer.held - peer.held + 1);
                        report(name);
                    }
                }
                case 6 -> {
                    peer.durable += random.nextLong(peer.held - peer.durable + 1);
                    if (peer.connected) {
                        report(name);
                    }
                }
                case 7 -> {
                    if (!peer.connected) {
                        peer.connected = true;
                        peer.gone = false;
                        tell(name + " connects under " + peer.bootId());
                        report(name);
                    }
                }
                case 8 -> {
                    peer.connected = false;
                    peer.gone = random.nextBoolean();
                    tell(name + " disconnects" + (peer.gone ? " and is gone" : ""));
                }
                case 9 -> {
                    if (random.nextInt(3) == 0) {
                        peer.held = peer.durable;
                        peer.boot++;
                        peer.connected = false;
                        tell(name + " loses power, has " + peer.held);
                    }
                }
                case 10 -> {
                    if (random.nextInt(4) == 0) {
                        membership.remove(name);
                        tell(name + " is taken away");
                    } else if (random.nextInt(2) == 0) {
                        membership.add(new Address(name, "h:1", "h:2"));
                        tell(name + " is given back");
                    }
                }
                case 11 -> {
                    if (random.nextInt(3) == 0) {
                        AckLevel level = AckLevel.values()[random.nextInt(AckLevel.values().length)];
                        VolumeConfig.Acks acks =
                                new VolumeConfig.Acks(level, level == AckLevel.LOCAL ? 0 : random.nextInt(4), 1);
                        membership.asks(random.nextInt(4) == 0 ? null : acks);
                        tell("to become " + acks);
                    }
                }
                case 12 ->
                    membership.propose(peers()).ifPresent(change -> {
                        inFlight = change;
                        tell("sent " + change.inSync());
                    });
                default -> {
                    VolumeConfig change = inFlight;
                    if (change != null && random.nextBoolean()) {
                        if (!stored.equals(change)) {
                            stored = change;
                            tell("stored");
                        } else {
                            inFlight = null;
                            membership.changed();
                            tell("outcome known");
                        }
                    }
                }
            }
        }

        private void report(String name) {
            Agent agent = agent(name);
            membership.holds(name, agent.held, agent.durable);
            tell(name + " holds " + agent.held + ", durable " + agent.durable);
        }

        private void acknowledge() {
            if (membership.open()) {
                acknowledged = Math.max(acknowledged, membership.committed());
            }
            if (membership.open() && membership.durablyCommitted() >= 100) {
                flushed = Math.max(flushed, membership.durablyCommitted());
            }
        }

        private void check() {
            check(stored);
            if (inFlight != null) {
                check(inFlight);
            }
        }

        private void check(VolumeConfig set) {
            int spare = set.inSync().size() - set.copiesNeeded();
            List<Member> lacking = set.inSync().stream()
                    .filter(m -> vouches(set, m) && has(set, m) < acknowledged)
                    .toList();
            assertThat(lacking.size())
                    .as("%s may elect themselves in %s without %d", lacking, set.inSync(), acknowledged)
                    .isLessThanOrEqualTo(spare);
            List<Member> notSynced = set.inSync().stream()
                    .filter(m -> agent(m.agent()).durable < flushed)
                    .toList();
            assertThat(notSynced.size())
                    .as("%s of %s have not synced what was flushed, %d", notSynced, set.inSync(), flushed)
                    .isLessThanOrEqualTo(spare);
        }

        private boolean vouches(VolumeConfig set, Member m) {
            return set.ackLevel() == AckLevel.DURABLE
                    || m.incarnation().equals(agent(m.agent()).bootId());
        }

        private long has(VolumeConfig set, Member m) {
            Agent agent = agent(m.agent());
            return set.ackLevel() == AckLevel.DURABLE ? agent.durable : agent.held;
        }

        private Map<String, Membership.Peer> peers() {
            Map<String, Membership.Peer> peers = new HashMap<>();
            for (String name : AGENTS.subList(1, 4)) {
                Agent agent = agent(name);
                peers.put(name, new Membership.Peer(agent.connected, agent.gone, agent.bootId()));
            }
            return peers;
        }

        private Agent agent(String name) {
            return agents.computeIfAbsent(name, n -> {
                throw new IllegalStateException("no agent " + n);
            });
        }

        private void tell(String what) {
            story.add(what + "   | acked " + acknowledged + ", flushed " + flushed);
        }
    }

    // ---- givens

    private Membership membership(AckLevel level, int copies, String members) {
        return new Membership(config(level, copies, 1, members), member("a"), 0, FLOOR, LINEAGE);
    }

    private void served(Membership m, String... members) {
        for (String name : members) {
            if (!name.equals("a")) {
                streaming(name);
            }
            received(m, name, FLOOR);
        }
    }

    private void streaming(String... names) {
        for (String name : names) {
            peers.put(name, new Membership.Peer(true, false, "boot 1"));
        }
    }

    private void gone(String name) {
        peers.put(name, new Membership.Peer(false, true, "boot 1"));
    }

    private static void received(Membership m, String agent, long position) {
        m.holds(agent, position, position);
    }

    private static Member member(String agent) {
        return new Member(agent, "boot 1");
    }

    private static VolumeConfig config(AckLevel level, int copies, int minCopies, String members) {
        return new VolumeConfig(
                new UUID(1, 2),
                "v",
                1 << 20,
                1 << 20,
                5,
                "a",
                Arrays.stream(members.split("")).map(MembershipTest::member).toList(),
                List.of(),
                level,
                copies,
                minCopies,
                LINEAGE,
                Failover.AUTOMATIC,
                Arrays.stream("abcde".split(""))
                        .map(m -> new Address(m, "h:1", "h:2"))
                        .toList(),
                VolumeConfig.Fork.NONE);
    }
}
