package io.terminus.cli;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** The parts of the product that a profile tells apart, and what belongs to each. */
enum ProfileArea {
    CAPTURE("capture and copying", "io.terminus.Capture"),
    CHECKSUM("checksum", null),
    SOCKET("socket send and receive", null),
    FORWARD("forward to peers", "io.terminus.Forward"),
    ACK("ack from peers", "io.terminus.Ack"),
    SYNC("fdatasync", "io.terminus.Sync"),
    APPLY("apply", "io.terminus.Apply"),
    COPY("copies to replicas", "io.terminus.Copy"),
    CONFLICT("conflict checks", "terminus.lock.Acquire"),
    RELEASE("lock release", null),
    WAIT("lock waits", "terminus.lock.Wait"),
    RECALL("lock recalls", "terminus.lock.Recall"),
    ELECTION("elections", "io.terminus.Election"),
    GC("garbage collection", "jdk.GarbageCollection"),
    OTHER("other", null);

    /** The beginning of a class's name and, if it matters, of a method's. */
    private record Rule(String type, String method, ProfileArea area) {
        boolean matches(String frameType, String frameMethod) {
            return frameType.startsWith(type) && frameMethod.startsWith(method);
        }
    }

    /** For each frame, from the leaf on, the first that matches; frames that none matches count for their caller. */
    private static final List<Rule> RULES = List.of(
            new Rule("java.util.zip.CRC32C", "", CHECKSUM),
            new Rule("io.terminus.agent.journal.RecordCodec", "payloadChecksum", CHECKSUM),
            new Rule("io.terminus.agent.volume.BlockDigests", "", CHECKSUM),
            new Rule("sun.nio.ch.FileDispatcher", "force", SYNC),
            new Rule("sun.nio.ch.UnixFileDispatcher", "force", SYNC),
            new Rule("sun.nio.ch.FileChannelImpl", "force", SYNC),
            new Rule("io.terminus.agent.image.NativeFile", "fdatasync", SYNC),
            new Rule("io.terminus.agent.journal.Segment", "force", SYNC),
            new Rule("io.terminus.agent.journal.Segment", "send", FORWARD),
            new Rule("sun.nio.ch.SocketDispatcher", "", SOCKET),
            new Rule("sun.nio.ch.SocketChannelImpl", "", SOCKET),
            new Rule("sun.nio.ch.UnixDomainSockets", "", SOCKET),
            new Rule("sun.nio.ch.Net", "", SOCKET),
            new Rule("sun.nio.ch.EPoll", "", SOCKET),
            new Rule("sun.nio.ch.SelectorImpl", "", SOCKET),
            new Rule("io.terminus.agent.net.", "send", SOCKET),
            new Rule("io.netty.channel.", "", SOCKET),
            new Rule("io.terminus.ranges.", "remove", RELEASE),
            new Rule("io.terminus.lockmgr.lock.", "release", RELEASE),
            new Rule("io.terminus.lockmgr.lock.", "remove", RELEASE),
            new Rule("io.terminus.ranges.", "", CONFLICT),
            new Rule("io.terminus.agent.volume.Overlay", "", CONFLICT),
            new Rule("io.terminus.lockmgr.lock.", "", CONFLICT),
            new Rule("io.terminus.agent.volume.Copier", "", COPY),
            new Rule("io.terminus.agent.volume.PeerMarks", "", COPY),
            new Rule("io.terminus.agent.volume.DirtyMarks", "", COPY),
            new Rule("io.terminus.agent.volume.Replica", "apply", APPLY),
            new Rule("io.terminus.agent.volume.Replica", "writeCopies", COPY),
            new Rule("io.terminus.agent.journal.Journal", "landing", CAPTURE),
            new Rule("io.terminus.agent.journal.Journal", "publish", CAPTURE),
            new Rule("io.terminus.agent.journal.Journal", "write", CAPTURE),
            new Rule("io.terminus.agent.journal.Journal", "zeroes", CAPTURE),
            new Rule("io.terminus.agent.volume.VolumeClient", "capture", CAPTURE),
            new Rule("io.terminus.agent.peer.FrameHandler", "takeApart", CAPTURE),
            new Rule("io.terminus.agent.peer.PeerStream", "pump", FORWARD),
            new Rule("io.terminus.agent.volume.Writer", "forward", FORWARD),
            new Rule("io.terminus.agent.volume.VolumeClient", "complete", ACK),
            new Rule("io.terminus.agent.volume.Writer", "advance", ACK),
            new Rule("io.terminus.agent.volume.PeerCursor", "progressed", ACK),
            new Rule("io.terminus.agent.peer.PeerServer", "acknowledge", ACK),
            new Rule("io.terminus.agent.volume.ElectionRun", "", ELECTION));

    private final String title;
    private final @Nullable String event;

    ProfileArea(String title, @Nullable String event) {
        this.title = title;
        this.event = event;
    }

    String title() {
        return title;
    }

    /** The area that an event of a recording times, null if none does. */
    static @Nullable ProfileArea timedBy(String event) {
        for (ProfileArea area : values()) {
            if (event.equals(area.event)) {
                return area;
            }
        }
        return null;
    }

    /** Of a frame; null: it counts for its caller. */
    static @Nullable ProfileArea of(String type, String method) {
        for (Rule rule : RULES) {
            if (rule.matches(type, method)) {
                return rule.area();
            }
        }
        return null;
    }
}
