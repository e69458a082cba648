package io.terminus.agent.app;

import io.terminus.agent.volume.Role;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;

/**
 * Whether this agent can do its work for all its volumes, and if not, why, volume by volume: the lock manager is not known
 * to be there, or a replica has failed or cannot be opened. Being a replica, out of sync, or in an election is work.
 */
final class ReplicasHealth implements HealthIndicator {

    private final Volumes volumes;
    private final BooleanSupplier lockManagerReachable;
    private final String lockManager;

    ReplicasHealth(Volumes volumes, BooleanSupplier lockManagerReachable, String lockManager) {
        this.volumes = volumes;
        this.lockManagerReachable = lockManagerReachable;
        this.lockManager = lockManager;
    }

    @Override
    public Health health() {
        boolean known = lockManagerReachable.getAsBoolean();
        boolean ready = known;
        Map<String, Object> shown = new TreeMap<>();
        for (Volume volume : volumes.all()) {
            Volume.Status status = volume.status();
            Map<String, Object> one = new LinkedHashMap<>();
            boolean failed = status.role() == Role.FAILED;
            ready &= !failed;
            one.put("ready", known && !failed);
            one.put("role", status.role().name());
            one.put("detail", status.detail());
            if (failed) {
                one.put("why", "the replica has failed: " + status.detail());
            } else if (!known) {
                one.put("why", "the lock manager is unknown: no session with " + lockManager);
            }
            shown.put(volume.name(), one);
        }
        for (String name : volumes.notOpened()) {
            String why = volumes.whyNotOpened(name);
            if (why != null) {
                ready = false;
                shown.put(name, Map.of("ready", false, "why", "the replica cannot be opened: " + why));
            }
        }
        return (ready ? Health.up() : Health.outOfService())
                .withDetail("lockManager", known ? "attached" : "no session with " + lockManager)
                .withDetail("volumes", shown)
                .build();
    }
}
