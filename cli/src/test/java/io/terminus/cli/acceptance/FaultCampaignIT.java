package io.terminus.cli.acceptance;

import io.terminus.proto.agent.v1.AckLevel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
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
                FaultySet set = FaultySet.start(folder, network, false, SIZE_BYTES, AckLevel.RECEIVED);
                FaultCampaign campaign = new FaultCampaign(set, folder, SIZE_BYTES, seed)) {
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
        try (FaultySet set = FaultySet.start(folder, network, smallDisks, SIZE_BYTES, level);
                FaultCampaign campaign = new FaultCampaign(set, folder, SIZE_BYTES, seed)) {
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
