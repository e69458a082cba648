package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.tracing.TraceKeys;
import io.terminus.tracing.Tracing;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What the table grants, as the lock manager counts it, and the traces that come of it. */
class GrantTracesTest {

    private static final long MILLI = 1_000_000;

    /** Of the tracing that was begun last: one that is over takes no more. */
    private InMemorySpanExporter exporter = InMemorySpanExporter.create();

    private final LockTable table = new LockTable(Settings.defaults(), 1, 0);
    private long nowNanos;

    @Test
    void theGrantOfAWholeVolumeIsATraceWhoseIdEveryAgentCanTell() {
        try (Tracing tracing = tracing(0)) {
            LockMetrics metrics = metrics();
            open(metrics, "one");

            acquire(metrics, "one", 1, 0, Long.MAX_VALUE);

            assertThat(tracing.share()).isZero();
            SpanData grant = exporter.getFinishedSpanItems().getFirst();
            assertThat(grant.getName()).isEqualTo("grant");
            assertThat(grant.getAttributes().get(AttributeKey.stringKey("terminus.volume")))
                    .isEqualTo("demo");
            Long token = grant.getAttributes().get(AttributeKey.longKey("terminus.token"));
            assertThat(token).isNotNull();
            assertThat(grant.getTraceId())
                    .isEqualTo(new TraceKeys("demo").grant(token).getTraceId());
            assertThat(grant.getSpanId())
                    .isEqualTo(new TraceKeys("demo").grant(token).getSpanId());
        }
    }

    @Test
    void aGrantThatWasWaitedForBeginsWhenItWasAskedFor() {
        try (Tracing tracing = tracing(0)) {
            LockMetrics metrics = metrics();
            open(metrics, "one");
            open(metrics, "two");
            acquire(metrics, "one", 1, 0, Long.MAX_VALUE);
            acquire(metrics, "two", 1, 0, Long.MAX_VALUE);
            nowNanos += 250 * MILLI;

            apply(metrics, new Command.CloseSession("one", "done"));

            assertThat(Tracing.current()).isSameAs(tracing);
            List<SpanData> grants = exporter.getFinishedSpanItems();
            assertThat(grants).hasSize(2);
            SpanData waited = grants.getLast();
            assertThat(waited.getAttributes().get(AttributeKey.booleanKey("terminus.waited")))
                    .isTrue();
            assertThat(Duration.ofNanos(waited.getEndEpochNanos() - waited.getStartEpochNanos()))
                    .isGreaterThanOrEqualTo(Duration.ofMillis(250));
        }
    }

    @Test
    void ofRangesAShareIsTraced() {
        try (Tracing all = tracing(1)) {
            LockMetrics metrics = metrics();
            open(metrics, "one");
            acquire(metrics, "one", 1, 0, 4096);
            assertThat(all.share()).isEqualTo(1);
            assertThat(exporter.getFinishedSpanItems()).hasSize(1);
        }
        try (Tracing none = tracing(0)) {
            LockMetrics metrics = metrics();
            acquire(metrics, "one", 2, 8192, 12288);
            assertThat(none.share()).isZero();
            assertThat(exporter.getFinishedSpanItems()).isEmpty();
        }
    }

    private Tracing tracing(double share) {
        exporter = InMemorySpanExporter.create();
        return Tracing.begin(SdkTracerProvider.builder().addSpanProcessor(SimpleSpanProcessor.create(exporter)), share);
    }

    private static LockMetrics metrics() {
        LockMetrics.Written nothing = new LockMetrics.Written() {
            @Override
            public long syncs() {
                return 0;
            }

            @Override
            public long appends() {
                return 0;
            }
        };
        return new LockMetrics(new SimpleMeterRegistry(), nothing, () -> 0);
    }

    private void open(LockMetrics metrics, String session) {
        apply(
                metrics,
                new Command.OpenSession(session, session, Duration.ofSeconds(30).toNanos()));
    }

    private void acquire(LockMetrics metrics, String session, long request, long start, long end) {
        apply(
                metrics,
                new Command.Acquire(
                        session,
                        request,
                        "demo",
                        "uuid",
                        start,
                        end,
                        Mode.EX,
                        Duration.ofSeconds(10).toNanos(),
                        false));
    }

    private void apply(LockMetrics metrics, Command command) {
        metrics.beginTurn();
        metrics.count(command, table.apply(command, nowNanos), nowNanos);
    }
}
