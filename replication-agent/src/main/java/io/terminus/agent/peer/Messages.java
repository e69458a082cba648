package io.terminus.agent.peer;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.CopyItem;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RebuildPlan;
import io.terminus.agent.volume.Reception;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.Hello;
import io.terminus.proto.agent.v1.Needs;
import io.terminus.proto.agent.v1.Rebuild;
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

    static Needs needs(Reception.Needs n) {
        return Needs.newBuilder()
                .setWhy(n.why())
                .setCommon(n.common())
                .setCopy(n.copy())
                .setSince(n.since())
                .setFollows(n.follows())
                .build();
    }

    static Reception.Needs needs(ByteBuffer body) throws RefusedException {
        try {
            Needs n = Needs.parseFrom(body);
            return new Reception.Needs(n.getWhy(), n.getCommon(), n.getCopy(), n.getSince(), n.getFollows());
        } catch (InvalidProtocolBufferException e) {
            throw new RefusedException(Why.BAD_MESSAGE, "not a NEEDS: " + e.getMessage());
        }
    }

    static Rebuild rebuild(RebuildPlan plan) {
        return Rebuild.newBuilder()
                .setCopy(plan.copy())
                .setWhole(plan.whole())
                .setGoesOn(plan.goesOn())
                .setAt(plan.at())
                .addAllLineage(lineage(plan.lineage()))
                .build();
    }

    static RebuildPlan rebuild(ByteBuffer body) throws RefusedException {
        try {
            Rebuild r = Rebuild.parseFrom(body);
            if (r.getCopy().isEmpty() || r.getAt() < 0) {
                throw new RefusedException(
                        Why.BAD_MESSAGE, "a REBUILD named \"" + r.getCopy() + "\" at position " + r.getAt());
            }
            return new RebuildPlan(r.getCopy(), r.getWhole(), r.getGoesOn(), r.getAt(), lineage(r.getLineageList()));
        } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
            throw new RefusedException(Why.BAD_MESSAGE, "not a REBUILD: " + e.getMessage());
        }
    }

    /** A COPY's body; its bytes are copied, for the frame's are the connection's. */
    static CopyItem copy(ByteBuffer body) throws RefusedException {
        long sequence = body.getLong();
        long position = body.getLong();
        long offset = body.getLong();
        long length = body.getLong();
        body.getLong(); // committed: the caller's
        CopyItem.Kind kind = CopyItem.Kind.of(body.getInt());
        body.getInt();
        if (kind == null
                || length < 0
                || length > Volumes.MAX_SIZE_BYTES
                || body.remaining() != CopyItem.bytesOf(kind, length)) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a COPY of kind " + kind + " and length " + length + " with " + body.remaining() + " bytes");
        }
        ByteBuffer bytes = null;
        if (body.hasRemaining()) {
            bytes = ByteBuffer.allocate(body.remaining()).put(body).flip();
        }
        return new CopyItem(sequence, kind, position, offset, length, bytes);
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
