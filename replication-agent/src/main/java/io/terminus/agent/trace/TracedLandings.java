package io.terminus.agent.trace;

import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.terminus.tracing.TraceKeys;
import io.terminus.tracing.Tracing;
import org.jspecify.annotations.Nullable;

/**
 * A replica's part of the traces: a span "land" for each record that is traced, from when its bytes began to be checked until they are
 * published here, below the writer's "write". Which those are and which trace they belong to follows from the record itself. One thread,
 * the stream's.
 */
public final class TracedLandings {

    private final @Nullable Tracing tracing;
    private final TraceKeys keys;
    private final String volume;
    private final String writer;

    public TracedLandings(String volume, String writer) {
        this.tracing = Tracing.current();
        this.keys = new TraceKeys(volume);
        this.volume = volume;
        this.writer = writer;
    }

    /** Whether it is worth a look at what landed. */
    public boolean on() {
        return tracing != null;
    }

    /** A record is published. */
    public void landed(long term, long token, long position, long offset, long length, long beganNanos) {
        Tracing to = tracing;
        if (to == null || !keys.chooses(token, position, to.share())) {
            return;
        }
        SpanContext write = keys.write(token, position);
        to.below(
                write,
                "land",
                SpanKind.CONSUMER,
                beganNanos,
                System.nanoTime(),
                Attribute.of(volume, term, token, position, offset, length).toBuilder()
                        .put(Attribute.WRITER, writer)
                        .build());
    }
}
