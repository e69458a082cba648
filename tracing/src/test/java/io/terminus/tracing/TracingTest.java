package io.terminus.tracing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;

class TracingTest {

    private final TraceKeys keys = new TraceKeys("demo");

    @Test
    void nothingIsTracedUnlessTheEnvironmentAsksForIt() {
        assertThat(Tracing.begin("agent", "a", name -> null)).isNull();
        assertThat(Tracing.begin("agent", "a", Map.of("OTEL_TRACES_EXPORTER", "none")::get))
                .isNull();
        assertThat(Tracing.current()).isNull();
    }

    @Test
    void aShareThatIsNoneIsRefusedByName() {
        Map<String, String> environment = Map.of("OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER_ARG", "12");

        assertThatThrownBy(() -> Tracing.begin("agent", "a", environment::get))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("OTEL_TRACES_SAMPLER_ARG=12 breaks the rule 0 to 1, the share of writes");
    }

    @Test
    void anExporterThatIsNotThereIsRefusedByName() {
        assertThatThrownBy(() -> Tracing.begin("agent", "a", Map.of("OTEL_TRACES_EXPORTER", "zipkin2")::get))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("OTEL_TRACES_EXPORTER=zipkin2 cannot be used");
    }

    @Test
    void spansOfTwoProcessesAreOneTraceAndTheGrantIsLinked() {
        InMemorySpanExporter exporter = InMemorySpanExporter.create();
        SpanContext write = keys.write(7, 4096);
        try (Tracing tracing =
                Tracing.begin(SdkTracerProvider.builder().addSpanProcessor(SimpleSpanProcessor.create(exporter)), 1)) {
            long now = System.nanoTime();

            tracing.below(write, "land", SpanKind.CONSUMER, now - 2_000, now - 1_000, Attributes.empty());
            tracing.first(
                    "write",
                    write,
                    keys.grant(7),
                    now - 5_000,
                    now,
                    Attributes.of(AttributeKey.longKey("position"), 4096L));

            List<SpanData> spans = exporter.getFinishedSpanItems();
            SpanData land = spans.get(0);
            SpanData first = spans.get(1);
            assertThat(first.getSpanContext().getTraceId()).isEqualTo(write.getTraceId());
            assertThat(first.getSpanId()).isEqualTo(write.getSpanId());
            assertThat(first.getLinks())
                    .singleElement()
                    .satisfies(link -> assertThat(link.getSpanContext().getTraceId())
                            .isEqualTo(keys.grant(7).getTraceId()));
            assertThat(first.getEndEpochNanos() - first.getStartEpochNanos()).isEqualTo(5_000);
            assertThat(land.getTraceId()).isEqualTo(write.getTraceId());
            assertThat(land.getParentSpanId()).isEqualTo(write.getSpanId());
            assertThat(land.getSpanId()).isNotEqualTo(write.getSpanId());
        }
        assertThat(Tracing.current()).isNull();
    }

    /** The way to a collector, with the libraries that are shipped: one HTTP request of protobuf. */
    @Test
    void aCollectorIsSentWhatWasTraced() throws Exception {
        List<String> bodies = new CopyOnWriteArrayList<>();
        HttpServer collector = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        collector.createContext("/v1/traces", exchange -> {
            bodies.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.ISO_8859_1));
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        collector.start();
        System.setProperty(
                "otel.exporter.otlp.endpoint",
                "http://localhost:" + collector.getAddress().getPort());
        System.setProperty("otel.exporter.otlp.compression", "none");
        try {
            Tracing tracing = Objects.requireNonNull(Tracing.begin(
                    "replication-agent",
                    "agent-a",
                    Map.of("OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER_ARG", "1")::get));
            long now = System.nanoTime();

            tracing.first("write", keys.write(7, 4096), null, now - 5_000, now, Attributes.empty());
            tracing.close(); // sends what is left

            assertThat(tracing.share()).isEqualTo(1);
            assertThat(bodies)
                    .singleElement()
                    .satisfies(body ->
                            assertThat(body).contains("replication-agent", "agent-a", "write", "service.instance.id"));
        } finally {
            System.clearProperty("otel.exporter.otlp.endpoint");
            System.clearProperty("otel.exporter.otlp.compression");
            collector.stop(0);
        }
    }
}
