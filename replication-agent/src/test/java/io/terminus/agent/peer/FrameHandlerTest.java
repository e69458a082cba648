package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.volume.RefusedException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class FrameHandlerTest {

    /** What a connection was told, in order; the bytes of a run in one piece, however they came. */
    private static final class Told extends FrameHandler {

        final List<String> calls = new ArrayList<>();
        final ByteArrayOutputStream run = new ByteArrayOutputStream();
        private final int mostPerLanding;
        private @Nullable ByteBuffer landing;
        private long expected;
        int left;
        boolean ended;

        Told(int mostPerLanding) {
            this.mostPerLanding = mostPerLanding;
        }

        @Override
        void frame(Frame type, ByteBuffer body) {
            byte[] bytes = new byte[body.remaining()];
            body.get(bytes);
            calls.add(type + " " + bytes.length + " " + java.util.Arrays.hashCode(bytes));
        }

        @Override
        void run(long from, int bytes, long committed, long syncUpTo, long floor) {
            calls.add("run from " + from + ": " + bytes + ", " + committed + ", " + syncUpTo + ", " + floor);
            expected = from;
            left = bytes;
        }

        @Override
        ByteBuffer land(long position, int atMost) {
            assertThat(position).isEqualTo(expected);
            assertThat(atMost).isBetween(1, left);
            ByteBuffer to = ByteBuffer.allocate(Math.min(atMost, mostPerLanding));
            landing = to;
            return to;
        }

        @Override
        void landed(int bytes) {
            ByteBuffer from = landing;
            if (from == null) {
                throw new IllegalStateException("landed without a landing");
            }
            assertThat(bytes).isEqualTo(from.position()).isPositive();
            run.write(from.array(), 0, bytes);
            expected += bytes;
            left -= bytes;
            if (left == 0) {
                calls.add(
                        "landed " + HexFormat.of().formatHex(run.toByteArray()).hashCode());
                run.reset();
            }
        }

        @Override
        void handled() {}

        @Override
        void refused(RefusedException why) {
            calls.add("refused");
            ended = true;
        }

        @Override
        public void closed(String why, @Nullable Throwable failure) {}
    }

    @Test
    void everySplitOfAStreamGivesTheSameCalls() throws IOException {
        byte[] stream = stream(1, 700);
        List<String> expected = told(stream, n -> stream.length, Integer.MAX_VALUE).calls;
        assertThat(expected).hasSize(14).doesNotContain("refused");

        for (int at = 1; at < stream.length; at++) {
            int split = at;
            assertThat(told(stream, n -> n < split ? split - n : stream.length, Integer.MAX_VALUE).calls)
                    .as("split at %d", at)
                    .isEqualTo(expected);
        }
        assertThat(told(stream, n -> 1, Integer.MAX_VALUE).calls).isEqualTo(expected);
        assertThat(told(stream, n -> 1, 3).calls).isEqualTo(expected);
    }

    @Test
    void framesAndRunsLargerThanTheStagingBufferComeWhole() throws IOException {
        long seed = Long.getLong("seed", System.nanoTime());
        Random random = new Random(seed);
        byte[] stream = stream(2, 300_000);
        List<String> expected = told(stream, n -> stream.length, Integer.MAX_VALUE).calls;

        for (int i = 0; i < 60; i++) {
            int most = 1 << (6 + random.nextInt(13));
            List<String> calls = told(stream, n -> 1 + random.nextInt(most), 1 << (8 + random.nextInt(12))).calls;

            assertThat(calls).as("seed %d", seed).isEqualTo(expected).doesNotContain("refused");
        }
    }

    @Test
    void randomBytesAreRefusedNeverWorse() throws IOException {
        long seed = Long.getLong("seed", System.nanoTime());
        Random random = new Random(seed);

        for (int i = 0; i < 2_000; i++) {
            byte[] noise = new byte[Frame.HEADER_BYTES + random.nextInt(600)];
            random.nextBytes(noise);

            Told told = told(noise, n -> 1 + random.nextInt(100), Integer.MAX_VALUE);

            assertThat(told.calls).as("seed %d", seed).containsExactly("refused");
        }
    }

    @Test
    void mutatedStreamsAreRefusedOrCarryOtherRunBytes() throws IOException {
        long seed = Long.getLong("seed", System.nanoTime());
        Random random = new Random(seed);
        byte[] stream = stream(3, 300);
        List<String> good = told(stream, n -> stream.length, Integer.MAX_VALUE).calls;

        for (int i = 0; i < 20_000; i++) {
            byte[] bad = stream.clone();
            int at = random.nextInt(bad.length);
            bad[at] ^= (byte) (1 << random.nextInt(8));
            Told told = told(bad, n -> 1 + random.nextInt(200), 1 + random.nextInt(500));

            for (int c = 0; c < told.calls.size(); c++) {
                String call = told.calls.get(c);
                if (call.equals("refused")) {
                    assertThat(c).as("seed %d, byte %d", seed, at).isEqualTo(told.calls.size() - 1);
                } else if (!call.startsWith("landed")) {
                    assertThat(call).as("seed %d, byte %d", seed, at).isEqualTo(good.get(c));
                }
            }
        }
    }

    @Test
    void anOversizedBodyIsRefusedBeforeItIsWaitedFor() throws IOException {
        ByteBuffer b = Frame.CONFIG.begin(8).putInt(8, Frame.MAX_BODY_BYTES + 1).putLong(1);
        byte[] stream = new byte[b.flip().remaining()];
        b.get(stream);

        Told told = told(stream, n -> stream.length, Integer.MAX_VALUE);

        assertThat(told.calls).containsExactly("refused");
    }

    @Test
    void runsWithoutBytesAreRefused() throws IOException {
        for (int bytes : new int[] {0, -1, Integer.MIN_VALUE}) {
            ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
            b.putLong(0).putInt(bytes).putInt(0).putLong(0).putLong(0).putLong(0);
            byte[] stream = new byte[Frame.seal(b).remaining()];
            b.get(stream);

            Told told = told(stream, n -> stream.length, Integer.MAX_VALUE);

            assertThat(told.calls).containsExactly("refused");
        }
    }

    /** Hands the stream over in pieces; how long the one that begins at a place may be is the caller's. */
    private static Told told(byte[] stream, IntUnaryOperator pieces, int mostPerLanding) throws IOException {
        Told told = new Told(mostPerLanding);
        int at = 0;
        while (at < stream.length && !told.ended) {
            int pieceEnd = (int) Math.min(stream.length, (long) at + pieces.applyAsInt(at));
            while (at < pieceEnd && !told.ended) {
                ByteBuffer into = told.readInto();
                assertThat(into.hasRemaining()).as("room for more, at %d", at).isTrue();
                int n = Math.min(into.remaining(), pieceEnd - at);
                into.put(stream, at, n);
                at += n;
                told.received();
            }
        }
        return told;
    }

    /** Frames of all kinds around runs, some of them back to back. */
    private static byte[] stream(long seed, int largestBytes) {
        Random random = new Random(seed);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        put(out, Frame.HELLO.of(noise(random, largestBytes / 3)));
        put(out, Frame.STATUS.of(noise(random, Frame.STATUS_BODY_BYTES)));
        run(out, random, 128);
        run(out, random, largestBytes);
        put(out, Frame.CONFIG.of(noise(random, Math.min(8 + largestBytes, Frame.MAX_BODY_BYTES))));
        run(out, random, 1);
        put(out, Frame.ACK.of(noise(random, Frame.ACK_BODY_BYTES)));
        put(out, Frame.REFUSED.of(noise(random, 0)));
        put(out, Frame.FETCH.of(noise(random, 40)));
        run(out, random, largestBytes / 2);
        return out.toByteArray();
    }

    private static void run(ByteArrayOutputStream out, Random random, int bytes) {
        ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
        b.putLong(random.nextLong(1L << 40)).putInt(bytes).putInt(0);
        b.putLong(random.nextLong()).putLong(random.nextLong()).putLong(random.nextLong());
        put(out, Frame.seal(b));
        out.writeBytes(noise(random, bytes));
    }

    private static byte[] noise(Random random, int bytes) {
        byte[] noise = new byte[bytes];
        random.nextBytes(noise);
        return noise;
    }

    private static void put(ByteArrayOutputStream out, ByteBuffer b) {
        byte[] bytes = new byte[b.remaining()];
        b.get(bytes);
        out.writeBytes(bytes);
    }
}
