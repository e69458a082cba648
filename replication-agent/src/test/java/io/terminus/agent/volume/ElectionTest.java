package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.Election.Answer;
import io.terminus.agent.volume.Election.Verdict.Elected;
import io.terminus.agent.volume.Election.Verdict.Waiting;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Left;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ElectionTest {

    private static final Lineage TERM_5 = new Lineage(List.of(new TermStart(5, "a", 0)));
    private static final Lineage TERM_6 = TERM_5.plus(new TermStart(6, "b", 128));
    private static final Lineage TERM_7 = TERM_5.plus(new TermStart(7, "c", 256));

    @ParameterizedTest(name = "{0} members, {1} copies: {2} answers are needed")
    @CsvSource({"1,0,1", "2,0,1", "3,0,1", "3,1,3", "3,2,2", "3,3,1", "5,3,3", "5,2,4", "2,5,1"})
    void asManyAnswersAreNeededThatOneOfThemAcknowledged(int members, int copies, int needed) {
        VolumeConfig config = config(
                AckLevel.RECEIVED, copies, List.of("a", "b", "c", "d", "e").subList(0, members));
        List<Answer> all = config.inSync().stream()
                .map(m -> answer(m.agent(), TERM_5, 128))
                .toList();

        for (int given = 1; given <= members; given++) {
            Election.Verdict verdict = Election.judge(config, all.subList(0, given), false);

            if (given < needed) {
                assertThat(verdict).isInstanceOfSatisfying(Waiting.class, w -> {
                    assertThat(w.need()).isEqualTo(needed);
                    assertThat(w.awaited()).hasSize(members - w.have());
                });
            } else {
                assertThat(verdict).isInstanceOf(Elected.class);
            }
        }
    }

    @Test
    void aDamagedJournalVouchesForNothingAtAnyLevel() {
        for (AckLevel level : new AckLevel[] {AckLevel.RECEIVED, AckLevel.DURABLE}) {
            VolumeConfig config = config(level, 0, List.of("a", "b"));
            Answer damaged = new Answer("a", TERM_5, 0, 512, 512, 0, 0, false, true);

            Election.Verdict alone = Election.judge(config, List.of(damaged), false);
            Election.Verdict both = Election.judge(config, List.of(damaged, answer("b", TERM_5, 1024)), false);

            assertThat(alone).isEqualTo(new Waiting(0, 1, List.of("a", "b")));
            assertThat(best(both)).isEqualTo("b");
        }
    }

    @Test
    void theOnlyCopyWithADamagedJournalIsNotServedWithoutTheOperatorsWord() {
        VolumeConfig config = config(AckLevel.RECEIVED, 0, List.of("a"));
        List<Answer> damaged = List.of(new Answer("a", TERM_5, 0, 512, 512, 0, 0, false, true));

        assertThat(Election.judge(config, damaged, false)).isInstanceOf(Waiting.class);
        assertThat(Election.judge(config, damaged, true)).isInstanceOf(Elected.class);
    }

    @Test
    void whoIsAwaitedIsNamed() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));

        Election.Verdict verdict = Election.judge(config, List.of(answer("c", TERM_5, 128)), false);

        assertThat(verdict).isEqualTo(new Waiting(1, 2, List.of("a", "b")));
    }

    @Test
    void theNewestTermBeatsTheLongestTail() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));

        Election.Verdict verdict =
                Election.judge(config, List.of(answer("a", TERM_5, 9_984), answer("b", TERM_6, 384)), false);

        assertThat(best(verdict)).isEqualTo("b");
    }

    @Test
    void inOneTermTheLongestTailWins() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));

        Election.Verdict verdict = Election.judge(
                config, List.of(answer("a", TERM_7, 384), answer("b", TERM_6, 9_984), answer("c", TERM_7, 512)), false);

        assertThat(best(verdict)).isEqualTo("c");
    }

    @Test
    void theHighestCommittedPositionOfAnyAnswerCounts() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));
        Answer knowsMore = new Answer("b", TERM_5, 0, 512, 512, 384, 0, false, false);

        Election.Verdict verdict = Election.judge(config, List.of(answer("a", TERM_5, 640), knowsMore), false);

        assertThat(verdict)
                .isInstanceOfSatisfying(
                        Elected.class, e -> assertThat(e.committed()).isEqualTo(384));
    }

    @Test
    void aMemberThatLostItsMemoryDoesNotVouchForWhatItReceived() {
        VolumeConfig config = config(AckLevel.RECEIVED, 0, List.of("a", "b"));

        Election.Verdict verdict = Election.judge(config, List.of(lost("b", TERM_5, 128)), false);

        assertThat(verdict).isEqualTo(new Waiting(0, 1, List.of("a", "b")));
    }

    @Test
    void itsTailCountsAmongTheOthers() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));

        Election.Verdict verdict = Election.judge(
                config, List.of(lost("a", TERM_5, 512), answer("b", TERM_5, 256), answer("c", TERM_5, 128)), false);

        assertThat(verdict).isInstanceOfSatisfying(Elected.class, e -> {
            assertThat(e.best().agent()).isEqualTo("a");
            assertThat(e.loss()).isNull();
        });
    }

    @Test
    void whenAllAnsweredAndTooFewVouchThePossibleLossIsReported() {
        VolumeConfig config = config(AckLevel.RECEIVED, 0, List.of("a", "b"));

        Election.Verdict verdict =
                Election.judge(config, List.of(lost("a", TERM_5, 128), lost("b", TERM_5, 256)), false);

        assertThat(verdict).isInstanceOfSatisfying(Elected.class, e -> {
            assertThat(e.best().agent()).isEqualTo("b");
            assertThat(e.loss()).contains("2 lost memory").contains("never flushed");
        });
    }

    @Test
    void whatIsDurableOutlivesMemory() {
        VolumeConfig config = config(AckLevel.DURABLE, 0, List.of("a", "b"));

        Election.Verdict verdict = Election.judge(config, List.of(lost("b", TERM_5, 128)), false);

        assertThat(verdict)
                .isInstanceOfSatisfying(Elected.class, e -> assertThat(e.loss()).isNull());
    }

    @Test
    void whoIsNoMemberDoesNotCountHoweverLongItsTail() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b", "c"));

        Election.Verdict waiting = Election.judge(
                config,
                List.of(answer("c", TERM_5, 128), answer("d", TERM_7, 9_984), answer("e", TERM_7, 9_984)),
                false);
        Election.Verdict elected = Election.judge(
                config, List.of(answer("b", TERM_5, 256), answer("c", TERM_5, 128), answer("d", TERM_7, 9_984)), false);

        assertThat(waiting).isEqualTo(new Waiting(1, 2, List.of("a", "b")));
        assertThat(best(elected)).isEqualTo("b");
    }

    @Test
    void acceptedDataLossNamesWhoDidNotAnswerAndWhatMayBeMissing() {
        VolumeConfig config = config(AckLevel.RECEIVED, 2, List.of("a", "b")).without("b", 384);
        Answer left = answer("b", TERM_5, 512);

        Election.Verdict verdict = Election.judge(config, List.of(left), true);

        assertThat(verdict).isInstanceOfSatisfying(Elected.class, e -> {
            assertThat(e.best()).isEqualTo(left);
            assertThat(e.loss()).contains("without an answer from a", "after position 512 of term 5", "b left", "384");
        });
    }

    @Test
    void acceptedDataLossChangesNothingWhereTheAnswersSuffice() {
        VolumeConfig config = config(AckLevel.RECEIVED, 0, List.of("a", "b"));

        Election.Verdict verdict =
                Election.judge(config, List.of(answer("b", TERM_5, 128), answer("d", TERM_7, 512)), true);

        assertThat(best(verdict)).isEqualTo("b");
        assertThat(verdict)
                .isInstanceOfSatisfying(Elected.class, e -> assertThat(e.loss()).isNull());
    }

    @Test
    void withoutAnyAnswerNothingIsElected() {
        VolumeConfig config = config(AckLevel.RECEIVED, 0, List.of("a", "b"));

        Election.Verdict verdict = Election.judge(config, List.of(), true);

        assertThat(verdict).isEqualTo(new Waiting(0, 1, List.of("a", "b")));
    }

    private static String best(Election.Verdict verdict) {
        return ((Elected) verdict).best().agent();
    }

    private static Answer answer(String agent, Lineage lineage, long end) {
        return new Answer(agent, lineage, 0, end, end, 0, 0, false, false);
    }

    private static Answer lost(String agent, Lineage lineage, long end) {
        return new Answer(agent, lineage, 0, end, end, 0, 0, true, false);
    }

    private static VolumeConfig config(AckLevel level, int copies, List<String> members) {
        return new VolumeConfig(
                new UUID(1, 2),
                "v",
                1 << 20,
                1 << 20,
                5,
                "a",
                members.stream().map(m -> new Member(m, "boot")).toList(),
                List.<Left>of(),
                level,
                copies,
                1,
                TERM_5,
                Failover.AUTOMATIC,
                Arrays.stream("abcde".split(""))
                        .map(m -> new Address(m, "h:1", "h:2"))
                        .toList(),
                VolumeConfig.Fork.NONE);
    }
}
