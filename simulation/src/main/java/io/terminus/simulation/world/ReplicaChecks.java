package io.terminus.simulation.world;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeSight;
import io.terminus.simulation.kernel.World;
import io.terminus.simulation.model.HandoverModel;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What must hold between any two steps:
 *
 * <ul>
 *   <li>never two writers serve and believe;
 *   <li>any set the lock manager may hold, elected now, has everything that is acknowledged: of its n members at most n - q
 *       lack any of it;
 *   <li>an image never has more than is committed and durable in the replica's journal;
 *   <li>a replica never answers to an older term again, nor goes back to an older value block, and the lock manager's never
 *       goes back either;
 *   <li>what has failed stays failed, over restarts, until it is made anew;
 *   <li>the lock manager's value block takes only steps that {@link HandoverModel} takes, and a term is served only when as
 *       many members of the set it began with are sealed as the model wants;
 *   <li>of what two replicas both know to be committed, the lineage is the same: no record of another history stands there;
 *   <li>a journal is never longer than its budget.
 * </ul>
 */
final class ReplicaChecks {

    private final World world;
    private final Oracle oracle;
    private final boolean memoryCounts;
    private final long budgetBytes;

    /** What was last seen of each, also of those that are down. */
    private final Map<String, VolumeSight> last = new HashMap<>();

    /** Whose word does not count: they lost their power, or something on their disk, since the in-sync set took them in. */
    private final Set<String> memoryLost = new HashSet<>();

    /** Whose disk is another one, and empty. */
    private final Set<String> diskLost = new HashSet<>();

    private final Map<String, Long> fences = new HashMap<>();
    private final Map<String, Long> versions = new HashMap<>();
    private final Map<String, String> failed = new HashMap<>();
    private final Set<String> beingReplaced = new HashSet<>();
    private long managerVersion;
    private @Nullable VolumeConfig block;
    private long blockVersion;

    /** The set each term began with. */
    private final Map<Long, VolumeConfig> taken = new HashMap<>();

    /** The newest term that was seen to be served. */
    private long servedTerm;

    private long ackedEnd = -1;
    private Lineage ackedIn = Lineage.EMPTY;

    /** Something that was committed may be gone with the memory of q members: from then on histories may part. */
    private boolean mayPart;

    ReplicaChecks(World world, Oracle oracle, boolean memoryCounts, long budgetBytes) {
        this.world = world;
        this.budgetBytes = budgetBytes;
        this.oracle = oracle;
        this.memoryCounts = memoryCounts;
    }

    /** By that writer, just now. What it has committed counts as well: it may be acknowledged at any moment. */
    void acknowledged(Volume by) {
        VolumeSight s = VolumeSight.of(by);
        if (s.lineage().lastTerm() < ackedIn.lastTerm()) {
            return; // said late; who has written since had it
        }
        if (s.committed() > ackedEnd || s.lineage().lastTerm() > ackedIn.lastTerm()) {
            ackedEnd = s.committed();
            ackedIn = s.lineage();
        }
    }

    /** An agent is about to die. */
    void dies(String agent, @Nullable Volume volume, boolean power, @Nullable VolumeConfig config) {
        if (volume != null) {
            VolumeSight s = world.as(world.host(agent), () -> VolumeSight.of(volume));
            last.put(agent, s);
            fences.merge(agent, s.fenceTerm(), Math::max);
        }
        if (power && memoryCounts) {
            memoryLost.add(agent);
            if (config == null
                    || config.inSync().stream()
                                    .filter(m -> memoryLost.contains(m.agent()))
                                    .count()
                            >= config.copiesNeeded()) {
                world.say("world", "with the memory of " + memoryLost + " what was not flushed may be gone");
                oracle.memoryMayBeLost();
                mayPart = true;
                ackedEnd = -1;
                ackedIn = Lineage.EMPTY;
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

    /** A term is served: was it elected by enough of those who might have acknowledged something before? */
    private void served(String writer, long term) {
        VolumeConfig with = taken.get(term);
        servedTerm = Math.max(servedTerm, term);
        if (with == null || term == 1) {
            return; // nothing was acknowledged before the first one
        }
        long sealed = with.inSync().stream()
                .filter(m -> diskLost.contains(m.agent()) || fences.getOrDefault(m.agent(), 0L) >= term)
                .count();
        int need = with.inSync().size() - with.copiesNeeded() + 1;
        if (sealed < need) {
            world.violation(writer + " serves term " + term + ", for which " + sealed + " of " + with.inSync()
                    + " are sealed, and not " + need);
        }
    }

    void look(Map<String, Volume> volumes, @Nullable VolumeConfig config, long version) {
        if (config != null) {
            if (version < managerVersion) {
                world.violation("the lock manager's value block went back from " + managerVersion + " to " + version);
            }
            managerVersion = Math.max(managerVersion, version);
        }
        String writer = null;
        Map<String, Long> serves = new HashMap<>();
        for (Map.Entry<String, Volume> e : volumes.entrySet()) {
            String agent = e.getKey();
            VolumeSight s = world.as(world.host(agent), () -> VolumeSight.of(e.getValue()));
            if (!beingReplaced.contains(agent)) {
                one(agent, s);
            }
            last.put(agent, s);
            if (s.serving() && s.term() > servedTerm) {
                serves.put(agent, s.term());
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
            }
        }
        serves.forEach(this::served);
        if (!mayPart) {
            historiesAreOne(volumes.keySet());
        }
        if (config != null && ackedEnd >= 0) {
            enoughHave(config);
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

    /** Would an election of the set that the lock manager holds now find what is acknowledged? */
    private void enoughHave(VolumeConfig config) {
        int n = config.inSync().size();
        int q = config.copiesNeeded();
        int lack = 0;
        StringBuilder who = new StringBuilder();
        for (VolumeConfig.Member m : config.inSync()) {
            if (memoryLost.contains(m.agent())) {
                continue; // it does not count in an election, whatever it has
            }
            VolumeSight s = last.get(m.agent());
            if (s == null || !has(s)) {
                lack++;
                who.append(' ')
                        .append(m.agent())
                        .append(s == null ? "" : " up to " + s.lineage().commonEnd(ackedIn, s.end(), ackedEnd));
            }
        }
        if (lack > n - q) {
            world.violation("of the in-sync set " + config.inSync() + ", of which " + q + " acknowledge, " + lack
                    + " have not everything acknowledged, which ends at " + ackedEnd + " in term " + ackedIn.lastTerm()
                    + ":" + who);
        }
    }

    private boolean has(VolumeSight s) {
        return s.lineage().commonEnd(ackedIn, s.end(), ackedEnd) >= ackedEnd || s.applied() >= ackedEnd;
    }

    /**
     * So many members of the set have failed, or lost what they had not synced, that no election may be won without an
     * operator who gives something up. What a loss of power took below a committed position counts as damage.
     */
    boolean mayBeStuck(@Nullable VolumeConfig config) {
        if (config == null) {
            return false;
        }
        long gone = config.inSync().stream()
                .filter(m -> failed.containsKey(m.agent()) || memoryLost.contains(m.agent()))
                .count();
        return gone > 0 && gone >= config.copiesNeeded();
    }
}
