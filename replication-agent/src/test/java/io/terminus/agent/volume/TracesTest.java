package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.terminus.tracing.TraceKeys;
import io.terminus.tracing.Tracing;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Traces of writes across a writer and its replica, which are joined by nothing that travels. */
class TracesTest {

    private static final AttributeKey<Long> POSITION = AttributeKey.longKey("terminus.position");
    private static final AttributeKey<Long> TOKEN = AttributeKey.longKey("terminus.token");
    private static final AttributeKey<Long> OFFSET = AttributeKey.longKey("terminus.offset_bytes");
    private static final AttributeKey<Long> LENGTH = AttributeKey.longKey("terminus.length_bytes");
    private static final AttributeKey<String> VOLUME = AttributeKey.stringKey("terminus.volume");
    private static final AttributeKey<String> PEER = AttributeKey.stringKey("terminus.peer");
    private static final AttributeKey<String> WRITER = AttributeKey.stringKey("terminus.writer");

    @TempDir
    private Path temp;

    private List<SpanData> spans = List.of();

    @Test
    void eachWriteIsOneTraceOfWhatItsWriterAndItsReplicaDid() throws Exception {
        twoWrites(1);

        List<SpanData> writes = only("write");
        assertThat(writes).hasSize(2);
        assertThat(writes).extracting(span -> span.getAttributes().get(OFFSET)).containsExactly(0L, 4_096L);
        assertThat(writes).extracting(span -> span.getAttributes().get(LENGTH)).containsExactly(4_096L, 8_192L);
        assertThat(writes).allSatisfy(write -> {
            assertThat(write.getParentSpanContext().isValid()).isFalse();
            assertThat(write.getAttributes().get(VOLUME)).isEqualTo("v");
            List<SpanData> parts = spans.stream()
                    .filter(span -> span.getTraceId().equals(write.getTraceId()) && !span.equals(write))
                    .toList();
            assertThat(parts).extracting(SpanData::getName).containsExactlyInAnyOrder("capture", "replicate", "land");
            assertThat(parts).allSatisfy(part -> {
                assertThat(part.getParentSpanId()).isEqualTo(write.getSpanId());
                assertThat(part.getAttributes().get(POSITION))
                        .isEqualTo(write.getAttributes().get(POSITION));
            });
        });
        assertThat(only("replicate"))
                .allMatch(span -> "b".equals(span.getAttributes().get(PEER)));
        assertThat(only("land"))
                .allMatch(span -> "a".equals(span.getAttributes().get(WRITER)));
    }

    /** So that the lock manager's part is found from a write: its trace is told from volume and token alone. */
    @Test
    void eachWriteIsLinkedToTheGrantItWasWrittenUnder() throws Exception {
        twoWrites(1);

        assertThat(only("write")).hasSize(2);
        for (SpanData write : only("write")) {
            Long token = write.getAttributes().get(TOKEN);
            assertThat(token).isNotNull();
            SpanContext grant = new TraceKeys("v").grant(token);
            assertThat(write.getLinks()).singleElement().satisfies(link -> {
                assertThat(link.getSpanContext().getTraceId()).isEqualTo(grant.getTraceId());
                assertThat(link.getSpanContext().getSpanId()).isEqualTo(grant.getSpanId());
            });
        }
    }

    @Test
    void whatIsNotChosenHasNoSpanOnEitherSide() throws Exception {
        twoWrites(0);

        assertThat(spans).isEmpty();
    }

    private void twoWrites(double share) throws Exception {
        InMemorySpanExporter exporter = InMemorySpanExporter.create();
        try (Tracing tracing = Tracing.begin(
                        SdkTracerProvider.builder().addSpanProcessor(SimpleSpanProcessor.create(exporter)), share);
                Agents agents = new Agents(temp, 4 << 20, 16L << 20)) {
            assertThat(Tracing.current()).isSameAs(tracing);
            agents.start("a", "b");
            Agents.Client client = agents.client("a");
            client.writeAndAwait(0, new byte[4_096]);
            client.writeAndAwait(4_096, new byte[8_192]);
            client.flushAndAwait();
            agents.awaitAllApplied("a", "b");
            if (share == 1) {
                // A client is answered before the span of its answer is made.
                await().until(() -> exporter.getFinishedSpanItems().stream()
                                .filter(span -> span.getName().equals("write"))
                                .count()
                        == 2);
            }
            spans = List.copyOf(exporter.getFinishedSpanItems()); // which the exporter forgets when it ends
        }
    }

    private List<SpanData> only(String name) {
        return spans.stream()
                .filter(span -> span.getName().equals(name))
                .sorted(Comparator.comparing(
                        span -> String.valueOf(span.getAttributes().get(OFFSET))))
                .toList();
    }
}
