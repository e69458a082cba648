package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.peer.Compression;
import io.terminus.agent.peer.LinkSettings;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a link does between two real agents: compressed runs, and several volumes. */
class LinkTest {

    private static final int VOLUME_BYTES = 8 << 20;

    @TempDir
    private Path temp;

    private @Nullable Agents agents;

    @AfterEach
    void stop() throws IOException {
        if (agents != null) {
            agents.close();
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"LZ4", "ZSTD"})
    void runsThatShrinkTravelPackedAndTheRestAsItIs(Compression compression) throws Exception {
        Agents set = start(compression, TestHooks.NONE, Duration.ofSeconds(30));
        byte[] expected = new byte[VOLUME_BYTES];
        Agents.Client client = set.client("a");
        VolumeMeasures.Peer sent = set.volume("a").measures().peer("b");

        for (int offset = 0; offset < 3 << 20; offset += 100_000) {
            write(client, expected, offset, text(offset, 100_000));
        }
        long packed = sent.packedRuns();
        assertThat(packed).isPositive();
        assertThat(sent.packedToBytes()).isLessThan(sent.packedFromBytes() / 2);

        Random random = new Random(1);
        for (int offset = 3 << 20; offset < 7 << 20; offset += 256 << 10) {
            byte[] noise = new byte[256 << 10];
            random.nextBytes(noise);
            write(client, expected, offset, noise);
        }
        assertThat(sent.runs() - sent.gatheredRuns() - sent.packedRuns())
                .as("by file region, after a try or two")
                .isPositive();
        assertThat(sent.packedFromBytes()).isLessThan(6 << 20);

        client.flushAndAwait();
        set.awaitAllApplied("a", "b");
        assertThat(set.agent("b").image()).isEqualTo(set.agent("a").image()).isEqualTo(expected);
        long end = set.journal("a").end();
        for (long at = set.journal("b").oldest();
                at < end;
                at = set.journal("b").segmentEnd(at)) {
            long to = Math.min(end, set.journal("b").segmentEnd(at));
            assertThat(set.journal("b").bytes(at, to))
                    .isEqualTo(set.journal("a").bytes(at, to));
        }
    }

    @Test
    void withoutTheSettingNothingIsPacked() throws Exception {
        Agents set = start(Compression.NONE, TestHooks.NONE, Duration.ofSeconds(30));

        set.client("a").writeAndAwait(0, text(0, 100_000));

        assertThat(set.volume("a").measures().peer("b").packedRuns()).isZero();
    }

    @Test
    void aPackedStreamGoesOnAfterAnyNumberOfCuts() throws Exception {
        Agents set = start(Compression.ZSTD, TestHooks.NONE, Duration.ofSeconds(30));
        byte[] expected = new byte[VOLUME_BYTES];
        Agents.Client client = set.client("a");

        for (int i = 0; i < 20; i++) {
            List<Long> cookies = new ArrayList<>();
            for (int offset = 0; offset < 1 << 20; offset += 50_000) {
                byte[] bytes = text(offset + i, 50_000);
                System.arraycopy(bytes, 0, expected, offset, bytes.length);
                cookies.add(client.write(offset, bytes));
            }
            set.agent("b").wire.cut();
            set.agent("b").wire.join();
            cookies.forEach(client::awaitDone);
        }

        set.awaitAllApplied("a", "b");
        assertThat(set.agent("b").image()).isEqualTo(expected);
    }

    @Test
    void aVolumeThatDoesNotLandHoldsUpNoOther() throws Exception {
        CountDownLatch letGo = new CountDownLatch(1);
        CountDownLatch stands = new CountDownLatch(1);
        boolean[] armed = {false};
        TestHooks hooks = new TestHooks() {
            @Override
            public void beforeLanding(String volume) {
                synchronized (armed) {
                    if (!armed[0] || !volume.equals("v")) {
                        return;
                    }
                }
                stands.countDown();
                awaitQuietly(letGo);
            }
        };
        Agents set = start(Compression.NONE, hooks, Duration.ofHours(1));
        set.addVolume(new UUID(3, 4), "w", "a", "b");
        Agents.Client v = set.client("a");
        Agents.Client w = new Agents.Client(set.volume("a", "w"));
        v.writeAndAwait(0, text(0, 4_096));
        w.writeAndAwait(0, text(0, 4_096));

        synchronized (armed) {
            armed[0] = true;
        }
        List<Long> stuck = new ArrayList<>();
        for (int offset = 0; offset < 4 << 20; offset += 200_000) {
            stuck.add(v.write(offset, text(offset, 200_000)));
        }
        stands.await();
        long wBefore = set.volume("a", "w").measures().peer("b").runs();
        for (int i = 0; i < 200; i++) {
            w.writeAndAwait(i * 4_096, text(i, 4_096));
        }
        w.flushAndAwait();

        assertThat(set.volume("a", "w").measures().peer("b").runs()).isGreaterThan(wBefore);
        assertThat(v.done).doesNotContainAnyElementsOf(stuck);
        letGo.countDown();
        stuck.forEach(v::awaitDone);
    }

    private Agents start(Compression compression, TestHooks hooks, Duration peerTimeout) throws Exception {
        Agents set = new Agents(temp, VOLUME_BYTES, 64L << 20, peerTimeout);
        agents = set;
        set.links = new LinkSettings(compression, Duration.ofSeconds(2), hooks);
        set.start("a", "b");
        return set;
    }

    private static void write(Agents.Client client, byte[] expected, int offset, byte[] bytes) {
        System.arraycopy(bytes, 0, expected, offset, bytes.length);
        client.writeAndAwait(offset, bytes);
    }

    /** Shrinks, and is different everywhere. */
    private static byte[] text(int seed, int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) ("a line of some log, number " + (seed + i) / 64).charAt((seed + i) % 27);
        }
        return bytes;
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
