package io.terminus.agent.peer;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.proto.agent.v1.Hello;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.UUID;

/** Between the protocol's messages and the values of {@code volume}. */
final class Messages {

    private Messages() {}

    static Hello hello(Greeting g) {
        return Hello.newBuilder()
                .setVolumeUuid(g.volume().toString())
                .setTerm(g.term())
                .setToken(g.token())
                .setWriter(g.writer())
                .setSizeBytes(g.sizeBytes())
                .setSegmentBytes(g.segmentBytes())
                .addAllLineage(lineage(g.lineage()))
                .setOldest(g.oldest())
                .setEnd(g.end())
                .setConfigVersion(g.configVersion())
                .setConfig(ByteString.copyFrom(g.config()))
                .build();
    }

    static Greeting greeting(ByteBuffer body) throws RefusedException {
        try {
            Hello h = Hello.parseFrom(body);
            return new Greeting(
                    UUID.fromString(h.getVolumeUuid()),
                    h.getTerm(),
                    h.getToken(),
                    h.getWriter(),
                    h.getSizeBytes(),
                    h.getSegmentBytes(),
                    lineage(h.getLineageList()),
                    h.getOldest(),
                    h.getEnd(),
                    h.getConfigVersion(),
                    h.getConfig().toByteArray());
        } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
            throw new RefusedException(Why.BAD_MESSAGE, "not a greeting: " + e.getMessage());
        }
    }

    static List<io.terminus.proto.agent.v1.TermStart> lineage(Lineage lineage) {
        return lineage.starts().stream()
                .map(t -> io.terminus.proto.agent.v1.TermStart.newBuilder()
                        .setTerm(t.term())
                        .setOrigin(t.origin())
                        .setFirstPosition(t.firstPosition())
                        .build())
                .toList();
    }

    /** Throws {@link IllegalArgumentException} if it is none. */
    static Lineage lineage(List<io.terminus.proto.agent.v1.TermStart> starts) {
        return new Lineage(starts.stream()
                .map(t -> new TermStart(t.getTerm(), t.getOrigin(), t.getFirstPosition()))
                .toList());
    }
}
