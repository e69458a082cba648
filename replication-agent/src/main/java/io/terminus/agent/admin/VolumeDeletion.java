package io.terminus.agent.admin;

import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.Volumes;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Deletes a volume: the word in its value block first, and with that it is done; then the replicas. A deletion that dies
 * between has left replicas that the block calls deleted: each is deleted when its agent looks at the block, at its next
 * start at the latest.
 */
final class VolumeDeletion {

    private static final Logger LOG = LoggerFactory.getLogger(VolumeDeletion.class);
    private static final Duration BLOCK_TIMEOUT = Duration.ofSeconds(20);
    private static final Duration REPLICA_TIMEOUT = Duration.ofSeconds(10);

    private final Volumes volumes;
    private final GrpcPeerNetwork network;

    VolumeDeletion(Volumes volumes, GrpcPeerNetwork network) {
        this.volumes = volumes;
        this.network = network;
    }

    /** Returns the agents that were not reached. */
    List<String> delete(Volume volume, boolean force) throws RefusedException, IOException, InterruptedException {
        UUID uuid = volume.config().uuid();
        List<Address> others = volume.delete(force, BLOCK_TIMEOUT).stream()
                .filter(r -> !r.agent().equals(volumes.agent()))
                .toList();
        List<CompletableFuture<Void>> asked = others.stream()
                .map(r -> network.buryReplica(r, uuid, REPLICA_TIMEOUT))
                .toList();
        volumes.bury(uuid);
        List<String> unreached = new ArrayList<>();
        for (int i = 0; i < others.size(); i++) {
            try {
                asked.get(i).get(REPLICA_TIMEOUT.toSeconds() + 2, TimeUnit.SECONDS);
            } catch (ExecutionException | TimeoutException e) {
                LOG.info(
                        "volume {}: agent {} is to delete its replica later: {}",
                        uuid,
                        others.get(i).agent(),
                        e.getMessage());
                unreached.add(others.get(i).agent());
            }
        }
        return unreached;
    }
}
