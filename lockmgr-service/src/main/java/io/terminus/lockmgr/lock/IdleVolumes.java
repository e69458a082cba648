package io.terminus.lockmgr.lock;

import java.util.ArrayDeque;

/**
 * Volumes that nobody uses, so that one that was locked once does not take memory for ever. One with a value block or a lock
 * delay is remembered; of any other nothing is left that anybody could ask for once nobody holds or waits for anything
 * there: tokens rise over all volumes and starts, whichever there are. It goes {@value #KEPT_SECONDS} s after the last
 * claim, lest a volume that is locked now and then be made anew each time, and comes again, with another uuid, with its next
 * use.
 */
final class IdleVolumes {

    private static final int KEPT_SECONDS = 60;
    private static final long KEPT_NANOS = KEPT_SECONDS * 1_000_000_000L;

    /** Looked at in one tick; the rest in the next ones. */
    private static final int MOST_LOOKS = 256;

    private final Turn turn;
    private final Registry registry;
    /** In no order; some may be in use again. */
    private final ArrayDeque<Volume> listed = new ArrayDeque<>();

    IdleVolumes(Turn turn, Registry registry) {
        this.turn = turn;
        this.registry = registry;
    }

    /** A claim or a setting of the volume is gone. */
    void left(Volume volume) {
        if (volume.held() + volume.waiting() > 0) {
            return;
        }
        volume.idleSinceNanos = turn.now;
        if (!volume.listedAsIdle) {
            volume.listedAsIdle = true;
            listed.add(volume);
        }
    }

    /** In a recovery somebody may still assert a lock, on the volume as it was. */
    void sweep() {
        if (turn.recovering) {
            return;
        }
        for (int looks = Math.min(MOST_LOOKS, listed.size()); looks > 0; looks--) {
            Volume volume = listed.remove();
            if (inUse(volume)) {
                volume.listedAsIdle = false;
            } else if (turn.now - volume.idleSinceNanos < KEPT_NANOS) {
                listed.add(volume);
            } else {
                registry.removeVolume(volume.name);
                turn.change(new Change.VolumeGone(volume.name));
            }
        }
    }

    private boolean inUse(Volume volume) {
        return volume.held() + volume.waiting() > 0 || volume.valueVersion > 0 || volume.lockDelayNanos > 0;
    }
}
