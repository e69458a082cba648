package io.terminus.lockmgr.agents;

import io.terminus.proto.agent.v1.VolumeStatus;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The last an agent said.
 *
 * @param failure why there is no answer now; null: {@code volumes} is what it says
 * @param volumes by uuid; empty with a failure, because what was true once misleads
 * @param atNanos when it came, on the clock of {@link System#nanoTime}
 */
record Answer(@Nullable String failure, Map<String, VolumeStatus> volumes, long atNanos) {

    static final Answer NONE_YET = new Answer("not asked yet", Map.of(), 0);

    @Nullable
    VolumeStatus of(String uuid) {
        return volumes.get(uuid);
    }
}
