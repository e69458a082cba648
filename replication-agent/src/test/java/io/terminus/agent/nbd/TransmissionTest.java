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
                requestBytes(Wire.CMD_WRITE_ZEROES, Wire.CMD_FLAG_FAST_ZERO, 8, 0, 1));

        assertThat(recorder.said)
                .containsExactly(
                        "refuse read 1 INVALID",
                        "read 2 0 1",
                        "refuse 3 INVALID",
                        "refuse 4 INVALID",
                        "refuse 5 INVALID",
                        "refuse 6 INVALID",
                        "refuse 7 UNSUPPORTED",
                        "zero 8 0 1 punch");
    }

    @Test
    void dontFragmentNeedsStructuredReplies() {
        Transmission simple = new Transmission(SIZE, false, recorder);

        simple.advance(ByteBuffer.wrap(requestBytes(Wire.CMD_READ, Wire.CMD_FLAG_DF, 1, 0, 1)));

        assertThat(recorder.said).containsExactly("refuse read 1 INVALID");
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
        Transmission transmission = new Transmission(1L << 40, true, recorder);

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
        Transmission transmission = new Transmission(SIZE, true, recorder);
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
        Transmission transmission = new Transmission(SIZE, true, recorder);
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
        long seed = Long.getLong("seed", System.nanoTime());
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            byte[] stream = randomStream(random);
            List<String> whole = playInSteps(stream, stream.length);

            for (int i = 0; i < 20; i++) {
                int step = 1 + random.nextInt(stream.length);
                assertThat(playInSteps(stream, step))
                        .as("seed %d, step %d", seed, step)
                        .isEqualTo(whole);
            }
            assertThat(playInSteps(stream, 1)).as("seed %d, byte by byte", seed).isEqualTo(whole);
        }
    }

    @Test
    void mutatedStreamsHandOnOnlyWhatIsInside() {
        long seed = Long.getLong("seed", System.nanoTime());
        Random random = new Random(seed);
        for (int round = 0; round < 20_000; round++) {
            byte[] stream = randomStream(random);
            for (int i = 0; i < 3; i++) {
                stream[random.nextInt(stream.length)] = (byte) random.nextInt();
            }
            try {
                playInSteps(stream, 1 + random.nextInt(stream.length)); // the recorder checks the ranges
            } catch (RuntimeException | AssertionError e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
    }

    // ---- fixtures

    private static byte[] randomStream(Random random) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int count = 1 + random.nextInt(8);
        for (int i = 0; i < count; i++) {
            int command = random.nextInt(9);
            command = command == Wire.CMD_DISC ? Wire.CMD_WRITE : command;
            int flags = random.nextInt(4) == 0 ? random.nextInt(32) : 0;
            int length = random.nextInt(100);
            long offset = random.nextInt(10) == 0 ? SIZE - 50 : random.nextInt(SIZE - 100);
            byte[] payload = new byte[command == Wire.CMD_WRITE ? length : 0];
            random.nextBytes(payload);
            out.writeBytes(requestBytes(command, flags, i, offset, length, payload));
        }
        return out.toByteArray();
    }

    private Progress play(byte[]... requests) {
        return new Transmission(SIZE, true, recorder).advance(ByteBuffer.wrap(join(requests)));
    }

    private static List<String> playInSteps(byte[] stream, int stepBytes) {
        Recorder recorder = new Recorder();
        Transmission transmission = new Transmission(SIZE, true, recorder);
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
        public void read(long clientCookie, long offset, int lengthBytes) {
            checkInside(offset, lengthBytes);
            said.add("read " + clientCookie + " " + offset + " " + lengthBytes);
        }

        @Override
        public void nothing(long clientCookie, boolean read) {
            said.add("nothing " + (read ? "read " : "") + clientCookie);
        }

        @Override
        public void refuse(long clientCookie, boolean read, Failure why) {
            said.add("refuse " + (read ? "read " : "") + clientCookie + " " + why);
        }

        private static void checkInside(long offset, long lengthBytes) {
            assertThat(offset).isBetween(0L, (long) SIZE);
            assertThat(lengthBytes).isBetween(1L, SIZE - offset);
        }
    }
}
