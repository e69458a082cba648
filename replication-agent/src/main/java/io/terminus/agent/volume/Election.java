package io.terminus.agent.volume;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What a candidate may conclude from the answers to its seals. Pure.
 *
 * <p>A write was acknowledged by q of the n members; so any n - q + 1 of them include one that has it, and none of them
 * can acknowledge anything for an older term after it was sealed. Among the answers, the tail with the highest (last
 * term, end) has everything acknowledged; not the longest: a longer tail of an older term may hold only records that
 * nobody ever acknowledged.
 */
public final class Election {

    private Election() {}

    /**
     * A sealed member's answer.
     *
     * @param oldest the oldest journal position it can still supply
     * @param received end of its journal
     * @param committed the highest position it knows to be committed
     * @param damaged synced journal bytes of it were found damaged: it cannot vouch for anything
     * @param memoryLost it lost unsynced memory since it entered the in-sync set: it cannot vouch for what it received
     */
    public record Answer(
            String agent,
            Lineage lineage,
            long oldest,
            long received,
            long durable,
            long committed,
            long applied,
            boolean memoryLost,
            boolean damaged) {}

    sealed interface Verdict {
        /** Not enough answers yet; these members have not answered, or cannot vouch for what they held. */
        record Waiting(int have, int need, List<String> awaited) implements Verdict {}

        /**
         * @param best whose tail is taken
         * @param committed the highest position any answer knows to be committed
         * @param loss what may be missing, if the rule could not be kept
         */
        record Elected(
                Answer best, long committed, @Nullable String loss) implements Verdict {}
    }

    /** @param acceptDataLoss the operator's word that missing answers are to be done without */
    static Verdict judge(VolumeConfig config, Collection<Answer> answers, boolean acceptDataLoss) {
        int n = config.inSync().size();
        int need = n - config.copiesNeeded() + 1;
        List<Answer> members = answers.stream()
                .filter(a -> config.member(a.agent()).isPresent())
                .toList();
        List<Answer> vouching = members.stream()
                .filter(a -> !a.damaged() && (!a.memoryLost() || config.ackLevel() == AckLevel.DURABLE))
                .toList();
        if (vouching.size() >= need) {
            return elected(members, null);
        }
        if (members.size() == n && members.stream().noneMatch(Answer::damaged)) {
            return elected(
                    members,
                    "all " + n + " members answered, but " + (n - vouching.size())
                            + " lost memory: writes that were acknowledged and never flushed may be missing");
        }
        List<String> awaited = new ArrayList<>();
        for (Member m : config.inSync()) {
            if (vouching.stream().noneMatch(a -> a.agent().equals(m.agent()))) {
                awaited.add(m.agent());
            }
        }
        if (acceptDataLoss && !answers.isEmpty()) {
            Optional<String> end = config.absent().stream()
                    .filter(l -> answers.stream().anyMatch(a -> a.agent().equals(l.agent())))
                    .map(l -> ", " + l.agent() + " left the in-sync set at position " + l.position())
                    .findFirst();
            Verdict.Elected forced = elected(answers, null);
            return new Verdict.Elected(
                    forced.best(),
                    forced.committed(),
                    "without an answer from " + String.join(", ", awaited) + " everything after position "
                            + forced.best().received() + " of term "
                            + forced.best().lineage().lastTerm() + " may be missing" + end.orElse(""));
        }
        return new Verdict.Waiting(vouching.size(), need, awaited);
    }

    private static Verdict.Elected elected(Collection<Answer> answers, @Nullable String loss) {
        Answer best = answers.stream()
                .max(Comparator.comparingLong((Answer a) -> a.lineage().lastTerm())
                        .thenComparingLong(Answer::received))
                .orElseThrow();
        long committed = answers.stream().mapToLong(Answer::committed).max().orElse(0);
        return new Verdict.Elected(best, committed, loss);
    }
}
