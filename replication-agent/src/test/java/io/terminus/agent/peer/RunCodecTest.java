package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.peer.RunCodec.MalformedException;
import java.nio.ByteBuffer;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RunCodecTest {

    private static final int MOST = RunPacker.MAX_RUN_BYTES;

    @ParameterizedTest
    @EnumSource(names = {"LZ4", "ZSTD"})
    void whatShrinksComesBackAsItWas(Compression compression) throws MalformedException {
        Random random = new Random(1);
        try (RunCodec codec = codec(compression)) {
            for (int bytes : new int[] {512, 4_224, 65_535, 65_536, MOST}) {
                ByteBuffer plain = text(random, bytes);
                ByteBuffer packed = ByteBuffer.allocateDirect(bytes);
                ByteBuffer back = ByteBuffer.allocateDirect(MOST);

                int after = codec.pack(plain, bytes, packed);
                int got = codec.unpack(packed.limit(after), back, bytes);

                assertThat(after).isBetween(1, bytes - 1);
                assertThat(got).isEqualTo(bytes);
                assertThat(back.limit(bytes)).isEqualTo(plain);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"LZ4", "ZSTD"})
    void whatDoesNotShrinkIsNotPacked(Compression compression) {
        byte[] noise = new byte[MOST];
        new Random(1).nextBytes(noise);
        ByteBuffer plain = ByteBuffer.allocateDirect(MOST).put(noise).flip();

        try (RunCodec codec = codec(compression)) {
            assertThat(codec.pack(plain, MOST, ByteBuffer.allocateDirect(MOST))).isEqualTo(RunCodec.NO_SHORTER);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"LZ4", "ZSTD"})
    void moreThanWasAnnouncedIsMalformed(Compression compression) {
        ByteBuffer plain = text(new Random(1), 10_000);
        ByteBuffer packed = ByteBuffer.allocateDirect(10_000);

        try (RunCodec codec = codec(compression)) {
            packed.limit(codec.pack(plain, 10_000, packed));

            assertThatThrownBy(() -> codec.unpack(packed, ByteBuffer.allocateDirect(MOST), 9_999))
                    .isInstanceOf(MalformedException.class);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"LZ4", "ZSTD"})
    void damageNeverWritesBehindWhatWasAnnounced(Compression compression) {
        Random random = new Random(1);
        int bytes = 20_000;
        try (RunCodec codec = codec(compression)) {
            ByteBuffer plain = text(random, bytes);
            ByteBuffer packed = ByteBuffer.allocateDirect(bytes);
            int after = codec.pack(plain, bytes, packed);
            ByteBuffer into = ByteBuffer.allocateDirect(bytes + 64);
            int malformed = 0;
            for (int i = 0; i < 20_000; i++) {
                ByteBuffer bad = ByteBuffer.allocateDirect(after)
                        .put(packed.duplicate().limit(after))
                        .flip();
                for (int flips = random.nextInt(1, 4); flips > 0; flips--) {
                    bad.put(random.nextInt(after), (byte) random.nextInt());
                }
                try {
                    assertThat(codec.unpack(bad, into, bytes)).isBetween(0, bytes);
                } catch (MalformedException e) {
                    malformed++;
                }
                assertThat(into.getLong(bytes)).as("round %d", i).isZero();
            }
            assertThat(malformed).isPositive();
        }
    }

    private static RunCodec codec(Compression compression) {
        return Objects.requireNonNull(compression.codec());
    }

    private static ByteBuffer text(Random random, int bytes) {
        ByteBuffer text = ByteBuffer.allocateDirect(bytes);
        while (text.hasRemaining()) {
            byte[] word = ("word" + random.nextInt(500) + " ").getBytes(java.nio.charset.StandardCharsets.US_ASCII);
            text.put(word, 0, Math.min(word.length, text.remaining()));
        }
        return text.flip();
    }
}
