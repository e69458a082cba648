package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OverlayTest {

    private static final int VOLUME_BYTES = 512;

    private final Map<Long, byte[]> payloads = new HashMap<>();
    private final byte[] image = new byte[VOLUME_BYTES];
    private final Overlay overlay = new Overlay(position ->
            ByteBuffer.wrap(payloads.getOrDefault(position, new byte[0])).asReadOnlyBuffer());

    @Test
    void readsTheImageWhereNothingIsShown() throws IOException {
        Arrays.fill(image, (byte) 7);

        byte[] read = read(0, VOLUME_BYTES);

        assertThat(read).containsOnly(7);
    }

    @Test
    void showsTheNewerRecordWithinTheOlderOne() throws IOException {
        add(0, 100, 0, 1);
        add(40, 20, 128, 2);

        byte[] read = read(0, 128);

        assertThat(Arrays.copyOfRange(read, 0, 40)).containsOnly(1);
        assertThat(Arrays.copyOfRange(read, 40, 60)).containsOnly(2);
        assertThat(Arrays.copyOfRange(read, 60, 100)).containsOnly(1);
        assertThat(Arrays.copyOfRange(read, 100, 128)).containsOnly(0);
    }

    @Test
    void anAppliedRecordTakesOnlyItsOwnPiecesAlong() throws IOException {
        add(0, 100, 0, 1);
        add(40, 20, 128, 2);
        Arrays.fill(image, 0, 100, (byte) 1);

        overlay.applied(0, 100, 0);

        byte[] read = read(0, 128);
        assertThat(Arrays.copyOfRange(read, 40, 60)).containsOnly(2);
        assertThat(Arrays.copyOfRange(read, 60, 100)).containsOnly(1);
    }

    @Test
    void fillsABufferFromItsPositionToItsLimit() throws IOException {
        add(10, 10, 0, 1);
        ByteBuffer into = ByteBuffer.allocate(40).position(5).limit(30);

        overlay.read(5, into, this::below);

        assertThat(into.hasRemaining()).isFalse();
        assertThat(Arrays.copyOfRange(into.array(), 10, 20)).containsOnly(1);
        assertThat(into.get(4)).isZero();
        assertThat(into.get(20)).isZero();
    }

    @Test
    void zeroesHideOlderBytesInTheImageAndInRecords() throws IOException {
        Arrays.fill(image, (byte) 9);
        add(0, 64, 0, 1);

        overlay.add(32, 64, 128, true);

        assertThat(Arrays.copyOfRange(read(0, 128), 32, 96)).containsOnly(0);
        assertThat(read(96, 8)).containsOnly(9);
    }

    /**
     * Records are committed, applied in order and read at random; what is read is always what the committed records make
     * of the volume, byte by byte.
     */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void readsWhatAllCommittedRecordsMakeOfTheVolume(long number) throws IOException {
        long seed = Long.getLong("seed", number);
        Random random = new Random(seed);
        byte[] expected = new byte[VOLUME_BYTES];
        record Pending(int offset, int length, long position, boolean zeroes) {}
        ArrayDeque<Pending> pending = new ArrayDeque<>();
        long position = 0;

        for (int step = 0; step < 4_000; step++) {
            switch (random.nextInt(5)) {
                case 0, 1 -> {
                    int offset = random.nextInt(VOLUME_BYTES);
                    int length = 1 + random.nextInt(Math.min(VOLUME_BYTES - offset, 1 << random.nextInt(10)));
                    boolean zeroes = random.nextInt(4) == 0;
                    byte[] payload = new byte[length];
                    if (!zeroes) {
                        random.nextBytes(payload);
                        payloads.put(position, payload);
                    }
                    System.arraycopy(payload, 0, expected, offset, length);
                    overlay.add(offset, length, position, zeroes);
                    pending.add(new Pending(offset, length, position, zeroes));
                    position += 128 + length;
                }
                case 2 -> {
                    if (!pending.isEmpty()) {
                        Pending p = pending.remove();
                        byte[] payload = p.zeroes() ? new byte[p.length()] : payloads.get(p.position());
                        System.arraycopy(payload, 0, image, p.offset(), p.length());
                        overlay.applied(p.offset(), p.length(), p.position());
                        payloads.remove(p.position());
                    }
                }
                default -> {
                    int offset = random.nextInt(VOLUME_BYTES);
                    int length = 1 + random.nextInt(VOLUME_BYTES - offset);
                    assertThat(read(offset, length))
                            .as("seed %d, step %d, [%d, %d)", seed, step, offset, offset + length)
                            .isEqualTo(Arrays.copyOfRange(expected, offset, offset + length));
                }
            }
        }
    }

    private void add(int offset, int length, long position, int value) {
        byte[] payload = new byte[length];
        Arrays.fill(payload, (byte) value);
        payloads.put(position, payload);
        overlay.add(offset, length, position, false);
    }

    private byte[] read(int offset, int length) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(length);
        overlay.read(offset, into, this::below);
        return into.array();
    }

    private void below(long offset, ByteBuffer into) {
        into.put(image, (int) offset, into.remaining());
    }
}
