package io.terminus.benchmarks.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import org.junit.jupiter.api.Test;

class FioTest {

    /** As fio 3.33 says it, shortened. */
    private static final String SAID = """
            note: both iodepth >= 1 and synchronous I/O engine are selected
            { "fio version": "fio-3.33", "jobs": [ { "jobname": "v", "error": %d, "job_runtime": 2000, "usr_cpu": 10.0, "sys_cpu": 30.0,
              "read": { "total_ios": 7, "io_bytes": 28672, "runtime": 1, "lat_ns": {} },
              "write": { "total_ios": %d, "io_bytes": 4096000, "runtime": 500,
                "lat_ns": { "percentile": { "50.000000": 90000, "99.000000": 400000 } } } } ] }
            """;

    @Test
    void ofAJobThatWritesAndVerifiesTheWritesCount() throws IOException {
        Fio.Result result = Fio.parse(SAID.formatted(0, 1000));

        assertThat(result.operations()).isEqualTo(1000);
        assertThat(result.perSecond()).isEqualTo(2000);
        assertThat(result.megabytesPerSecond()).isCloseTo(8.192, within(1e-9));
        assertThat(result.p50Nanos()).isEqualTo(90_000);
        assertThat(result.p99Nanos()).isEqualTo(400_000);
        assertThat(result.clientCpuSeconds()).isCloseTo(0.8, within(1e-9));
    }

    @Test
    void anErrorIsNoResult() {
        assertThatThrownBy(() -> Fio.parse(SAID.formatted(5, 1000)))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("error 5");
        assertThatThrownBy(() -> Fio.parse("nothing")).isInstanceOf(IOException.class);
    }
}
