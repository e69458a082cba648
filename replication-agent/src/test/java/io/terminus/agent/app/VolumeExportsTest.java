package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.nbd.Exports.Lookup;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.Volumes;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an agent without a replica says of the names that clients ask for. */
class VolumeExportsTest {

    @TempDir
    private Path temp;

    private final List<String> asked = new ArrayList<>();
    private CompletableFuture<VolumeAuthority.Block> block = new CompletableFuture<>();
    private Volumes volumes;
    private VolumeExports exports;

    @BeforeEach
    void anAgentWithoutReplicas() throws IOException {
        GrpcPeerNetwork network = new GrpcPeerNetwork("c");
        Duration second = Duration.ofSeconds(1);
        volumes = new Volumes(
                temp,
                new Volume.Settings("c", "boot", 16L << 20, second, second, second, TestHooks.NONE),
                this::authority,
                network);
        exports = new VolumeExports(volumes, new Writers(volumes, this::authority, network, NbdKeys.load(null, null)));
    }

    @AfterEach
    void stop() {
        volumes.close();
    }

    @Test
    void whatCannotBeAVolumesNameIsUnknownAndNobodyIsAsked() {
        for (String name : List.of("../v", "\u0432\u043e\u043b", "v w", "-v", "x".repeat(129), "../v@replica")) {
            assertThat(exports.find(name)).as(name).isInstanceOf(Lookup.Unknown.class);
        }

        assertThat(asked).isEmpty();
    }

    @Test
    void aVolumeThatTheLockManagerDoesNotKnowIsUnknown() {
        block = CompletableFuture.completedFuture(new VolumeAuthority.Block(0, null));

        assertThat(exports.find("v")).isInstanceOf(Lookup.Unknown.class);

        assertThat(asked).containsExactly("v");
    }

    @Test
    void whileTheLockManagerDoesNotSayNothingIsClaimedOfAVolume() {
        block = CompletableFuture.failedFuture(new IOException("connection refused"));

        Lookup found = exports.find("v");

        assertThat(found)
                .isEqualTo(new Lookup.Unavailable("whether there is a volume v is not known at this agent now:"
                        + " the lock manager does not say: connection refused"));
    }

    private VolumeAuthority authority(String name) {
        return new VolumeAuthority() {
            @Override
            public CompletableFuture<Block> read() {
                asked.add(name);
                return block;
            }

            @Override
            public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
                throw new IllegalStateException("without a replica nobody asks for a lock");
            }

            @Override
            public CompletableFuture<String> revokeHolder() {
                throw new IllegalStateException("without a replica nobody takes a lock away");
            }
        };
    }
}
