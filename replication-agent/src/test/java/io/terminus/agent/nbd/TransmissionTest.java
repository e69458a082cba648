package io.terminus.agent.nbd;

import static io.terminus.agent.nbd.NbdTestClient.requestBytes;
import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.nbd.Transmission.Progress;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class TransmissionTest {

    private static final int SIZE = 1 << 20;

    /** Of the protocol, and not offered. */
    private static final int RESIZE = 8;

    private final Recorder recorder = new Recorder();

    @Test
    void requestsAreHandedOnWhole() {
        play(
                requestBytes(Wire.CMD_WRITE, Wire.CMD_FLAG_FUA, 1, 4096, 3, bytes(7, 8, 9)),
                requestBytes(Wire.CMD_READ, 0, 2, 1, 2),
                requestBytes(Wire.CMD_FLUSH, 0, 3, 0, 0),
                requestBytes(Wire.CMD_TRIM, 0, 4, 512, 512),
                requestBytes(Wire.CMD_WRITE_ZEROES, Wire.CMD_FLAG_NO_HOLE, 5, 0, SIZE));

        assertThat(recorder.said)
                .containsExactly(
                        "write 1 4096 [7, 8, 9] fua",
                        "read 2 1 2",
                        "flush 3",
                        "zero 4 512 512 punch",
                        "zero 5 0 1048576");
    }

    @Test
    void whatLiesOutsideIsRefusedByTheRuleOfItsCommand() {
        play(
                requestBytes(Wire.CMD_READ, 0, 1, SIZE, 1),
                requestBytes(Wire.CMD_TRIM, 0, 2, SIZE - 1, 2),
                requestBytes(Wire.CMD_WRITE, 0, 3, SIZE - 1, 2, bytes(1, 2)),
                requestBytes(Wire.CMD_WRITE_ZEROES, 0, 4, SIZE + 1L, 0),
                requestBytes(Wire.CMD_READ, 0, 5, -1, 1),
                requestBytes(Wire.CMD_READ, 0, 6, Long.MAX_VALUE, 1),
                requestBytes(Wire.CMD_READ, 0, 7, 0, SIZE));

        assertThat(recorder.said)
                .containsExactly(
                        "refuse read 1 INVALID",
                        "refuse 2 INVALID",
                        "refuse 3 NO_SPACE",
                        "refuse 4 NO_SPACE",
                        "refuse read 5 INVALID",
                        "refuse read 6 INVALID",
                        "read 7 0 1048576");
    }

    @Test
    void flagsAndCommandsNotKnownAreRefused() {
        play(
                requestBytes(Wire.CMD_READ, 1 << 9, 1, 0, 1),
                requestBytes(Wire.CMD_READ, Wire.CMD_FLAG_DF, 2, 0, 1),
                requestBytes(Wire.CMD_WRITE, Wire.CMD_FLAG_NO_HOLE, 3, 0, 1, bytes(1)),
                requestBytes(7, 0, 4, 0, 1),
                requestBytes(4711, 0, 5, 0, 1),
                requestBytes(Wire.CMD_FLUSH, 0, 6, 1, 0),
                requestBytes(Wire.CMD_WRITE_ZEROES, Wire.CMD_FLAG_NO_HOLE | Wire.CMD_FLAG_FAST_ZERO, 7, 0, 1),
                requestBytes(Wire.CMD_WRITE_ZEROES, Wire.CMD_FLAG_FAST_ZERO, 8, 0, 1),
                requestBytes(RESIZE, 0, 9, 0, SIZE));

        assertThat(recorder.said)
                .containsExactly(
                        "refuse read 1 INVALID",
                        "read 2 0 1 whole",
                        "refuse 3 INVALID",
                        "refuse read 4 INVALID",
                        "refuse 5 INVALID",
                        "refuse 6 INVALID",
                        "refuse 7 UNSUPPORTED",
                        "zero 8 0 1 punch",
                        "refuse 9 INVALID");
    }

    @Test
    void whoWritesToAReadOnlyExportIsNotPermittedAndReadsOn() {
        byte[] requests = join(
                requestBytes(Wire.CMD_TRIM, 0, 1, 0, 1),
                requestBytes(Wire.CMD_WRITE_ZEROES, 0, 2, 0, 1),
                requestBytes(Wire.CMD_WRITE, 0, 3, 0, 4),
                new byte[4],
                requestBytes(Wire.CMD_READ, 0, 4, 0, 1));

        new Transmission(SIZE, true, Dialect.STRUCTURED, false, recorder).advance(ByteBuffer.wrap(requests));

        assertThat(recorder.said)
                .containsExactly(
                        "refuse 1 NOT_PERMITTED", "refuse 2 NOT_PERMITTED", "refuse 3 NOT_PERMITTED", "read 4 0 1");
    }

    @Test
    void dontFragmentNeedsStructuredReplies() {
        Transmission simple = new Transmission(SIZE, Dialect.SIMPLE, false, recorder);

        simple.advance(ByteBuffer.wrap(requestBytes(Wire.CMD_READ, Wire.CMD_FLAG_DF, 1, 0, 1)));

        assertThat(recorder.said).containsExactly("refuse read 1 INVALID");
    }

    @Test
    void blocksMayBeAskedAboutOnceAContextIsSelected() {
        byte[] questions = join(
                requestBytes(Wire.CMD_BLOCK_STATUS, Wire.CMD_FLAG_REQ_ONE, 1, 4096, SIZE - 4096),
                requestBytes(Wire.CMD_BLOCK_STATUS, 0, 2, 0, SIZE),
                requestBytes(Wire.CMD_BLOCK_STATUS, 0, 3, 0, 0),
                requestBytes(Wire.CMD_BLOCK_STATUS, 0, 4, 1, SIZE));

        new Transmission(SIZE, Dialect.STRUCTURED, true, recorder).advance(ByteBuffer.wrap(questions));

        assertThat(recorder.said)
                .containsExactly(
                        "status 1 4096 1044480 one",
                        "status 2 0 1048576",
                        "refuse read 3 INVALID",
                        "refuse read 4 INVALID");
    }

    @Test
    void cacheIsForWhatIsInside() {
        play(
                requestBytes(Wire.CMD_CACHE, 0, 1, 512, 1024),
                requestBytes(Wire.CMD_CACHE, 0, 2, 512, 0),
                requestBytes(Wire.CMD_CACHE, 0, 3, SIZE, 1),
                requestBytes(Wire.CMD_CACHE, Wire.CMD_FLAG_DF, 4, 0, 1));

        assertThat(recorder.said)
                .containsExactly("cache 1 512 1024", "nothing 2", "refuse 3 INVALID", "refuse 4 INVALID");
    }

    @Test
    void extendedRequestsHaveLongLengthsAndSayWhetherAPayloadFollows() {
        long large = 1L << 40;
        byte[] stream = join(
                extended(Wire.CMD_WRITE_ZEROES, 0, 1, 5, large - 5),
                extended(Wire.CMD_TRIM, 0, 2, 1, large),
                extended(Wire.CMD_TRIM, 0, 3, 0, -1),
                extended(Wire.CMD_WRITE, Wire.CMD_FLAG_PAYLOAD_LEN, 4, 0, 2, bytes(1, 2)),
                extended(Wire.CMD_WRITE, 0, 5, 0, 1, bytes(3)), // not by the rules, but clear enough
                extended(Wire.CMD_READ, Wire.CMD_FLAG_PAYLOAD_LEN, 6, 0, 3, bytes(1, 2, 3)),
                extended(Wire.CMD_BLOCK_STATUS, Wire.CMD_FLAG_PAYLOAD_LEN, 7, 0, 1, bytes(1)),
                extended(4711, Wire.CMD_FLAG_PAYLOAD_LEN, 8, 0, 1, bytes(1)),
                extended(Wire.CMD_READ, 0, 9, 7, 1));

        new Transmission(large, Dialect.EXTENDED, true, recorder.anywhere()).advance(ByteBuffer.wrap(stream));

        assertThat(recorder.said)
                .containsExactly(
                        "zero 1 5 1099511627771 punch",
                        "refuse 2 INVALID",
                        "refuse 3 INVALID",
                        "write 4 0 [1, 2]",
                        "write 5 0 [3]",
                        "refuse read 6 INVALID",
                        "refuse read 7 INVALID",
                        "refuse 8 INVALID",
                        "read 9 7 1");
    }

    @Test
    void payloadThatNobodySendsInEarnestEndsTheConnection() {
        byte[] endless = extended(Wire.CMD_WRITE, Wire.CMD_FLAG_PAYLOAD_LEN, 1, 0, 1L << 32);
        byte[] negative = extended(4711, Wire.CMD_FLAG_PAYLOAD_LEN, 1, 0, -1);

        for (byte[] request : List.of(endless, negative)) {
            Transmission transmission = new Transmission(SIZE, Dialect.EXTENDED, true, recorder);

            assertThat(transmission.advance(ByteBuffer.wrap(request))).isEqualTo(Progress.BROKEN);
        }
        assertThat(recorder.said).isEmpty();
    }

    @Test
    void shortRequestIsNotForAnExtendedConversation() {
        Transmission extended = new Transmission(SIZE, Dialect.EXTENDED, true, recorder);

        byte[] request = Arrays.copyOf(requestBytes(Wire.CMD_READ, 0, 1, 0, 1), 32);

        assertThat(extended.advance(ByteBuffer.wrap(request))).isEqualTo(Progress.BROKEN);
    }

    @Test
    void emptyRequestsSucceedWithoutTheDevice() {
        play(
                requestBytes(Wire.CMD_READ, 0, 1, 0, 0),
                requestBytes(Wire.CMD_WRITE, 0, 2, 0, 0),
                requestBytes(Wire.CMD_TRIM, 0, 3, 0, 0));

        assertThat(recorder.said).containsExactly("nothing read 1", "nothing 2", "nothing 3");
    }

    @Test
    void refusedWriteIsSkippedToItsEndHoweverLong() {
        int tooLong = Wire.MOST_PAYLOAD_BYTES + 1;
        Transmission transmission = new Transmission(1L << 40, Dialect.STRUCTURED, false, recorder);

        transmission.advance(ByteBuffer.wrap(requestBytes(Wire.CMD_WRITE, 0, 1, 0, tooLong)));
        for (int left = tooLong; left > 0; left -= 1 << 20) {
            assertThat(recorder.said).isEmpty();
            transmission.advance(ByteBuffer.allocate(Math.min(left, 1 << 20)));
        }
        transmission.advance(ByteBuffer.wrap(requestBytes(Wire.CMD_READ, 0, 2, 0, 1)));

        assertThat(recorder.said).containsExactly("refuse 1 INVALID", "read 2 0 1");
    }

    @Test
    void goodbyeAndBadMagicStopTheReading() {
        assertThat(play(requestBytes(Wire.CMD_DISC, 0, 0, 0, 0), requestBytes(Wire.CMD_READ, 0, 1, 0, 1)))
                .isEqualTo(Progress.GOODBYE);
        assertThat(play(new byte[28])).isEqualTo(Progress.BROKEN);
        assertThat(recorder.said).isEmpty();
    }

    @Test
    void shutdownRefusesAllButGoodbye() {
        Transmission transmission = new Transmission(SIZE, Dialect.STRUCTURED, false, recorder);
        transmission.shutDown();

        Progress progress = transmission.advance(ByteBuffer.wrap(join(
                requestBytes(Wire.CMD_WRITE, 0, 1, 0, 1, bytes(1)),
                requestBytes(Wire.CMD_READ, 0, 2, 0, 1),
                requestBytes(Wire.CMD_FLUSH, 0, 3, 0, 0),
                requestBytes(Wire.CMD_DISC, 0, 4, 0, 0))));

        assertThat(recorder.said).containsExactly("refuse 1 SHUTDOWN", "refuse read 2 SHUTDOWN", "refuse 3 SHUTDOWN");
        assertThat(progress).isEqualTo(Progress.GOODBYE);
    }

    @Test
    void requestThatIsNotAdmittedStaysInTheInput() {
        Transmission transmission = new Transmission(SIZE, Dialect.STRUCTURED, false, recorder);
        ByteBuffer in = ByteBuffer.wrap(
                join(requestBytes(Wire.CMD_FLUSH, 0, 1, 0, 0), requestBytes(Wire.CMD_WRITE, 0, 2, 0, 1, bytes(5))));
        recorder.admitted = 1;

        assertThat(transmission.advance(in)).isEqualTo(Progress.BUSY);
        assertThat(in.remaining()).isEqualTo(29);
        recorder.admitted = 1;

        assertThat(transmission.advance(in)).isEqualTo(Progress.NEED_MORE);
        assertThat(recorder.said).containsExactly("flush 1", "write 2 0 [5]");
    }

    @Test
    void everySplitOfAStreamSaysTheSame() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            Dialect dialect = Dialect.values()[round % 3];
            byte[] stream = randomStream(random, dialect);
            List<String> whole = playInSteps(stream, stream.length, dialect);

            for (int i = 0; i < 20; i++) {
                int step = 1 + random.nextInt(stream.length);
                assertThat(playInSteps(stream, step, dialect))
                        .as("seed %d, %s in steps of %d", seed, dialect, step)
                        .isEqualTo(whole);
            }
            assertThat(playInSteps(stream, 1, dialect))
                    .as("seed %d, %s byte by byte", seed, dialect)
                    .isEqualTo(whole);
        }
    }

    @Test
    void mutatedStreamsHandOnOnlyWhatIsInside() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        for (int round = 0; round < 20_000; round++) {
            Dialect dialect = Dialect.values()[round % 3];
            byte[] stream = randomStream(random, dialect);
            for (int i = 0; i < 3; i++) {
                stream[random.nextInt(stream.length)] = (byte) random.nextInt();
            }
            try {
                playInSteps(stream, 1 + random.nextInt(stream.length), dialect); // the recorder checks the ranges
            } catch (RuntimeException | AssertionError e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
    }

    // ---- fixtures

    private static byte[] extended(
            int command, int flags, long cookie, long offset, long lengthBytes, byte... payload) {
        return NbdTestClient.extendedRequestBytes(command, flags, cookie, offset, lengthBytes, payload);
    }

    private static byte[] randomStream(Random random, Dialect dialect) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int count = 1 + random.nextInt(8);
        for (int i = 0; i < count; i++) {
            int command = random.nextInt(9);
            command = command == Wire.CMD_DISC ? Wire.CMD_WRITE : command;
            int flags = random.nextInt(4) == 0 ? random.nextInt(32) : 0;
            int length = random.nextInt(100);
            long offset = random.nextInt(10) == 0 ? SIZE - 50 : random.nextInt(SIZE - 100);
            boolean extended = dialect == Dialect.EXTENDED;
            if (command == Wire.CMD_WRITE && extended) {
                flags |= Wire.CMD_FLAG_PAYLOAD_LEN;
            } else if (extended && random.nextInt(4) == 0) {
                flags |= Wire.CMD_FLAG_PAYLOAD_LEN;
            }
            boolean withPayload = command == Wire.CMD_WRITE || (extended && (flags & Wire.CMD_FLAG_PAYLOAD_LEN) != 0);
            byte[] payload = new byte[withPayload ? length : 0];
            random.nextBytes(payload);
            out.writeBytes(
                    extended
                            ? extended(command, flags, i, offset, length, payload)
                            : requestBytes(command, flags, i, offset, length, payload));
        }
        return out.toByteArray();
    }

    private Progress play(byte[]... requests) {
        return new Transmission(SIZE, Dialect.STRUCTURED, false, recorder).advance(ByteBuffer.wrap(join(requests)));
    }

    private static List<String> playInSteps(byte[] stream, int stepBytes, Dialect dialect) {
        Recorder recorder = new Recorder();
        Transmission transmission = new Transmission(SIZE, dialect, dialect != Dialect.SIMPLE, recorder);
        ByteBuffer staged = ByteBuffer.allocate(stream.length);
        for (int at = 0; at < stream.length; at += stepBytes) {
            staged.put(stream, at, Math.min(stepBytes, stream.length - at)).flip();
            Progress progress = transmission.advance(staged);
            if (progress != Progress.NEED_MORE) {
                recorder.said.add(progress.toString());
                break;
            }
            assertThat(transmission.neededBytes()).isGreaterThan(staged.remaining());
            staged.compact();
        }
        return recorder.said;
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    private static final class Recorder implements Transmission.Requests {
        final List<String> said = new ArrayList<>();
        int admitted = Integer.MAX_VALUE;
        long sizeBytes = SIZE;

        Recorder anywhere() {
            sizeBytes = Long.MAX_VALUE;
            return this;
        }

        @Override
        public boolean admits(int payloadBytes) {
            return admitted-- > 0;
        }

        @Override
        public void write(long clientCookie, long offset, ByteBuffer payload, boolean fua) {
            checkInside(offset, payload.remaining());
            byte[] data = new byte[payload.remaining()];
            payload.get(data);
            said.add("write " + clientCookie + " " + offset + " " + Arrays.toString(data) + (fua ? " fua" : ""));
        }

        @Override
        public void zero(long clientCookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            checkInside(offset, lengthBytes);
            said.add("zero " + clientCookie + " " + offset + " " + lengthBytes + (fua ? " fua" : "")
                    + (mayPunch ? " punch" : ""));
        }

        @Override
        public void flush(long clientCookie) {
            said.add("flush " + clientCookie);
        }

        @Override
        public void read(long clientCookie, long offset, int lengthBytes, boolean whole) {
            checkInside(offset, lengthBytes);
            said.add("read " + clientCookie + " " + offset + " " + lengthBytes + (whole ? " whole" : ""));
        }

        @Override
        public void status(long clientCookie, long offset, long lengthBytes, boolean one) {
            checkInside(offset, lengthBytes);
            said.add("status " + clientCookie + " " + offset + " " + lengthBytes + (one ? " one" : ""));
        }

        @Override
        public void cache(long clientCookie, long offset, long lengthBytes) {
            checkInside(offset, lengthBytes);
            said.add("cache " + clientCookie + " " + offset + " " + lengthBytes);
        }

        @Override
        public void nothing(long clientCookie, long offset, boolean chunked) {
            said.add("nothing " + (chunked ? "read " : "") + clientCookie);
        }

        @Override
        public void refuse(long clientCookie, long offset, boolean chunked, Failure why) {
            said.add("refuse " + (chunked ? "read " : "") + clientCookie + " " + why);
        }

        private void checkInside(long offset, long lengthBytes) {
            assertThat(offset).isBetween(0L, sizeBytes);
            assertThat(lengthBytes).isBetween(1L, sizeBytes - offset);
        }
    }
}
