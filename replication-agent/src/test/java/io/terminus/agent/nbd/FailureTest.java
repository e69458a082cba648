package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class FailureTest {

    @ParameterizedTest
    @CsvSource({
        "NOT_PERMITTED, 1",
        "IO_ERROR, 5",
        "INVALID, 22",
        "NO_SPACE, 28",
        "UNSUPPORTED, 95",
        "SHUTDOWN, 108",
    })
    void everyFailureHasTheProtocolsNumber(Failure failure, int errno) {
        assertThat(failure.errno()).isEqualTo(errno);
    }

    @ParameterizedTest
    @EnumSource
    void everyFailureIsInTheTableAbove(Failure failure) throws Exception {
        String[] table = FailureTest.class
                .getDeclaredMethod("everyFailureHasTheProtocolsNumber", Failure.class, int.class)
                .getAnnotation(CsvSource.class)
                .value();

        assertThat(table).contains(failure + ", " + failure.errno());
    }
}
