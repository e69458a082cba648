package io.terminus.agent.admin;

import io.terminus.agent.volume.Durations;
import io.terminus.agent.volume.VolumeMeasures;
import io.terminus.proto.agent.v1.ClientRequests;
import java.util.Arrays;

/** What a volume's clients asked for, as the control service tells it. */
final class ClientRequestCounts {

    private static final Iterable<Long> BOUNDS =
            Arrays.stream(Durations.boundsNanos()).boxed().toList();

    private ClientRequestCounts() {}

    static ClientRequests of(VolumeMeasures measures) {
        return ClientRequests.newBuilder()
                .addAllBoundsNanos(BOUNDS)
                .addAllWrites(counts(measures.write()))
                .addAllDurableWrites(counts(measures.durableWrite()))
                .addAllReads(counts(measures.read()))
                .setWrittenBytes(measures.writtenBytes())
                .setReadBytes(measures.readBytes())
                .build();
    }

    private static Iterable<Long> counts(Durations durations) {
        return Arrays.stream(durations.counts()).boxed().toList();
    }
}
