package io.terminus.agent.volume;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.NavigableMap;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.FutureTask;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OverlayTest {

    private static final int VOLUME_BYTES = 512;

    private record Written(int offset, int length, long position, byte @Nullable [] payload) {}

    private final NavigableMap<Long, Written> journal = new TreeMap<>();
    private final byte[] image = new byte[VOLUME_BYTES];
    private final Overlay overlay = new Overlay(new Overlay.Records() {
        @Override
        public void show(long from, long to) {
            journal.subMap(from, to)
                    .values()
                    .forEach(w -> overlay.add(w.offset(), w.length(), w.position(), w.payload() == null));
        }

        @Override
        public ByteBuffer payload(long position) {
            return ByteBuffer.wrap(
                            requireNonNull(requireNonNull(journal.get(position)).payload()))
                    .asReadOnlyBuffer();
        }
    });

    private final long begun = overlay.begin(0);

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
    void nothingThatIsCommittedDuringAReadAtOnePositionIsInIt() throws Exception {
        Arrays.fill(image, (byte) 7);
        add(0, 100, 0, 1);
        overlay.showTo(128);
        journal.put(128L, new Written(50, 100, 128, filled(100, 2)));
        ByteBuffer into = ByteBuffer.allocate(VOLUME_BYTES);
        FutureTask<@Nullable Void> shows = new FutureTask<>(() -> {
            overlay.showTo(256);
            return null;
        });
        Thread later = Thread.ofPlatform().unstarted(shows);

        long position = overlay.readAtOnce(
                0,
                into,
                (offset, gap) -> {
                    if (later.getState() == Thread.State.NEW) {
                        later.start();
                        await().until(() -> later.getState() == Thread.State.WAITING);
                    }
                    gap.put(image, (int) offset, gap.remaining());
                },
                0);

        assertThat(position).isEqualTo(128);
        assertThat(Arrays.copyOfRange(into.array(), 0, 100)).containsOnly(1);
        assertThat(Arrays.copyOfRange(into.array(), 100, VOLUME_BYTES)).containsOnly(7);
        shows.get();
        assertThat(Arrays.copyOfRange(read(0, VOLUME_BYTES), 50, 150)).containsOnly(2);
    }

    @Test
    void aReadAtOnePositionOfAnOverlayThatNobodyReadsIsTheImages() throws IOException {
        overlay.end(begun);
        Arrays.fill(image, (byte) 7);
        ByteBuffer into = ByteBuffer.allocate(VOLUME_BYTES);

        long position =
                overlay.readAtOnce(0, into, (offset, gap) -> gap.put(image, (int) offset, gap.remaining()), 384);

        assertThat(position).isEqualTo(384);
        assertThat(into.array()).containsOnly(7);
    }

    @Test
    void anAppliedRecordTakesOnlyItsOwnPiecesAlong() throws IOException {
        add(0, 100, 0, 1);
        add(40, 20, 128, 2);
        Arrays.fill(image, 0, 100, (byte) 1);

        overlay.applied(128);

        byte[] read = read(0, 128);
        assertThat(Arrays.copyOfRange(read, 40, 60)).containsOnly(2);
        assertThat(Arrays.copyOfRange(read, 60, 100)).containsOnly(1);
    }

    @Test
    void whatWasAppliedBeforeAnybodyReadIsLookedForInTheImageOnly() throws IOException {
        journal.put(0L, new Written(0, 100, 0, filled(100, 1)));
        Arrays.fill(image, 0, 100, (byte) 1);

        overlay.applied(128);
        journal.remove(0L);
        add(40, 20, 128, 2);

        assertThat(Arrays.copyOfRange(read(0, 100), 0, 40)).containsOnly(1);
        assertThat(read(40, 20)).containsOnly(2);
    }

    @Test
    void nothingIsShownOnceTheTermIsOver() throws IOException {
        add(0, 100, 0, 1);

        overlay.end(begun);
        overlay.showTo(128);

        assertThat(read(0, 100)).containsOnly(0);
    }

    @Test
    void whoEndsLateEndsNothingOfThoseWhoBeganSince() throws IOException {
        overlay.begin(0);

        overlay.end(begun);
        add(0, 100, 0, 1);

        assertThat(read(0, 100)).containsOnly(1);
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

        zero(32, 64, 128);

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
        long seed = Long.getLong("terminus.seed", number);
        Random random = new Random(seed);
        byte[] expected = new byte[VOLUME_BYTES];
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
                    }
                    System.arraycopy(payload, 0, expected, offset, length);
                    journal.put(position, new Written(offset, length, position, zeroes ? null : payload));
                    position += 128 + length;
                }
                case 2 -> {
                    int atOnce = random.nextInt(4);
                    for (int i = 0; i < atOnce && !journal.isEmpty(); i++) {
                        Written w = journal.firstEntry().getValue();
                        byte[] payload = w.payload() == null ? new byte[w.length()] : w.payload();
                        System.arraycopy(payload, 0, image, w.offset(), w.length());
                        overlay.applied(
                                journal.higherKey(w.position()) == null ? position : journal.higherKey(w.position()));
                        journal.remove(w.position()); // the segment is another one's now
                    }
                }
                default -> {
                    int offset = random.nextInt(VOLUME_BYTES);
                    int length = 1 + random.nextInt(VOLUME_BYTES - offset);
                    overlay.showTo(position);
                    assertThat(read(offset, length))
                            .as("seed %d, step %d, [%d, %d)", seed, step, offset, offset + length)
                            .isEqualTo(Arrays.copyOfRange(expected, offset, offset + length));
                }
            }
        }
    }

    private void add(int offset, int length, long position, int value) throws IOException {
        journal.put(position, new Written(offset, length, position, filled(length, value)));
        overlay.showTo(position + 128);
    }

    private void zero(int offset, int length, long position) throws IOException {
        journal.put(position, new Written(offset, length, position, null));
        overlay.showTo(position + 128);
    }

    private static byte[] filled(int length, int value) {
        byte[] payload = new byte[length];
        Arrays.fill(payload, (byte) value);
        return payload;
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
