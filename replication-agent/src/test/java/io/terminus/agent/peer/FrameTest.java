package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.CopyItem;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class FrameTest {

    @Test
    void aSealedFrameIsChecked() throws RefusedException {
        ByteBuffer b = Frame.HELLO.of(new byte[] {1, 2, 3});

        int body = Frame.bodyBytes(b, 0);

        assertThat(body).isEqualTo(3);
        assertThat(Frame.check(b, 0, body)).isEqualTo(Frame.HELLO);
        assertThat(b.remaining()).isEqualTo(Frame.HEADER_BYTES + 3);
    }

    @Test
    void damageOfAnyByteIsRefused() {
        byte[] good = bytes(Frame.STATUS.of(new byte[Frame.STATUS_BODY_BYTES]));

        for (int at = 0; at < good.length; at++) {
            for (int bit = 0; bit < 8; bit++) {
                byte[] bad = good.clone();
                bad[at] ^= (byte) (1 << bit);
                ByteBuffer b = ByteBuffer.wrap(bad).order(java.nio.ByteOrder.LITTLE_ENDIAN);

                assertThatThrownBy(() -> {
                            int body = Frame.bodyBytes(b, 0);
                            if (Frame.HEADER_BYTES + body > b.capacity()) {
                                // More bytes are waited for; within the limit, so that they end.
                                throw new RefusedException(Why.BAD_MESSAGE, "incomplete");
                            }
                            Frame.check(b, 0, body);
                        })
                        .as("byte %d, bit %d", at, bit)
                        .isInstanceOfSatisfying(
                                RefusedException.class, e -> assertThat(e.why()).isEqualTo(Why.BAD_MESSAGE));
            }
        }
    }

    @Test
    void bodiesBeyondTheLimitAreRefusedByTheirHeader() {
        for (int length : new int[] {Frame.MAX_BODY_BYTES + 1, Integer.MAX_VALUE, -1, Integer.MIN_VALUE}) {
            ByteBuffer b = Frame.CONFIG.of(new byte[8]).putInt(8, length);

            assertThatThrownBy(() -> Frame.bodyBytes(b, 0))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining(String.valueOf(length))
                    .hasMessageContaining(String.valueOf(Frame.MAX_BODY_BYTES));
        }
    }

    @Test
    void fixedFramesHaveTheirLength() {
        for (Frame frame : List.of(Frame.RUN, Frame.STATUS, Frame.ACK, Frame.COMPARED)) {
            for (int length : new int[] {0, 8, 23, 25, 33, 41}) {
                ByteBuffer b = frame.of(new byte[length]);

                assertThatThrownBy(() -> Frame.check(b, 0, length))
                        .isInstanceOf(RefusedException.class)
                        .hasMessageContaining(frame.name());
            }
        }
        assertThatThrownBy(() -> Frame.check(Frame.CONFIG.of(new byte[7]), 0, 7))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("CONFIG");
        assertThatThrownBy(() -> Frame.check(Frame.COPY.of(new byte[47]), 0, 47))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("COPY");
    }

    @Test
    void aCopyHasAsManyBytesAsItsKindAndLengthSay() throws RefusedException {
        assertThat(Messages.copy(copy(1, 5_000, 5_000)).bytes()).isNotNull();
        assertThat(Messages.copy(copy(2, 1L << 40, 0)).bytes()).isNull();
        assertThat(Messages.copy(copy(4, 0, 0)).kind()).isEqualTo(CopyItem.Kind.END);
        assertThat(Messages.copy(copy(5, 5_000, 32)).kind()).isEqualTo(CopyItem.Kind.DIGESTS);
        assertThat(Messages.copy(copy(6, 0, 0)).kind()).isEqualTo(CopyItem.Kind.HOLD);
        assertThat(Messages.copy(copy(7, 12, 0)).kind()).isEqualTo(CopyItem.Kind.RELEASE);

        for (ByteBuffer wrong : List.of(
                copy(0, 0, 0),
                copy(6, 1, 0),
                copy(7, -1, 0),
                copy(7, 3, 3),
                copy(8, 0, 0),
                copy(1, 5_000, 4_999),
                copy(1, -1, 0),
                copy(2, 8, 8),
                copy(5, 5_000, 16),
                copy(5, 5_000, 48),
                copy(1, 0, 0),
                copy(1, CopyItem.MAX_DATA_BYTES + 1, CopyItem.MAX_DATA_BYTES + 1),
                copy(2, 0, 0),
                copy(3, 1, 0),
                copy(4, 4_096, 0),
                copy(5, Long.MAX_VALUE, 0),
                copy(5, Long.MIN_VALUE, 0))) {
            assertThatThrownBy(() -> Messages.copy(wrong))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining("a COPY of kind");
        }
    }

    @Test
    void anAckHasOneOfThreeLengths() throws RefusedException {
        for (int length : new int[] {24, 40, 56}) {
            assertThat(Frame.check(Frame.ACK.of(new byte[length]), 0, length)).isEqualTo(Frame.ACK);
        }

        assertThatThrownBy(() -> Frame.check(Frame.ACK.of(new byte[32]), 0, 32))
                .isInstanceOf(RefusedException.class)
                .hasMessage("ACK with a body of 32 bytes, not 24, 40 or 56");
    }

    @Test
    void aFrameOfAnotherLayoutIsNamed() {
        ByteBuffer b = Frame.STATUS.of(new byte[Frame.STATUS_BODY_BYTES]).put(5, (byte) 3);

        assertThatThrownBy(() -> Frame.bodyBytes(b, 0))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("layout 3")
                .hasMessageContaining("layout 1");
    }

    @Test
    void positionsAreWhereRecordsBeginAndWithinWhatThereIs() throws RefusedException {
        assertThat(Positions.require("received", 256, 128, 256, "")).isEqualTo(256);

        for (long wrong : new long[] {64, 1, -128, Long.MIN_VALUE, 384, Long.MAX_VALUE, 255}) {
            assertThatThrownBy(() -> Positions.require("received", wrong, 128, 256, "the journal ends there"))
                    .isInstanceOfSatisfying(
                            RefusedException.class, e -> assertThat(e.why()).isEqualTo(Why.BAD_MESSAGE))
                    .hasMessageContaining("received " + wrong);
        }
    }

    private static ByteBuffer copy(int kind, long length, int bytes) {
        return ByteBuffer.allocate(Frame.COPY_LEAST_BYTES + bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(1)
                .putLong(256)
                .putLong(0)
                .putLong(length)
                .putLong(3)
                .putInt(kind)
                .putInt(0)
                .rewind();
    }

    @Test
    void theLongestLineageFitsIntoAGreeting() throws RefusedException {
        List<TermStart> starts = new ArrayList<>();
        for (int i = 1; i <= Lineage.MAX_TERMS; i++) {
            starts.add(new TermStart(Long.MAX_VALUE - 1_000 + i, "n".repeat(255), (1L << 60) + i * 128L));
        }
        Greeting greeting = new Greeting(
                new UUID(1, 2),
                Long.MAX_VALUE,
                Long.MAX_VALUE,
                "n".repeat(255),
                1L << 46,
                1 << 30,
                new Lineage(starts),
                0,
                Long.MAX_VALUE / 128 * 128,
                9,
                new byte[4_096]);

        byte[] hello =
                Messages.hello(greeting, Abilities.of(LinkSettings.DEFAULTS)).toByteArray();

        assertThat(hello.length).isLessThanOrEqualTo(Frame.MAX_BODY_BYTES);
        assertThat(Messages.greeting(Messages.hello(ByteBuffer.wrap(hello))))
                .usingRecursiveComparison()
                .isEqualTo(greeting);
    }

    @Test
    void whatIsNoGreetingIsRefused() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        byte[] good = Messages.hello(
                        new Greeting(
                                new UUID(1, 2),
                                6,
                                60,
                                "a",
                                1 << 20,
                                1 << 20,
                                new Lineage(List.of(new TermStart(5, "a", 0), new TermStart(6, "b", 128))),
                                0,
                                256,
                                9,
                                new byte[] {1, 2, 3}),
                        Abilities.of(LinkSettings.DEFAULTS))
                .toByteArray();

        for (int i = 0; i < 20_000; i++) {
            byte[] bad = random.nextInt(4) == 0 ? new byte[random.nextInt(200)] : good.clone();
            if (bad.length != good.length) {
                random.nextBytes(bad);
            } else {
                bad[random.nextInt(bad.length)] = (byte) random.nextInt();
            }
            try {
                Messages.greeting(Messages.hello(ByteBuffer.wrap(bad)));
            } catch (RefusedException e) {
                assertThat(e.why()).isEqualTo(Why.BAD_MESSAGE);
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }

    private static byte[] bytes(ByteBuffer b) {
        byte[] bytes = new byte[b.remaining()];
        b.get(b.position(), bytes);
        return bytes;
    }
}
