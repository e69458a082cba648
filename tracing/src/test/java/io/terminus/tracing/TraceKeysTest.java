package io.terminus.tracing;

import static org.assertj.core.api.Assertions.assertThat;

import io.opentelemetry.api.trace.SpanContext;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TraceKeysTest {

    private static final long TOKEN = 3L << 40 | 17;

    private final TraceKeys keys = new TraceKeys("demo");

    /** Processes of two versions meet in one trace: these ids must not change. */
    @Test
    void theIdsOfAWriteAreThoseOfEveryVersion() {
        SpanContext write = keys.write(TOKEN, 4096);

        assertThat(write.getTraceId()).isEqualTo("7a0e067057a5fb2a77c51584dd082583");
        assertThat(write.getSpanId()).isEqualTo("cf1620ce89ff32b1");
        assertThat(write.isSampled()).isTrue();
    }

    @Test
    void everyProcessTellsTheSameIdsAndChoosesTheSameWrites() {
        TraceKeys elsewhere = new TraceKeys("demo");

        for (long position = 0; position < 1 << 20; position += 4160) {
            assertThat(elsewhere.write(TOKEN, position)).isEqualTo(keys.write(TOKEN, position));
            assertThat(elsewhere.chooses(TOKEN, position, 0.1)).isEqualTo(keys.chooses(TOKEN, position, 0.1));
        }
        assertThat(elsewhere.grant(TOKEN)).isEqualTo(keys.grant(TOKEN));
    }

    @Test
    void whatDiffersInVolumeTokenOrPositionHasAnotherTrace() {
        Set<String> seen = new HashSet<>();

        for (String volume : new String[] {"demo", "demo2", ""}) {
            TraceKeys some = new TraceKeys(volume);
            for (long token = TOKEN; token < TOKEN + 20; token++) {
                assertThat(seen.add(some.grant(token).getTraceId())).isTrue();
                for (long position = 0; position < 100_000; position += 1_000) {
                    SpanContext write = some.write(token, position);
                    assertThat(write.isValid()).isTrue();
                    assertThat(seen.add(write.getTraceId())).isTrue();
                }
            }
        }
    }

    @Test
    void aboutTheShareThatIsAskedForIsChosen() {
        int chosen = 0;
        for (int i = 0; i < 100_000; i++) {
            chosen += keys.chooses(TOKEN, i * 4160L, 0.01) ? 1 : 0;
        }

        assertThat(chosen).isBetween(800, 1200);
        assertThat(keys.chooses(TOKEN, 4160, 0)).isFalse();
        assertThat(keys.chooses(TOKEN, 4160, 1)).isTrue();
    }
}
