package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ByteSizeTest {

    @ParameterizedTest
    @CsvSource({
        "0,           0",
        "4096,        4096",
        "512B,        512",
        "4k,          4096",
        "4K,          4096",
        "4KiB,        4096",
        "512MiB,      536870912",
        "1GiB,        1073741824",
        "1 GiB,       1073741824",
        "1g,          1073741824",
        "2TiB,        2199023255552",
        "9223372036854775807, 9223372036854775807"
    })
    void readsWhatPeopleWrite(String text, long bytes) {
        assertThat(ByteSize.parse(text).bytes()).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "GiB", "1.5GiB", "-1", "1 GiB x", "1PiB", "0x10", "1iB"})
    void refusesWhatIsNoSizeAndNamesIt(String text) {
        assertThatThrownBy(() -> ByteSize.parse(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'" + text + "' is not a size");
    }

    @ParameterizedTest
    @CsvSource({"10MB, 10MiB, 1024^2", "4kb, 4KiB, times 1024", "1 tb, 1TiB, 1024^4"})
    void refusesWhatHasTwoMeaningsAndNamesTheOneToWrite(String text, String better, String meaning) {
        assertThatThrownBy(() -> ByteSize.parse(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'" + text + "' is not a size")
                .hasMessageContaining("write " + better)
                .hasMessageContaining(meaning);
    }

    @ParameterizedTest
    @ValueSource(strings = {"9223372036854775808", "8388608TiB"})
    void refusesWhatDoesNotFit(String text) {
        assertThatThrownBy(() -> ByteSize.parse(text)).hasMessageContaining("more than 2^63 - 1");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0 B",
        "1023, 1023 B",
        "1024, 1 KiB",
        "1536, 1.5 KiB",
        "1073741824, 1 GiB",
        "1099511627776, 1 TiB",
        "9223372036854775807, 8388608.0 TiB"
    })
    void showsTheLargestUnitThatFits(long bytes, String text) {
        assertThat(new ByteSize(bytes)).hasToString(text);
    }

    @Test
    void isNeverNegative() {
        assertThatThrownBy(() -> new ByteSize(-1)).hasMessageContaining("-1");
    }
}
