package io.terminus.agent.app;

import io.terminus.agent.nbd.Exports.Upstream;
import io.terminus.agent.peer.Addresses;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.Volumes;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Where volumes are served that are not served here: who writes stands in the volume's value block, where its gRPC is too, and the writer says
 * where its NBD is. While the lock manager does not answer, what the replica here knows counts.
 */
final class Writers {

    private static final Duration ASK = Duration.ofSeconds(2);

    private final Volumes volumes;
    private final Function<String, VolumeAuthority> authority;
    private final GrpcPeerNetwork network;
    private final NbdKeys keys;

    Writers(Volumes volumes, Function<String, VolumeAuthority> authority, GrpcPeerNetwork network, NbdKeys keys) {
        this.volumes = volumes;
        this.authority = authority;
        this.network = network;
        this.keys = keys;
    }

    /** As the replica here knows it, and nothing where there is none: asks nobody. */
    String known(String name) {
        Volume volume = volumes.byName(name);
        return volume == null
                ? ""
                : volume.config().writer() + " in term " + volume.config().term();
    }

    /**
     * Whether there is such a volume; waits for the lock manager.
     *
     * @throws IOException if it does not say
     */
    boolean exists(String name) throws IOException {
        return config(name) != null;
    }

    Upstream locate(String name) throws IOException {
        VolumeConfig config;
        try {
            config = config(name);
        } catch (IOException e) {
            Volume volume = volumes.byName(name);
            if (volume == null) {
                throw e;
            }
            config = volume.config();
        }
        if (config == null) {
            throw new IOException("there is no volume " + name);
        }
        String writer = config.writer();
        if (writer.equals(volumes.agent())) {
            throw new IOException("this agent is its writer, and not ready yet");
        }
        Address address = config.replicas().stream()
                .filter(replica -> replica.agent().equals(writer))
                .findFirst()
                .orElseThrow(() -> new IOException("its writer " + writer + " has no address"));
        String endpoint = await(network.nbdEndpoint(address, ASK), "agent " + writer);
        InetSocketAddress at = nbdAddress(writer, endpoint);
        return new Upstream(at, keys.towards(writer, at));
    }

    private static InetSocketAddress nbdAddress(String writer, String endpoint) throws IOException {
        try {
            return Addresses.parse(endpoint);
        } catch (IOException e) {
            throw new IOException("agent " + writer + " does not say where it serves NBD: " + e.getMessage(), e);
        }
    }

    private @Nullable VolumeConfig config(String name) throws IOException {
        return await(authority.apply(name).read(), "the lock manager").config();
    }

    private static <T> T await(CompletableFuture<T> future, String who) throws IOException {
        try {
            return future.get(ASK.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            Throwable why = e.getCause() == null ? e : e.getCause();
            throw new IOException(who + " does not say: " + why.getMessage(), e);
        } catch (TimeoutException e) {
            throw new IOException(who + " does not answer", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }
}
