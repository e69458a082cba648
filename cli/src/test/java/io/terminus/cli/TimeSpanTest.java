package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TimeSpanTest {

    @ParameterizedTest
    @CsvSource({"60s, 60000", "60, 60000", "500ms, 500", "5m, 300000", "2h, 7200000", "0s, 0"})
    void readsWhatPeopleWrite(String text, long millis) {
        assertThat(TimeSpan.parse(text).toMillis()).isEqualTo(millis);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "s", "-1s", "1.5s", "1d", "9999999999s"})
    void refusesWhatIsNoTimeAndNamesIt(String text) {
        assertThatThrownBy(() -> TimeSpan.parse(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'" + text + "' is not a time");
    }
}
