package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

class BlockDigestsTest {

    @Test
    void exactlyTheBlocksThatDifferAreNamed() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            byte[] one = new byte[1 + random.nextInt(CopyItem.MAX_DATA_BYTES)];
            random.nextBytes(one);
            byte[] other = one.clone();
            long expected = 0;
            for (int i = random.nextInt(4); i > 0; i--) {
                int at = random.nextInt(other.length);
                other[at] = (byte) ~one[at];
                expected |= 1L << at / ExtentMap.BLOCK_BYTES;
            }

            ByteBuffer digests = BlockDigests.of(ByteBuffer.wrap(one));
            long named = BlockDigests.differing(digests, BlockDigests.of(ByteBuffer.wrap(other)));

            assertThat(named).as("seed %d, round %d", seed, round).isEqualTo(expected);
            assertThat(digests.remaining()).isEqualTo(BlockDigests.bytesFor(one.length));
        }
    }
}
