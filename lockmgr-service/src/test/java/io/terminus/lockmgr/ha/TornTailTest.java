package io.terminus.lockmgr.ha;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

class TornTailTest {

    private static final int LAID_OUT = 1024;
    private static final int FIRST_BYTES = 1 + 20 + 4;
    private static final int SECOND_AT = 8 + FIRST_BYTES;
    private static final int SECOND_BYTES = 2 + 200 + 4;

    private final ByteBuffer log = ByteBuffer.allocate(LAID_OUT).put("RaftLog1".getBytes(US_ASCII));

    TornTailTest() {
        put(20);
        put(200);
    }

    @Test
    void anEntryOfWhichAnyBeginningIsThereIsFoundAndTheWholeLogIsLeft() {
        byte[] whole = log.array();

        for (int written = 1; written < SECOND_BYTES; written++) {
            byte[] torn = whole.clone();
            Arrays.fill(torn, SECOND_AT + written, torn.length, (byte) 0);
            assertThat(TornTail.find(torn)).as("%d bytes written", written).isEqualTo(SECOND_AT);
        }
        assertThat(TornTail.find(whole)).isEqualTo(-1);
    }

    @Test
    void whatTheEndOfTheFileCutsOffIsLeftToRatis() {
        for (int written = 0; written < SECOND_BYTES; written++) {
            assertThat(TornTail.find(Arrays.copyOf(log.array(), SECOND_AT + written)))
                    .isEqualTo(-1);
        }
    }

    @Test
    void damageWithEntriesBehindItOrWithinAWholeEntryIsLeftAsItIs() {
        byte[] first = log.array().clone();
        byte[] last = log.array().clone();

        first[12] ^= 1;
        last[SECOND_AT + 50] ^= 1;

        assertThat(TornTail.find(first)).isEqualTo(-1);
        assertThat(TornTail.find(last)).isEqualTo(-1);
    }

    @Test
    void aDamagedLengthDoesNotMakeWholeEntriesABeginning() {
        for (int bit = 0; bit < 16; bit++) {
            byte[] damaged = log.array().clone();

            damaged[SECOND_AT + bit / 8] ^= (byte) (1 << bit % 8);

            assertThat(TornTail.find(damaged)).as("bit %d of the length", bit).isEqualTo(-1);
        }
    }

    /** An entry as Ratis writes it: term, index, and a message that goes to its end. */
    private void put(int length) {
        int from = log.position();
        if (length < 128) {
            log.put((byte) length);
        } else {
            log.put((byte) (length & 0x7f | 0x80)).put((byte) (length >> 7));
        }
        int message = length < 128 ? length - 6 : length - 7;
        log.put((byte) 0x08).put((byte) 1).put((byte) 0x10).put((byte) 6).put((byte) 0x1a);
        if (message < 128) {
            log.put((byte) message);
        } else {
            log.put((byte) (message & 0x7f | 0x80)).put((byte) (message >> 7));
        }
        for (int i = 0; i < message; i++) {
            log.put((byte) (1 + i % 100));
        }
        CRC32C sum = new CRC32C();
        sum.update(log.array(), from, log.position() - from);
        log.putInt((int) sum.getValue());
    }
}
