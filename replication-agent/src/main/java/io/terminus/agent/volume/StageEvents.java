package io.terminus.agent.volume;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Threshold;
import jdk.jfr.Timespan;

/**
 * What a flight recording can show of the data path, stage by stage. All are off unless a recording asks for them, for
 * example with {@code -XX:StartFlightRecording:io.terminus.Sync#enabled=true,io.terminus.Sync#threshold=10ms}; while off
 * they cost a test each.
 */
final class StageEvents {

    private StageEvents() {}

    /** One of each, never begun: to ask it whether its kind is recorded costs no allocation. */
    private static final Capture CAPTURE = new Capture();

    private static final Forward FORWARD = new Forward();
    private static final Ack ACK = new Ack();

    static boolean capturesRecorded() {
        return CAPTURE.isEnabled();
    }

    static boolean forwardsRecorded() {
        return FORWARD.isEnabled();
    }

    static boolean acksRecorded() {
        return ACK.isEnabled();
    }

    abstract static class Stage extends Event {
        @Label("Volume")
        String volume = "";
    }

    /** What one read of a client's socket brought goes into the journal. */
    @Name("io.terminus.Capture")
    @Label("Capture")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Capture extends Stage {
        @Label("Requests")
        int requests;

        @Label("Bytes")
        @DataAmount
        long bytes;
    }

    /** One run of the journal is handed to a peer's socket. */
    @Name("io.terminus.Forward")
    @Label("Forward")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Forward extends Stage {
        @Label("Peer")
        String peer = "";

        @Label("From")
        @Description("position in the journal")
        long from;

        @Label("Bytes")
        @DataAmount
        long bytes;
    }

    /** A peer's acknowledgement, and what it made possible: the clients' replies. */
    @Name("io.terminus.Ack")
    @Label("Ack")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Ack extends Stage {
        @Label("Peer")
        String peer = "";

        @Label("Received")
        @Description("position in the journal")
        long received;

        @Label("Durable")
        @Description("position in the journal")
        long durable;

        @Label("Applied")
        @Description("position in the journal")
        long applied;

        @Label("Waited")
        @Description("since the oldest run it acknowledges was sent; 0: it acknowledges none")
        @Timespan
        long waitedNanos;
    }

    /** fdatasync of the journal. */
    @Name("io.terminus.Sync")
    @Label("Sync")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Sync extends Stage {
        @Label("Bytes")
        @DataAmount
        long bytes;
    }

    /** Records go into the image. */
    @Name("io.terminus.Apply")
    @Label("Apply")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Apply extends Stage {
        @Label("Bytes")
        @Description("of the journal")
        @DataAmount
        long bytes;
    }

    /** An item of a copy has gone to a replica that fell behind. */
    @Name("io.terminus.Copy")
    @Label("Copy")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Copy extends Stage {
        @Label("Peer")
        String peer = "";

        @Label("Kind")
        String kind = "";

        @Label("Offset")
        long offset;

        @Label("Length")
        @DataAmount
        long length;

        @Label("Bytes sent")
        @DataAmount
        long bytes;
    }

    /** An election, at its end. */
    @Name("io.terminus.Election")
    @Label("Election")
    @Category({"Terminus", "Data path"})
    @Enabled(false)
    @StackTrace(false)
    @Threshold("0 ns")
    static final class Election extends Stage {
        @Label("Term")
        @Description("0: none was opened")
        long term;

        @Label("Outcome")
        @Description("won, or why not")
        String outcome = "";
    }
}
