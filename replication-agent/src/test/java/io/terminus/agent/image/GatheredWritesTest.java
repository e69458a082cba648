package io.terminus.agent.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class GatheredWritesTest {

    private static final int KIB = 1024;

    private final MemoryTarget image = new MemoryTarget(256 * KIB);
    private final GatheredWrites writes = new GatheredWrites(image);

    @Test
    void neighboursInAPieceAreOneCall() throws IOException {
        writes.add(8 * KIB, bytes(1, 4 * KIB));
        writes.add(16 * KIB, bytes(3, 4 * KIB));
        writes.add(12 * KIB, bytes(2, 4 * KIB));

        writes.flush();

        assertThat(image.calls).containsExactly("8192+12288");
        assertThat(image.at(8 * KIB)).isEqualTo(1);
        assertThat(image.at(12 * KIB)).isEqualTo(2);
        assertThat(image.at(20 * KIB - 1)).isEqualTo(3);
    }

    @Test
    void whatWasWrittenOverIsNeverWritten() throws IOException {
        writes.add(0, bytes(1, 4 * KIB));
        writes.add(0, bytes(2, 4 * KIB));
        writes.add(2 * KIB, bytes(3, 512));

        writes.flush();

        assertThat(image.calls).containsExactly("0+4096");
        assertThat(image.at(0)).isEqualTo(2);
        assertThat(image.at(2 * KIB)).isEqualTo(3);
        assertThat(image.at(2 * KIB + 512)).isEqualTo(2);
    }

    @Test
    void aWholePieceOfManyWritesIsOneCall() throws IOException {
        for (int at = 0; at < Image.PIECE_BYTES; at += 4 * KIB) {
            writes.add(Image.PIECE_BYTES + at, bytes(1, 4 * KIB));
        }

        writes.flush();

        assertThat(image.calls).containsExactly("32768+32768");
    }

    @Test
    void noCallCrossesAPiece() throws IOException {
        writes.add(20 * KIB, bytes(1, 60 * KIB));

        writes.flush();

        assertThat(image.calls).containsExactly("20480+12288", "32768+32768", "65536+16384");
    }

    @Test
    void gapsStayAsTheyWere() throws IOException {
        writes.add(0, bytes(1, 512));
        writes.add(31 * KIB + 512, bytes(2, 512));

        writes.flush();

        assertThat(image.calls).containsExactly("0+512", "32256+512");
        assertThat(image.at(512)).isZero();
    }

    @Test
    void writesOffTheSectorsKeepTheirOrder() throws IOException {
        writes.add(100, bytes(1, 1000));
        writes.add(0, bytes(2, 512));

        writes.flush();

        assertThat(image.calls).containsExactly("100+1000", "0+512");
        assertThat(image.at(100)).isEqualTo(2);
        assertThat(image.at(600)).isEqualTo(1);
    }

    @Test
    void nothingIsWrittenWhereSpaceIsMissing() {
        image.spaceEnd = 64 * KIB;
        writes.add(0, bytes(1, 4 * KIB));
        writes.add(64 * KIB, bytes(2, 4 * KIB));

        assertThatThrownBy(writes::flush).isInstanceOf(NoSpaceException.class);

        assertThat(image.calls).isEmpty();
    }

    @Test
    void whatIsFullSaysSoBeforeItIsGivenMore() throws IOException {
        int taken = 0;
        while (writes.takes(1 << 20)) {
            writes.add(13, bytes(1, 200 * KIB));
            taken++;
        }

        writes.flush();

        assertThat(taken).isBetween(GatheredWrites.MOST_PARTS / 8 - 10, GatheredWrites.MOST_PARTS / 7);
        assertThat(writes.takes(1 << 20)).isTrue();
    }

    @Test
    void anySequenceLeavesWhatItWouldHaveLeftOneByOne() throws IOException {
        for (long seed = 1; seed <= 300; seed++) {
            Random random = new Random(seed);
            MemoryTarget real = new MemoryTarget(256 * KIB);
            MemoryTarget dull = new MemoryTarget(256 * KIB);
            GatheredWrites gathered = new GatheredWrites(real);
            int unit = seed % 3 == 0 ? 1 : 512;
            for (int i = 0; i < 200; i++) {
                int length = unit * (1 + random.nextInt(random.nextInt(10) == 0 ? 100 * KIB / unit : 4 * KIB / unit));
                int offset = unit * random.nextInt((real.bytes.length - length) / unit + 1);
                ByteBuffer what = bytes(i, length);
                gathered.add(offset, what);
                dull.write(what.duplicate(), offset);
                if (random.nextInt(20) == 0) {
                    gathered.flush();
                    assertThat(real.bytes).as("seed %d, write %d", seed, i).isEqualTo(dull.bytes);
                }
            }
            gathered.flush();
            assertThat(real.bytes).as("seed %d", seed).isEqualTo(dull.bytes);
        }
    }

    private static ByteBuffer bytes(int value, int count) {
        byte[] bytes = new byte[count];
        Arrays.fill(bytes, (byte) value);
        return ByteBuffer.wrap(bytes);
    }

    /** Fails for want of space from a place on, before it writes. */
    private static final class MemoryTarget implements GatheredWrites.Target {
        private final byte[] bytes;
        private final List<String> calls = new ArrayList<>();
        private long spaceEnd;

        MemoryTarget(int size) {
            bytes = new byte[size];
            spaceEnd = size;
        }

        int at(int offset) {
            return bytes[offset];
        }

        @Override
        public void secure(long offset, long length) throws IOException {
            if (offset + length > spaceEnd) {
                throw new NoSpaceException("no space at " + offset);
            }
        }

        @Override
        public void write(ByteBuffer source, long offset) {
            calls.add(offset + "+" + source.remaining());
            source.get(bytes, (int) offset, source.remaining());
        }
    }
}
