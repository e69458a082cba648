package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.luben.zstd.Zstd;
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
        private @Nullable RunUnpacker unpacker = new RunUnpacker(new ZstdCodec());
        int left;
        boolean ended;
        String why = "";

        Told(int mostPerLanding) {
            this.mostPerLanding = mostPerLanding;
        }

        @Override
        @Nullable
        RunUnpacker unpacker() {
            return unpacker;
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
            this.why = String.valueOf(why.getMessage());
            ended = true;
        }

        @Override
        public void closed(String why, @Nullable Throwable failure) {}
    }

    @Test
    void everySplitOfAStreamGivesTheSameCalls() throws IOException {
        byte[] stream = stream(1, 700);
        List<String> expected = told(stream, n -> stream.length, Integer.MAX_VALUE).calls;
        assertThat(expected).hasSize(16).doesNotContain("refused");

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
        long seed = Long.getLong("terminus.seed", 1);
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
        long seed = Long.getLong("terminus.seed", 1);
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
        long seed = Long.getLong("terminus.seed", 1);
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
    void runsWithoutBytesOrWithTooManyAreRefused() throws IOException {
        for (int bytes : new int[] {0, -1, Integer.MIN_VALUE, FrameHandler.MAX_RUN_BYTES + 1, Integer.MAX_VALUE}) {
            ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
            b.putLong(0).putInt(bytes).putInt(0).putLong(0).putLong(0).putLong(0);
            byte[] stream = new byte[Frame.seal(b).remaining()];
            b.get(stream);

            Told told = told(stream, n -> stream.length, Integer.MAX_VALUE);

            assertThat(told.calls).containsExactly("refused");
        }
    }

    @Test
    void aPackedRunLandsAsItWasPacked() throws IOException {
        byte[] plain = new byte[50_000];
        for (int i = 0; i < plain.length; i++) {
            plain[i] = (byte) (i / 100);
        }
        ByteArrayOutputStream raw = new ByteArrayOutputStream();
        ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
        b.putLong(4_096)
                .putInt(plain.length)
                .putInt(0)
                .putLong(128)
                .putLong(256)
                .putLong(0);
        put(raw, Frame.seal(b));
        raw.writeBytes(plain);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        packed(packed, plain, plain.length);

        Told told = told(packed.toByteArray(), n -> 7, 1_000);

        assertThat(packed.size()).isLessThan(5_000);
        assertThat(told.calls).isEqualTo(told(raw.toByteArray(), n -> 7, 1_000).calls);
    }

    @Test
    void aPackedRunThatIsNotWhatItsFrameSaysIsRefusedAndNothingOfItLands() throws IOException {
        int most = RunPacker.MAX_RUN_BYTES;
        byte[][] plains = {new byte[5_000], new byte[5_000], new byte[64 << 20], new byte[most + 1], new byte[0]};
        int[] said = {4_999, 5_001, most, most + 1, 1};
        for (int i = 0; i < plains.length; i++) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            packed(out, plains[i], said[i]);

            Told told = told(out.toByteArray(), n -> 1_000, Integer.MAX_VALUE);

            assertThat(told.calls).as("case %d", i).hasSize(2).last().isEqualTo("refused");
            assertThat(told.why).contains("packed run").contains(String.valueOf(said[i]));
        }
    }

    @Test
    void noiseInPlaceOfAPackedRunIsRefused() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);

        for (int i = 0; i < 2_000; i++) {
            byte[] zstd = Zstd.compress(noise(random, 3_000), 1);
            for (int flips = random.nextInt(1, 5); flips > 0; flips--) {
                zstd[random.nextInt(Math.min(12, zstd.length))] = (byte) random.nextInt();
            }
            ByteBuffer b = Frame.PACKED.begin(Frame.RUN_BODY_BYTES + zstd.length);
            b.putLong(0)
                    .putInt(3_000)
                    .putInt(zstd.length)
                    .putLong(0)
                    .putLong(0)
                    .putLong(0)
                    .put(zstd);
            byte[] stream = new byte[Frame.seal(b).remaining()];
            b.get(stream);

            Told told = told(stream, n -> stream.length, Integer.MAX_VALUE);

            assertThat(told.calls.size()).as("seed %d", seed).isEqualTo(2);
        }
    }

    @Test
    void packedRunsAreRefusedWhereTheyWereNotAgreedOn() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        packed(out, new byte[5_000], 5_000);
        Told told = new Told(Integer.MAX_VALUE);
        told.unpacker = null;

        handOver(told, out.toByteArray(), n -> 1_000);

        assertThat(told.why).contains("not agreed on");
    }

    @Test
    void whatIsCommittedIsARecordsEnd() throws IOException {
        ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
        b.putLong(0).putInt(128).putInt(0).putLong(130).putLong(0).putLong(0);
        byte[] stream = new byte[Frame.seal(b).remaining()];
        b.get(stream);

        Told told = told(stream, n -> stream.length, Integer.MAX_VALUE);

        assertThat(told.why).isEqualTo("committed 130 is no multiple of 128, where records begin");
    }

    /** Hands the stream over in pieces; how long the one that begins at a place may be is the caller's. */
    private static Told told(byte[] stream, IntUnaryOperator pieces, int mostPerLanding) throws IOException {
        Told told = new Told(mostPerLanding);
        handOver(told, stream, pieces);
        assertThat(told.taken()).isLessThanOrEqualTo(stream.length);
        if (!told.ended) {
            assertThat(told.taken()).isEqualTo(stream.length);
        }
        return told;
    }

    private static void handOver(Told told, byte[] stream, IntUnaryOperator pieces) throws IOException {
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
        packed(
                out,
                new byte[Math.min(largestBytes, RunPacker.MAX_RUN_BYTES)],
                Math.min(largestBytes, RunPacker.MAX_RUN_BYTES));
        run(out, random, largestBytes / 2);
        return out.toByteArray();
    }

    private static void run(ByteArrayOutputStream out, Random random, int bytes) {
        ByteBuffer b = Frame.RUN.begin(Frame.RUN_BODY_BYTES);
        b.putLong(random.nextLong(1L << 40)).putInt(bytes).putInt(0);
        b.putLong(random.nextLong(1L << 40) * 128)
                .putLong(random.nextLong(1L << 40) * 128)
                .putLong(random.nextLong());
        put(out, Frame.seal(b));
        out.writeBytes(noise(random, bytes));
    }

    /** Bytes that shrink, packed as {@code runBytes} of them whatever they are. */
    private static void packed(ByteArrayOutputStream out, byte[] plain, int runBytes) {
        byte[] zstd = Zstd.compress(plain, 1);
        ByteBuffer b = Frame.PACKED.begin(Frame.RUN_BODY_BYTES + zstd.length);
        b.putLong(4_096).putInt(runBytes).putInt(zstd.length);
        b.putLong(128).putLong(256).putLong(0).put(zstd);
        put(out, Frame.seal(b));
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
