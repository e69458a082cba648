package io.terminus.tracing;

import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.trace.IdGenerator;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SdkTracerProviderBuilder;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Where spans go. Off unless the environment asks for it, as OpenTelemetry's programs are asked: {@code OTEL_TRACES_EXPORTER=otlp}, {@code
 * OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318}, {@code OTEL_TRACES_SAMPLER_ARG=0.001} for the share of writes.
 *
 * <p>A span is made when what it tells of is over, so one that is under way costs nothing but what its owner remembers of it. What the
 * exporter does not take in time is dropped, by its own bounded queue: no request waits for a trace. Any thread.
 */
public final class Tracing implements AutoCloseable {

    static final double DEFAULT_SHARE = 0.001;

    private static final String EXPORTER = "OTEL_TRACES_EXPORTER";
    private static final String SHARE = "OTEL_TRACES_SAMPLER_ARG";
    private static final long STOP_SECONDS = 2;

    /** For who asks when it begins, and never again: what is running is not traced from the middle on. */
    private static volatile @Nullable Tracing current;

    private final SdkTracerProvider provider;
    private final Tracer tracer;
    private final double share;

    private Tracing(SdkTracerProvider provider, double share) {
        this.provider = provider;
        this.tracer = provider.get("io.terminus");
        this.share = share;
    }

    /**
     * Begins if the environment asks for it; one for the process, as a flight recording is.
     *
     * @param service as it is to be called where traces are looked at
     * @param instance which of them this is
     * @throws IllegalArgumentException naming the variable and the rule
     */
    public static @Nullable Tracing begin(String service, String instance) {
        return begin(service, instance, System::getenv);
    }

    static @Nullable Tracing begin(String service, String instance, UnaryOperator<@Nullable String> environment) {
        String exporter = environment.apply(EXPORTER);
        if (exporter == null || exporter.isBlank() || exporter.equals("none")) {
            return null;
        }
        double share = share(environment.apply(SHARE));
        Map<String, String> defaults = new HashMap<>();
        defaults.put("otel.service.name", service);
        defaults.put("otel.resource.attributes", "service.instance.id=" + instance);
        // gRPC's client is not among the libraries here; every collector takes this.
        defaults.put("otel.exporter.otlp.protocol", "http/protobuf");
        defaults.put("otel.metrics.exporter", "none");
        defaults.put("otel.logs.exporter", "none");
        Tracing begun;
        try {
            begun = new Tracing(
                    AutoConfiguredOpenTelemetrySdk.builder()
                            .addPropertiesSupplier(() -> defaults)
                            .addPropertiesCustomizer(config -> Map.of("otel.traces.exporter", exporter))
                            .addTracerProviderCustomizer((builder, config) -> chosenHere(builder))
                            .disableShutdownHook()
                            .build()
                            .getOpenTelemetrySdk()
                            .getSdkTracerProvider(),
                    share);
        } catch (RuntimeException e) {
            throw new IllegalArgumentException(EXPORTER + "=" + exporter + " cannot be used: " + e.getMessage(), e);
        }
        current = begun;
        return begun;
    }

    /** With spans that go where the builder says, for tests. */
    public static Tracing begin(SdkTracerProviderBuilder builder, double share) {
        Tracing begun = new Tracing(chosenHere(builder).build(), share);
        current = begun;
        return begun;
    }

    /** What is traced is decided before a span is made, and which ids it has, too. */
    private static SdkTracerProviderBuilder chosenHere(SdkTracerProviderBuilder builder) {
        return builder.setSampler(Sampler.alwaysOn()).setIdGenerator(new GivenIds());
    }

    /** Null: nothing is traced. */
    public static @Nullable Tracing current() {
        return current;
    }

    /** The share of writes that is traced. */
    public double share() {
        return share;
    }

    /**
     * A first span, whose ids are known beforehand.
     *
     * @param link what made it possible; null: nothing
     * @param startNanos as System.nanoTime has it, as all times here
     */
    public void first(
            String name,
            SpanContext id,
            @Nullable SpanContext link,
            long startNanos,
            long endNanos,
            Attributes attributes) {
        SpanBuilder span = tracer.spanBuilder(name).setNoParent().setSpanKind(SpanKind.SERVER);
        if (link != null) {
            span.addLink(link);
        }
        GivenIds.with(id, () -> finish(span, startNanos, endNanos, attributes));
    }

    /** A span below a first one, which may be another process's. */
    public void below(
            SpanContext first, String name, SpanKind kind, long startNanos, long endNanos, Attributes attributes) {
        SpanBuilder span = tracer.spanBuilder(name)
                .setParent(Context.root().with(Span.wrap(first)))
                .setSpanKind(kind);
        finish(span, startNanos, endNanos, attributes);
    }

    private static void finish(SpanBuilder span, long startNanos, long endNanos, Attributes attributes) {
        Instant now = Instant.now();
        long nowNanos = System.nanoTime();
        span.setAllAttributes(attributes)
                .setStartTimestamp(now.minusNanos(nowNanos - startNanos))
                .startSpan()
                .end(now.minusNanos(nowNanos - endNanos));
    }

    /** Sends what is left, for a moment. */
    @Override
    public void close() {
        if (current == this) {
            current = null;
        }
        var unused = provider.shutdown().join(STOP_SECONDS, TimeUnit.SECONDS);
    }

    private static double share(@Nullable String text) {
        if (text == null || text.isBlank()) {
            return DEFAULT_SHARE;
        }
        double share;
        try {
            share = Double.parseDouble(text);
        } catch (NumberFormatException e) {
            share = Double.NaN;
        }
        if (!(share >= 0 && share <= 1)) {
            throw new IllegalArgumentException(SHARE + "=" + text + " breaks the rule 0 to 1, the share of writes");
        }
        return share;
    }

    /** Random ids, but where one is given. */
    private static final class GivenIds implements IdGenerator {

        private static final ThreadLocal<@Nullable SpanContext> GIVEN = new ThreadLocal<>();
        private final IdGenerator random = IdGenerator.random();

        static void with(SpanContext id, Runnable making) {
            GIVEN.set(id);
            try {
                making.run();
            } finally {
                GIVEN.remove();
            }
        }

        @Override
        public String generateSpanId() {
            SpanContext given = GIVEN.get();
            return given == null ? random.generateSpanId() : given.getSpanId();
        }

        @Override
        public String generateTraceId() {
            SpanContext given = GIVEN.get();
            return given == null ? random.generateTraceId() : given.getTraceId();
        }
    }
}
