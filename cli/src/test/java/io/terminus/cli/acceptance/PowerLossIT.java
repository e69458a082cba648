package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.cli.acceptance.FaultCampaign.Fault;
import io.terminus.proto.agent.v1.AckLevel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** All machines lose their power at once, and with it what their disks had not flushed; scripts/campaign --power does it for longer. */
@ExtendWith(TellsTime.class)
class PowerLossIT {

    private static final long SIZE_BYTES = 16 << 20;
    private static final long SEED = 20_261_129;

    @Test
    void whatWasFlushedAndAllThatADurableVolumeAcknowledgedOutlivesTheLossOfAllPower() throws IOException {
        List<FaultySet.Volume> volumes = List.of(
                new FaultySet.Volume("received", SIZE_BYTES, AckLevel.RECEIVED, 1),
                new FaultySet.Volume("durable", SIZE_BYTES, AckLevel.DURABLE, 1));
        Path folder = Files.createTempDirectory(
                Files.createDirectories(LiveSet.module().resolve("target/acceptance")), "power");
        FaultCampaign.Plan plan =
                new FaultCampaign.Plan(Set.of(Fault.POWER_LOSS_EVERYWHERE), 1, Optional.empty(), false);
        PowerDisks.needs();
        try (Network network = Namespaces.make(folder);
                FaultySet set = FaultySet.start(
                        folder,
                        network,
                        new PowerDisks(folder, FaultySet.diskMebibytes(volumes), 0, SEED),
                        Clocks.ordinary(),
                        volumes);
                FaultCampaign campaign = new FaultCampaign(set, folder, SEED, plan, List.of(), Set.of())) {

            campaign.cycle();

            assertThat(campaign.audits()).isOne();
        }
    }
}
