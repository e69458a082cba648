package io.terminus.benchmarks.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

class SentAgainTest {

    private static final String METRICS = """
            # TYPE terminus_peer_run_bytes counter
            terminus_peer_run_bytes_total{peer="b",volume="v"} 4.5E6
            terminus_peer_run_bytes_total{peer="c",volume="v"} 500000.0
            terminus_peer_run_bytes_total{peer="b",volume="v2"} 7.0
            """;

    @Test
    void aCounterIsOfAllPeersAndOfOneVolume() throws IOException {
        assertThat(SentAgain.counter(METRICS, "terminus_peer_run_bytes_total", "v"))
                .isEqualTo(5e6);
    }

    @Test
    void whatIsNotThereIsNotTakenForNothingSent() {
        assertThatThrownBy(() -> SentAgain.counter(METRICS, "terminus_peer_copy_sent_bytes_total", "v"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("terminus_peer_copy_sent_bytes_total of v");
    }
}
