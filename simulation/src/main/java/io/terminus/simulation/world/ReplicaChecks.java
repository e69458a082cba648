package io.terminus.simulation.world;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeSight;
import io.terminus.simulation.kernel.World;
import io.terminus.simulation.model.HandoverModel;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What must hold between any two steps:
 *
 * <ul>
 *   <li>never two writers serve and believe;
 *   <li>any set the lock manager may hold, elected now, has everything that is acknowledged: of its n members at most n - q
 *       lack any of it, on the disk where that was promised; and so with what was flushed, whatever was lost of memories;
 *   <li>an image never has more than is committed and durable in the replica's journal;
 *   <li>a replica never answers to an older term again, nor goes back to an older value block, and the lock manager's never
 *       goes back either;
 *   <li>what has failed stays failed, over restarts, until it is made anew;
 *   <li>the lock manager's value block takes only steps that {@link HandoverModel} takes, and a term is opened only when as
 *       many members of the set it began with are sealed as the model wants, and what those may have lost is told;
 *   <li>of what two replicas both know to be committed, the lineage is the same: no record of another history stands there;
 *   <li>a journal is never longer than its budget.
 * </ul>
 */
final class ReplicaChecks {

    /** What a world counts when an election says that something may be missing. */
    private static final String LOSS_TOLD = "losses told";

    private final World world;
    private final Oracle oracle;
    private final boolean memoryCounts;
    private final int copies;
    private final long budgetBytes;

    /** What was last seen of each, also of those that are down. */
    private final Map<String, VolumeSight> last = new HashMap<>();

    /** Up to where the journal that was last seen of each is on its disk: a restart forgets that, the disk does not. */
    private final Map<String, Long> onDisk = new HashMap<>();

    /** Whose word does not count: they lost their power, or something on their disk, since the in-sync set took them in. */
    private final Set<String> memoryLost = new HashSet<>();

    /** Whose disk is another one, and empty. */
    private final Set<String> diskLost = new HashSet<>();

    /** Whose disk has something else than was written. */
    private final Set<String> diskDamaged = new HashSet<>();

    private final Set<String> rotNoticed = new HashSet<>();

    private final Map<String, Long> fences = new HashMap<>();

    /** The highest term that each has ever answered to, on whatever disk. */
    private final Map<String, Long> answeredTo = new HashMap<>();

    /** The same of those who had their memory then. */
    private final Map<String, Long> vouchedIn = new HashMap<>();

    private final Map<String, Long> versions = new HashMap<>();
    private final Map<String, String> failed = new HashMap<>();
    private final Set<String> beingReplaced = new HashSet<>();
    private long managerVersion;
    private @Nullable VolumeConfig block;
    private long blockVersion;

    /** The set each term began with. */
    private final Map<Long, VolumeConfig> taken = new HashMap<>();

    /** The newest term that was seen to be opened. */
    private long openedTerm;

    private Promised acked = Promised.NOTHING;
    private Promised flushed = Promised.NOTHING;

    /** Something was promised or moved since the last look. */
    private boolean due;

    /** Something that was committed may be gone with the memory of q members: from then on histories may part. */
    private boolean mayPart;

    /** So many elections had told of a possible loss when the newest term was opened. */
    private long lossesTold;

    /** The journal of that history up to there. */
    record Promised(long end, Lineage in) {
        static final Promised NOTHING = new Promised(-1, Lineage.EMPTY);

        /** Which of two is later; of what is said late, who has written since had it. */
        Promised or(Promised other) {
            long term = in.lastTerm();
            long others = other.in.lastTerm();
            return others > term || others == term && other.end > end ? other : this;
        }
    }

    /**
     * @param memoryCounts an acknowledgement vouches for no disk
     * @param copies as the operator has asked for them, and not as the product reckons
     */
    ReplicaChecks(World world, Oracle oracle, boolean memoryCounts, int copies, long budgetBytes) {
        this.world = world;
        this.budgetBytes = budgetBytes;
        this.oracle = oracle;
        this.memoryCounts = memoryCounts;
        this.copies = copies;
    }

    /** What a writer has committed: it may be acknowledged at any moment, and is what a flush makes safe. */
    static Promised committed(VolumeSight writer) {
        return new Promised(writer.committed(), writer.lineage());
    }

    /** By a writer that looks so, just now. */
    void acknowledged(VolumeSight by) {
        Promised now = acked.or(committed(by));
        due |= !now.equals(acked);
        acked = now;
    }

    /** A flush is answered, before which that much was committed. */
    void flushed(Promised before) {
        Promised now = flushed.or(before);
        due |= !now.equals(flushed);
        flushed = now;
    }

    /** Whether a look is worth it now. */
    boolean due() {
        return due;
    }

    /** Copies that an acknowledgement needs in that set, by what the operator asked for. */
    private int needed(VolumeConfig config) {
        int n = config.inSync().size();
        return copies == 0 ? n : Math.min(copies, n);
    }

    /** An agent is about to die. What the lock manager had last counts, also while it is down itself. */
    void dies(String agent, @Nullable VolumeSight s, boolean power) {
        if (s != null) {
            sees(agent, s);
            answers(agent, s.fenceTerm());
            fences.merge(agent, s.fenceTerm(), Math::max);
        }
        VolumeSight was = last.get(agent);
        if (power && was != null) {
            last.put(agent, was.afterLossOfPower(onDisk.getOrDefault(agent, 0L)));
        }
        if (power && memoryCounts) {
            memoryLost.add(agent);
            VolumeConfig config = block;
            if (config != null && among(config, memoryLost) >= needed(config)) {
                world.say("world", "with the memory of " + memoryLost + " what was not flushed may be gone");
                world.count("losses of the memory of q");
                oracle.memoryMayBeLost();
                mayPart = true;
                acked = flushed;
            }
        }
    }

    private static long among(VolumeConfig config, Set<String> agents) {
        return config.inSync().stream().filter(m -> agents.contains(m.agent())).count();
    }

    private void sees(String agent, VolumeSight s) {
        VolumeSight before = last.get(agent);
        long kept =
                before == null ? 0 : before.lineage().commonEnd(s.lineage(), onDisk.getOrDefault(agent, 0L), s.end());
        onDisk.put(agent, Math.max(kept, s.durable()));
        last.put(agent, s);
    }

    /** It counts what somebody had when it answered, not what it has lost since. */
    private void answers(String agent, long term) {
        if (term > answeredTo.getOrDefault(agent, 0L)) {
            answeredTo.put(agent, term);
            if (!memoryLost.contains(agent)) {
                vouchedIn.put(agent, term);
            }
        }
    }

    /** Its disk is another one, with nothing on it. */
    void diskLost(String agent) {
        replaced(agent, true);
        memoryLost.add(agent);
        diskLost.add(agent);
    }

    boolean isDiskLost(String agent) {
        return diskLost.contains(agent);
    }

    /** Something of what its disk had is not as it was, and it will say so. */
    void diskDamaged(String agent) {
        memoryLost.add(agent);
        diskDamaged.add(agent);
    }

    /** It is being thrown away. */
    void replacing(String agent) {
        beingReplaced.add(agent);
    }

    /** It stays, or an empty one is in its place. */
    void replaced(String agent, boolean done) {
        beingReplaced.remove(agent);
        if (!done) {
            return;
        }
        failed.remove(agent);
        fences.remove(agent);
        versions.remove(agent);
        last.remove(agent);
        onDisk.remove(agent);
    }

    /** The lock manager has another value block; told of each. */
    void moved(VolumeConfig to, long version) {
        VolumeConfig from = block;
        if (from != null
                && version == blockVersion + 1
                && !asModel(from, blockVersion).leadsTo(asModel(to, version))) {
            world.violation("the value block goes from version " + blockVersion + ", term " + from.term() + " of "
                    + from.writer() + " with " + from.inSync() + ", to term " + to.term() + " of " + to.writer()
                    + " with " + to.inSync() + ": no step that the model knows");
        }
        if (from == null || to.term() > from.term()) {
            taken.put(to.term(), to);
        }
        block = to;
        blockVersion = version;
        due = true;
    }

    private static HandoverModel.Block asModel(VolumeConfig config, long version) {
        return new HandoverModel.Block(
                version,
                config.term(),
                AgentsWorld.AGENTS.indexOf(config.writer()),
                config.inSync().stream()
                        .map(m -> AgentsWorld.AGENTS.indexOf(m.agent()))
                        .collect(Collectors.toSet()));
    }

    /** Is that the newest term that was seen to be opened? */
    boolean isNew(long term) {
        return term > openedTerm;
    }

    /** A term is opened: was it elected by enough of those who might have acknowledged something before? */
    void opened(String writer, long term) {
        openedTerm = Math.max(openedTerm, term);
        world.count("terms opened");
        VolumeConfig with = taken.get(term);
        if (with == null || term == 1) {
            return; // nothing was acknowledged before the first one
        }
        List<String> answered = with.inSync().stream()
                .map(VolumeConfig.Member::agent)
                .filter(a -> answeredTo.getOrDefault(a, 0L) >= term)
                .toList();
        int need = with.inSync().size() - needed(with) + 1;
        if (answered.size() < need) {
            world.violation(writer + " opens term " + term + ", for which only " + answered + " of " + with.inSync()
                    + " are sealed, and " + need + " must be");
        }
        long told = world.counted(LOSS_TOLD);
        long vouch = answered.stream()
                .filter(a -> vouchedIn.getOrDefault(a, 0L) >= term)
                .count();
        if (vouch < need && told == lossesTold) {
            world.violation(writer + " opens term " + term + ", for which " + answered + " answered, without the memory"
                    + " of " + memoryLost + ", and tells nobody what may be missing");
        }
        lossesTold = told;
    }

    /** @param volumes what there is of each agent that is up, as its own process sees it */
    void look(Map<String, VolumeSight> volumes, @Nullable VolumeConfig config, long version) {
        due = false;
        if (config != null) {
            if (version < managerVersion) {
                world.violation("the lock manager's value block went back from " + managerVersion + " to " + version);
            }
            managerVersion = Math.max(managerVersion, version);
        }
        String writer = null;
        for (Map.Entry<String, VolumeSight> e : volumes.entrySet()) {
            String agent = e.getKey();
            VolumeSight s = e.getValue();
            if (!beingReplaced.contains(agent)) {
                one(agent, s);
            }
            sees(agent, s);
            if (s.damaged() && diskDamaged.contains(agent) && rotNoticed.add(agent)) {
                world.count("rots noticed");
            }
            if (s.serving() && s.believes()) {
                if (writer != null) {
                    world.violation(writer + " and " + agent + " both serve and believe");
                }
                writer = agent;
            }
            if (config != null
                    && config.member(agent)
                            .map(m -> m.incarnation().equals(s.incarnation()))
                            .orElse(false)
                    && !s.memoryLost()
                    && !s.damaged()) {
                memoryLost.remove(agent);
                diskLost.remove(agent);
                diskDamaged.remove(agent);
            }
            answers(agent, s.fenceTerm());
        }
        if (!mayPart) {
            historiesAreOne(volumes.keySet());
        }
        VolumeConfig set = config == null ? block : config;
        if (set != null) {
            enoughHave(set, acked, memoryLost, !memoryCounts, "acknowledged");
            Set<String> another = new HashSet<>(diskLost);
            another.addAll(diskDamaged);
            enoughHave(set, flushed, another, true, "flushed");
        }
    }

    private void one(String agent, VolumeSight s) {
        long fence = fences.getOrDefault(agent, 0L);
        if (s.fenceTerm() < fence) {
            world.violation(agent + " answered to term " + fence + ", and now to " + s.fenceTerm());
        }
        fences.put(agent, Math.max(fence, s.fenceTerm()));
        long version = versions.getOrDefault(agent, 0L);
        if (s.configVersion() < version) {
            world.violation(
                    agent + " has seen version " + version + " of the value block, and now " + s.configVersion());
        }
        versions.put(agent, Math.max(version, s.configVersion()));
        String why = failed.get(agent);
        if (why != null && s.role() != Role.FAILED) {
            world.violation(agent + " had failed for good, " + why + ", and is " + s.role() + " now");
        }
        if (s.role() == Role.FAILED && !s.failed().isEmpty()) {
            failed.put(agent, s.failed());
        }
        if (s.role() != Role.FAILED && s.applied() > Math.max(s.checkpoint(), Math.min(s.committed(), s.durable()))) {
            world.violation(agent + " has applied up to " + s.applied() + ", beyond what is committed, " + s.committed()
                    + ", and durable, " + s.durable());
        }
        if (s.end() - s.oldest() > budgetBytes) {
            world.violation(agent + "'s journal reaches from " + s.oldest() + " to " + s.end() + ", more than the "
                    + budgetBytes + " bytes it may have");
        }
        if (s.durable() > s.end()) {
            world.violation(agent + " has durable " + s.durable() + " beyond its end " + s.end());
        }
    }

    private void historiesAreOne(Set<String> up) {
        for (String one : up) {
            for (String other : up) {
                VolumeSight a = last.get(one);
                VolumeSight b = last.get(other);
                if (one.compareTo(other) >= 0 || a == null || b == null || a.rebuilding() || b.rebuilding()) {
                    continue;
                }
                long both = Math.min(a.committed(), b.committed());
                long common = a.lineage().commonEnd(b.lineage(), a.end(), b.end());
                if (common < Math.min(both, Math.min(a.end(), b.end()))) {
                    world.violation(
                            one + " and " + other + " have parted at " + common + ", though both know everything"
                                    + " before " + both + " to be committed: " + a.lineage() + " and " + b.lineage());
                }
            }
        }
    }

    /**
     * Would an election of the set that the lock manager holds, or held when it went down, find now what is promised?
     *
     * @param without their word does not count in an election, whatever they have
     * @param onDisks only what is on a disk counts
     */
    private void enoughHave(VolumeConfig config, Promised promised, Set<String> without, boolean onDisks, String what) {
        if (promised.end < 0) {
            return;
        }
        int n = config.inSync().size();
        int q = needed(config);
        List<String> lack = config.inSync().stream()
                .map(VolumeConfig.Member::agent)
                .filter(a -> !without.contains(a) && !has(a, promised, onDisks))
                .toList();
        if (lack.size() > n - q) {
            world.violation("of the in-sync set " + config.inSync() + ", of which " + q + " acknowledge, " + lack
                    + " have not everything " + what + ", which ends at " + promised.end + " in term "
                    + promised.in.lastTerm() + ": "
                    + lack.stream().map(a -> a + " " + last.get(a)).toList());
        }
    }

    private boolean has(String agent, Promised promised, boolean onDisks) {
        VolumeSight s = last.get(agent);
        if (s == null) {
            return false;
        }
        long end = onDisks ? Math.min(s.end(), onDisk.getOrDefault(agent, 0L)) : s.end();
        long image = onDisks ? s.checkpoint() : s.applied();
        return s.lineage().commonEnd(promised.in, end, promised.end) >= promised.end || image >= promised.end;
    }

    /**
     * With so many members of the set failed, damaged, on another disk, or without their memory no election may be won without an
     * operator who gives something up. Losses of memory alone are no excuse: when all answer, the election goes on without.
     */
    boolean mayBeStuck() {
        VolumeConfig config = block;
        if (config == null) {
            return false;
        }
        Set<String> silent = new HashSet<>(broken());
        silent.addAll(memoryLost);
        return among(config, broken()) > 0 && among(config, silent) >= needed(config);
    }

    private Set<String> broken() {
        Set<String> broken = new HashSet<>(failed.keySet());
        broken.addAll(diskLost);
        broken.addAll(diskDamaged);
        return broken;
    }

    /** In words of which there are few: they are counted. */
    String whyStuck() {
        VolumeConfig config = Objects.requireNonNull(block);
        return "of " + config.inSync().size() + " with " + needed(config) + " copies " + among(config, failed.keySet())
                + " failed and " + among(config, diskLost) + " on new disks and " + among(config, diskDamaged)
                + " damaged and " + among(config, memoryLost) + " not vouching";
    }
}
