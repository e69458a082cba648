package io.terminus.tracing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import org.junit.jupiter.api.Test;

class LogFieldsTest {

    @Test
    void whatAMessageNamesBecomesFieldsByTheWordsBeforeIt() {
        assertThat(LogFields.of(
                        "volume {}: {} streams term {} from position {}", new Object[] {"demo", "a", 7L, 4096L}))
                .containsExactlyInAnyOrderEntriesOf(
                        Map.of("terminus.volume", "demo", "terminus.term", "7", "terminus.position", "4096"));
    }

    @Test
    void aRangeIsOneFieldAndTakesTwoValues() {
        assertThat(LogFields.of("volume {}: [{}, {}) under token {}", new Object[] {"demo", 0L, 4096L, 99L}))
                .containsExactlyInAnyOrderEntriesOf(
                        Map.of("terminus.volume", "demo", "terminus.range", "[0, 4096)", "terminus.token", "99"));
    }

    @Test
    void theFirstOfANameCountsAndWhatHasNoNameIsNoField() {
        assertThat(LogFields.of("agent {} and agent {}: {}, evolume {}", new Object[] {"a", "b", "why", "x"}))
                .containsExactlyInAnyOrderEntriesOf(Map.of("terminus.agent", "a"));
    }

    @Test
    void aMessageWithoutValuesOrWithTooFewHasNone() {
        assertThat(LogFields.of("volume {}", null)).isEmpty();
        assertThat(LogFields.of("[{}, {})", new Object[] {1})).isEmpty();
        assertThat(LogFields.of(null, new Object[] {1})).isEmpty();
    }
}
