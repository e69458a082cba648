package io.terminus.agent.volume;

import io.terminus.agent.journal.Lineage;
import org.jspecify.annotations.Nullable;

/**
 * A replica as checkers see it, between two steps. Changes nothing.
 *
 * @param safe the superblock says that everything before it was safe in the journal
 */
public record VolumeSight(
        Role role,
        String detail,
        boolean serving,
        boolean believes,
        long term,
        Lineage lineage,
        long oldest,
        long end,
        long durable,
        long committed,
        long applied,
        long checkpoint,
        long safe,
        long fenceTerm,
        long configVersion,
        String failed,
        String incarnation,
        boolean memoryLost,
        boolean damaged,
        boolean rebuilding) {

    public static VolumeSight of(Volume v) {
        Replica r = v.replica();
        Superblock s = r.superblock();
        Writer w = v.writer();
        Volume.Status status = v.status();
        return new VolumeSight(
                status.role(),
                status.detail(),
                w != null && w.serving(),
                w != null && w.believes(),
                w == null ? 0 : w.term(),
                r.journal().lineage(),
                r.journal().oldest(),
                r.journal().end(),
                r.journal().durable(),
                r.committed(),
                r.applied(),
                r.checkpoint(),
                s.checkpoint().committed(),
                s.fence().term(),
                v.configVersion(),
                s.life().failed(),
                s.life().incarnation(),
                s.life().memoryLost(),
                s.life().damaged(),
                r.rebuilding());
    }

    /** The term that this replica writes, from the instant at which its record stands in the journal; 0: none. */
    public static long openedTerm(Volume v) {
        Writer w = v.writer();
        return w != null && v.replica().journal().lineage().lastTerm() == w.term() ? w.term() : 0;
    }

    /** What is certain to be left when the power goes. */
    public VolumeSight afterLossOfPower(long onDisk) {
        return new VolumeSight(
                role,
                detail,
                false,
                false,
                0,
                lineage,
                oldest,
                Math.min(end, onDisk),
                Math.min(end, onDisk),
                committed,
                Math.min(applied, checkpoint),
                checkpoint,
                safe,
                fenceTerm,
                configVersion,
                failed,
                incarnation,
                memoryLost,
                damaged,
                rebuilding);
    }

    /** The block as the lock manager has it; null if it is none. */
    public static @Nullable VolumeConfig config(byte[] value) {
        try {
            return VolumeConfig.decode(value);
        } catch (VolumeConfig.UnreadableConfigException e) {
            return null;
        }
    }
}
