package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class InFlightTest {

    @Test
    void sameClientCookieTwiceIsTwoRequests() {
        InFlight inFlight = new InFlight(4, 1000);

        long first = inFlight.add(7, 0, 10);
        long second = inFlight.add(7, 0, 10);

        assertThat(first).isNotEqualTo(second);
        assertThat(inFlight.remove(first)).isEqualTo(7);
        assertThat(inFlight.remove(second)).isEqualTo(7);
    }

    @Test
    void answerGivenTwiceDoesNotAnswerALaterRequest() {
        InFlight inFlight = new InFlight(1, 1000);
        long first = inFlight.add(1, 0, 0);
        inFlight.remove(first);

        long second = inFlight.add(2, 0, 0);

        assertThatThrownBy(() -> inFlight.remove(first)).isInstanceOf(IllegalStateException.class);
        assertThat(inFlight.remove(second)).isEqualTo(2);
        assertThatThrownBy(() -> inFlight.remove(second)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> inFlight.remove(-1)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> inFlight.remove(0)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void requestLargerThanTheBoundIsAdmittedAlone() {
        InFlight inFlight = new InFlight(10, 100);

        assertThat(inFlight.admits(1000)).isTrue();
        long large = inFlight.add(1, 0, 1000);
        assertThat(inFlight.admits(1)).isFalse();
        inFlight.remove(large);

        assertThat(inFlight.admits(100)).isTrue();
    }

    @Test
    void behavesAsAMap() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        InFlight inFlight = new InFlight(16, 1000);
        Map<Long, Long> cookies = new HashMap<>();
        Map<Long, Integer> bytes = new HashMap<>();
        Set<Long> everGiven = new HashSet<>();

        for (int i = 0; i < 10_000; i++) {
            int payload = random.nextInt(200);
            int sum = bytes.values().stream().mapToInt(Integer::intValue).sum();
            assertThat(inFlight.admits(payload))
                    .as("seed %d", seed)
                    .isEqualTo(cookies.size() < 16 && (sum == 0 || sum + payload <= 1000));
            if (random.nextBoolean() && inFlight.admits(payload)) {
                long cookie = random.nextInt(5);
                long handle = inFlight.add(cookie, i, payload);
                assertThat(everGiven.add(handle)).as("seed %d", seed).isTrue();
                cookies.put(handle, cookie);
                bytes.put(handle, payload);
            } else if (!cookies.isEmpty()) {
                long handle = cookies.keySet().iterator().next();
                bytes.remove(handle);
                assertThat(inFlight.remove(handle)).as("seed %d", seed).isEqualTo(cookies.remove(handle));
            }
            assertThat(inFlight.count()).isEqualTo(cookies.size());
        }
    }
}
