package io.terminus.lockmgr.app;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/**
 * What a flight recording can show of the locks. All are off unless a recording asks for them, for example with
 * {@code -XX:StartFlightRecording:terminus.lock.Wait#enabled=true}; while off they cost a test each.
 */
final class LockJfr {

    private LockJfr() {}

    /** One acquire, when it was answered or queued. */
    @Name("terminus.lock.Acquire")
    @Label("Acquire")
    @Category({"Terminus", "Lock manager"})
    @Enabled(false)
    @StackTrace(false)
    static final class Acquire extends Event {
        @Label("Volume")
        String volume = "";

        @Label("Start")
        @DataAmount
        long start;

        @Label("End")
        @DataAmount
        long end;

        @Label("Mode")
        String mode = "";

        @Label("Outcome")
        @Description("granted, queued, or the reason of the refusal")
        String outcome = "";
    }

    /** A wait, at its end. */
    @Name("terminus.lock.Wait")
    @Label("Wait")
    @Category({"Terminus", "Lock manager"})
    @Enabled(false)
    @StackTrace(false)
    static final class Wait extends Event {
        @Label("Session")
        String session = "";

        @Label("Request")
        long request;

        @Label("Waited")
        @Timespan
        long waitedNanos;

        @Label("Outcome")
        String outcome = "";
    }

    /** A recall, at its end. */
    @Name("terminus.lock.Recall")
    @Label("Recall")
    @Category({"Terminus", "Lock manager"})
    @Enabled(false)
    @StackTrace(false)
    static final class Recall extends Event {
        @Label("Lock")
        long lock;

        @Label("Took")
        @Timespan
        long tookNanos;

        @Label("Outcome")
        String outcome = "";
    }
}
