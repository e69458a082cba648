package io.terminus.cli.acceptance;

import io.terminus.proto.agent.v1.AckLevel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A short campaign in every build, the same every time; as long as is wanted, and another one, with
 * {@code -Dterminus.campaign.cycles=N -Dterminus.campaign.seed=S}, see CONTRIBUTING.md. {@code fresh} is a seed that nobody had before.
 */
@ExtendWith(TellsTime.class)
class FaultCampaignIT {

    private static final long SIZE_BYTES = 24 << 20;
    /** No more than the journal keeps. */
    private static final int HOT_WRITES_AT_A_TIME = 2_000;

    private static final int SEED_IN_EVERY_BUILD = 20_261_129;
    private static final Duration IN_EVERY_BUILD = Duration.ofSeconds(15);

    @Test
    void nothingAcknowledgedIsLostWhateverBecomesOfProcessesDisksAndNetworks() throws IOException {
        Path folder = folder();
        try (Network network = Namespaces.make(folder)) {
            run(folder, network, true);
        }
    }

    @Test
    void nothingAcknowledgedIsLostWhateverBecomesOfBytesOnTheWire() throws IOException {
        try (Network network = new Proxies(seed())) {
            run(folder(), network, false);
        }
    }

    @Test
    void theReplicaGetsWhatWasCapturedHoweverSlowlyItReadsWhileHotBlocksAreOverwritten() throws IOException {
        long seed = seed();
        Path folder = folder();
        long writes = Long.getLong("terminus.campaign.hot-writes", 4_000);
        try (Network network = new Proxies(seed);
                FaultySet set = FaultySet.start(
                        folder, network, Disks.ordinary(), Clocks.ordinary(), volumes(AckLevel.RECEIVED));
                FaultCampaign campaign = campaign(set, folder, seed)) {
            for (long done = 0; done < writes; done += HOT_WRITES_AT_A_TIME) {
                campaign.overwriteHotBlocks((int) Math.min(HOT_WRITES_AT_A_TIME, writes - done));
            }
            System.out.println(campaign.summary());
        }
    }

    private static void run(Path folder, Network network, boolean smallDisks) throws IOException {
        long seed = seed();
        AckLevel level = seed % 3 == 0 ? AckLevel.DURABLE : AckLevel.RECEIVED;
        System.out.println(
                "A campaign of faults with -Dterminus.campaign.seed=" + seed + ", level " + level + ", in " + folder);
        List<FaultySet.Volume> volumes = volumes(level);
        Disks disks = smallDisks ? new MemoryDisks(folder, FaultySet.diskMebibytes(volumes)) : Disks.ordinary();
        try (FaultySet set = FaultySet.start(folder, network, disks, Clocks.ordinary(), volumes);
                FaultCampaign campaign = campaign(set, folder, seed)) {
            long cycles = Long.getLong("terminus.campaign.cycles", 0);
            long endNanos = System.nanoTime() + IN_EVERY_BUILD.toNanos();
            for (long i = 0; cycles > 0 ? i < cycles : System.nanoTime() < endNanos; i++) {
                campaign.cycle();
                if (i % 10 == 9) {
                    System.out.println(campaign.summary());
                }
            }
            System.out.println(campaign.summary());
        }
    }

    private static List<FaultySet.Volume> volumes(AckLevel level) {
        return List.of(new FaultySet.Volume("demo", SIZE_BYTES, level, 1));
    }

    private static FaultCampaign campaign(FaultySet set, Path folder, long seed) {
        return new FaultCampaign(set, folder, seed, FaultCampaign.Plan.ofEveryBuild(), List.of(), Set.of());
    }

    private static Path folder() throws IOException {
        return Files.createTempDirectory(
                Files.createDirectories(LiveSet.module().resolve("target/acceptance")), "campaign");
    }

    private static long seed() {
        return "fresh".equals(System.getProperty("terminus.campaign.seed"))
                ? new SecureRandom().nextInt(1 << 30)
                : Long.getLong("terminus.campaign.seed", SEED_IN_EVERY_BUILD);
    }
}
