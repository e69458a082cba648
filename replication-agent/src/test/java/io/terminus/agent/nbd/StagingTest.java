package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StagingTest {

    private static final int BASE_BYTES = 512 << 10;

    @Test
    void announcedBytesCostNothingBeforeTheyCome() {
        try (Staging staging = new Staging(BASE_BYTES)) {
            ByteBuffer room = staging.room(28);
            room.put(new byte[28]);

            room = staging.room(32 << 20);

            assertThat(room.hasRemaining()).isTrue();
            assertThat(staging.capacityBytes()).isEqualTo(BASE_BYTES);
        }
    }

    @Test
    void growsToTheLargestRequestAndShrinksBack() {
        int large = (32 << 20) + 28;
        try (Staging staging = new Staging(BASE_BYTES)) {
            int staged = 0;
            while (staged < large) {
                ByteBuffer room = staging.room(large);
                int now = Math.min(room.remaining(), large - staged);
                room.put(new byte[now]);
                staged += now;
                assertThat(staging.capacityBytes()).isLessThanOrEqualTo(Math.max(BASE_BYTES, 2 * staged));
            }
            ByteBuffer all = staging.staged();
            assertThat(all.remaining()).isEqualTo(large);

            staging.taken(all.position(large));
            staging.room(28);

            assertThat(staging.capacityBytes()).isEqualTo(BASE_BYTES);
        }
    }

    @Test
    void keepsAMiddlingSizeForAWhile() {
        int middling = (1 << 20) + 28;
        try (Staging staging = new Staging(BASE_BYTES)) {
            fill(staging, middling);
            int grown = staging.capacityBytes();
            for (int i = 0; i < 100; i++) {
                fill(staging, 28);
            }
            assertThat(staging.capacityBytes()).isEqualTo(grown);

            for (int i = 0; i < 1000; i++) {
                fill(staging, 28);
            }

            assertThat(staging.capacityBytes()).isEqualTo(BASE_BYTES);
        }
    }

    @Test
    void bytesComeOutAsTheyWentIn() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        try (Staging staging = new Staging(BASE_BYTES)) {
            long put = 0;
            long taken = 0;
            for (int i = 0; i < 150; i++) {
                int needed = 1 + random.nextInt(1 << 21);
                while (put - taken < needed) {
                    ByteBuffer room = staging.room(needed);
                    int now = 1 + random.nextInt(room.remaining());
                    // A mark at every 1009th place of the stream is enough to see a shift.
                    for (int at = 0; at < now; at++) {
                        if ((put + at) % 1009 == 0) {
                            room.put(room.position() + at, (byte) ((put + at) % 251));
                        }
                    }
                    room.position(room.position() + now);
                    put += now;
                }
                ByteBuffer staged = staging.staged();
                assertThat((long) staged.remaining()).as("seed %d", seed).isEqualTo(put - taken);
                int take = random.nextInt(staged.remaining() + 1);
                for (long at = (taken + 1008) / 1009 * 1009; at < taken + take; at += 1009) {
                    assertThat(staged.get((int) (staged.position() + at - taken)))
                            .as("seed %d", seed)
                            .isEqualTo((byte) (at % 251));
                }
                staging.taken(staged.position(staged.position() + take));
                taken += take;
            }
        }
    }

    private static void fill(Staging staging, int bytes) {
        int staged = 0;
        while (staged < bytes) {
            ByteBuffer room = staging.room(bytes);
            int now = Math.min(room.remaining(), bytes - staged);
            room.put(new byte[now]);
            staged += now;
        }
        ByteBuffer all = staging.staged();
        staging.taken(all.position(all.limit()));
    }
}
