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

    /** Of a copy; they are UUIDs, and go into a superblock. */
    private static final int MAX_COPY_NAME_CHARS = 64;

    private static final int MAX_WORDS_CHARS = 1_000;

    static Hello hello(Greeting g, Abilities abilities) {
        return Hello.newBuilder()
                .setAbilities(abilities.toProto())
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

    static Hello hello(ByteBuffer body) throws RefusedException {
        try {
            return Hello.parseFrom(body);
        } catch (InvalidProtocolBufferException e) {
            throw new RefusedException(Why.BAD_MESSAGE, "not a greeting: " + e.getMessage());
        }
    }

    static Greeting greeting(Hello h) throws RefusedException {
        Positions.require("the end of the writer's journal", h.getEnd());
        Positions.require("the begin of the writer's journal", h.getOldest(), 0, h.getEnd(), "there it ends");
        try {
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
        } catch (IllegalArgumentException e) {
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
            if (r.getCopy().isEmpty() || r.getCopy().length() > MAX_COPY_NAME_CHARS) {
                throw new RefusedException(
                        Why.BAD_MESSAGE,
                        "a REBUILD with a name of " + r.getCopy().length() + " characters; 1 to " + MAX_COPY_NAME_CHARS
                                + " are allowed");
            }
            Positions.require("the position of a REBUILD", r.getAt());
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
        boolean lengthFits = switch (kind) {
            case DATA, DIGESTS -> length >= 1 && length <= CopyItem.MAX_DATA_BYTES;
            case ZEROES -> length >= 1 && length <= Volumes.MAX_SIZE_BYTES;
            case HORIZON, END, HOLD -> length == 0;
            case RELEASE -> length >= 0 && length <= Volumes.MAX_SIZE_BYTES;
            case null -> false;
        };
        if (kind == null || !lengthFits || body.remaining() != CopyItem.bytesOf(kind, length)) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    "a COPY of kind " + kind + " and length " + length + " with " + body.remaining() + " bytes");
        }
        ByteBuffer bytes = null;
        if (body.hasRemaining()) {
            bytes = ByteBuffer.allocate(body.remaining()).put(body).flip();
        }
        Positions.require("the position of a COPY", position);
        return new CopyItem(sequence, kind, position, offset, length, bytes);
    }

    /** What the other side says in words, for a log: as much as a person reads. */
    static String words(String said) {
        return said.length() <= MAX_WORDS_CHARS ? said : said.substring(0, MAX_WORDS_CHARS) + " ...";
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
