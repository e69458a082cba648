package io.terminus.agent.nbd;

import static io.terminus.agent.nbd.NbdTestClient.requestBytes;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.nbd.NbdTestClient.Disconnected;
import io.terminus.agent.nbd.NbdTestClient.ExportInfo;
import io.terminus.agent.nbd.NbdTestClient.Extent;
import io.terminus.agent.nbd.NbdTestClient.Hole;
import io.terminus.agent.nbd.NbdTestClient.Listed;
import io.terminus.agent.nbd.NbdTestClient.Reply;
import io.terminus.agent.net.CannotListenException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class NbdServerTest {

    private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    private static final int SIZE = 40 << 20;

    private final MemoryExport disk = new MemoryExport("disk", SIZE);
    private final List<AutoCloseable> toClose = new ArrayList<>();

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : toClose.reversed()) {
            each.close();
        }
    }

    @Test
    void exportsAreListedAndDescribed() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk, new MemoryExport("other", 512));
        NbdTestClient client = tracked(NbdTestClient.connect(at));

        List<Listed> listed = client.list();
        ExportInfo info = client.info("disk");

        assertThat(listed)
                .containsExactly(
                        new Listed("disk", "memory of 41943040 bytes"), new Listed("other", "memory of 512 bytes"));
        assertThat(info).isEqualTo(new ExportInfo(SIZE, 0xd6d, "disk", "memory of 41943040 bytes", 1, 4096, 32 << 20));
    }

    @Test
    void whatIsWrittenIsReadBackInEveryDialect() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient structured = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient simple = tracked(NbdTestClient.connect(at));
        simple.go("");
        NbdTestClient old = tracked(NbdTestClient.connect(at));
        old.exportName("disk");

        structured.write(1000, new byte[] {1, 2, 3});
        old.writeThrough(1003, new byte[] {4});
        simple.flush();

        assertThat(structured.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(simple.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(old.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(disk.flushes).hasValue(1);
        assertThat(disk.writesThrough).hasValue(1);
        assertThat(disk.batches.get()).isPositive();
    }

    @Test
    void zerosMayPunchUnlessTheClientForbidsIt() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        client.write(0, new byte[] {1, 2, 3, 4});

        client.trim(0, 1);
        client.writeZeroes(2, 1);

        assertThat(client.read(0, 4)).containsExactly(0, 2, 0, 4);
        assertThat(disk.punches).hasValue(1);
    }

    @Test
    void servesAUnixDomainSocketToo(@TempDir Path dir) throws Exception {
        UnixDomainSocketAddress at = UnixDomainSocketAddress.of(dir.resolve("nbd.sock"));
        tracked(NbdServer.start(at, MemoryExports.of(disk), Limits.defaults()));

        NbdTestClient client = tracked(NbdTestClient.open(at, "disk"));
        client.write(0, new byte[] {9});

        assertThat(client.read(0, 1)).containsExactly(9);
    }

    @Test
    void pipelinedRequestsOfMixedSizesDoNotStick() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient client = tracked(NbdTestClient.open(at, "disk"));
        byte[] model = new byte[SIZE];

        for (int round = 0; round < 30; round++) {
            List<Long> writes = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                int length = 1 + random.nextInt(random.nextInt(10) == 0 ? 2 << 20 : 5000);
                int offset = random.nextInt(SIZE - length);
                byte[] data = new byte[length];
                random.nextBytes(data);
                System.arraycopy(data, 0, model, offset, length);
                writes.add(client.submit(Wire.CMD_WRITE, 0, offset, length, data));
            }
            for (long write : writes) {
                client.await(write).ok();
            }
            int length = 1 + random.nextInt(1 << 20);
            int offset = random.nextInt(SIZE - length);
            long small = client.submit(Wire.CMD_READ, 0, 0, 17);
            long large = client.submit(Wire.CMD_READ, 0, offset, length);
            assertThat(client.await(small).ok()).as("seed %d", seed).isEqualTo(Arrays.copyOf(model, 17));
            assertThat(client.await(large).ok())
                    .as("seed %d", seed)
                    .isEqualTo(Arrays.copyOfRange(model, offset, offset + length));
        }
        assertThat(disk.content()).as("seed %d", seed).isEqualTo(model);
    }

    @Test
    void largestRequestPassesAndALargerOneIsRefused() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        byte[] largest = new byte[32 << 20];
        new Random(1).nextBytes(largest);

        client.write(5, largest);
        byte[] read = client.read(5, 32 << 20);
        Reply largerWrite = client.await(client.submit(Wire.CMD_WRITE, 0, 0, (32 << 20) + 1, new byte[(32 << 20) + 1]));
        Reply largerRead = client.await(client.submit(Wire.CMD_READ, 0, 0, (32 << 20) + 1));

        assertThat(read).isEqualTo(largest);
        assertThat(largerWrite.errno()).isEqualTo(22);
        assertThat(largerRead.errno()).isEqualTo(22);
        assertThat(client.read(5, 1)).containsExactly(largest[0]);
    }

    @Test
    void holesAreNotSentUnlessTheClientWantsOneChunk() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        byte[] data = new byte[8192];
        new Random(2).nextBytes(data);
        client.write((1 << 20) - 100, data);
        byte[] expected = new byte[2 << 20];
        System.arraycopy(data, 0, expected, (1 << 20) - 100, data.length);

        Reply sparse = client.await(client.submit(Wire.CMD_READ, 0, 0, 2 << 20));
        Reply whole = client.await(client.submit(Wire.CMD_READ, Wire.CMD_FLAG_DF, 0, 2 << 20));
        Reply small = client.await(client.submit(Wire.CMD_READ, 0, 0, 4096));

        assertThat(sparse.ok()).isEqualTo(expected);
        assertThat(sparse.holes())
                .containsExactly(new Hole(0, (1 << 20) - 4096), new Hole((1 << 20) + 8192, (1 << 20) - 8192));
        assertThat(whole.ok()).isEqualTo(expected);
        assertThat(whole.contentChunks()).isEqualTo(1);
        assertThat(whole.holes()).isEmpty();
        assertThat(small.holes()).isEmpty();
    }

    @Test
    void readThatFailsHalfwaySaysSoInEveryForm() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient structured = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient simple = tracked(NbdTestClient.connect(at));
        simple.go("disk");
        structured.write(0, new byte[] {1});
        structured.write(3 << 19, new byte[1 << 19]);
        structured.write(3 << 19, new byte[] {1});
        disk.badFrom = 1 << 20;

        Reply chunks = structured.await(structured.submit(Wire.CMD_READ, 0, 0, 2 << 20));
        Reply whole = structured.await(structured.submit(Wire.CMD_READ, Wire.CMD_FLAG_DF, 0, 2 << 20));
        Reply atOnce = simple.await(simple.submit(Wire.CMD_READ, 0, 1 << 20, 1 << 20));

        assertThat(chunks.errno()).isEqualTo(5);
        assertThat(whole.errno()).isEqualTo(5);
        assertThat(atOnce.errno()).isEqualTo(5);
        assertThat(structured.read(0, 1)).containsExactly(1);
        assertThatThrownBy(() -> simple.read(0, 2 << 20)).isInstanceOf(Disconnected.class);
    }

    @Test
    void blocksAreDescribedContextByContext() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient client = tracked(NbdTestClient.connect(at));
        client.structuredReplies();
        Map<Integer, String> selected = client.selectContexts("disk", "x-test:blocks", "base:allocation", "x:y");
        client.go("disk");
        client.write(4096, new byte[] {1});

        Map<Integer, List<Extent>> all = client.status(0, 100, 10_000);
        Map<Integer, List<Extent>> one = client.status(Wire.CMD_FLAG_REQ_ONE, 100, 10_000);
        Map<Integer, List<Extent>> many = client.status(0, 0, SIZE);

        assertThat(selected).containsExactly(Map.entry(1, "base:allocation"), Map.entry(2, "x-test:blocks"));
        assertThat(all.get(1)).containsExactly(new Extent(3996, 3), new Extent(4096, 0), new Extent(1908, 3));
        assertThat(all.get(2)).containsExactly(new Extent(3996, 0), new Extent(4096, 1), new Extent(1908, 2));
        assertThat(one.get(1)).containsExactly(new Extent(3996, 3));
        assertThat(many.get(1)).containsExactly(new Extent(4096, 3), new Extent(4096, 0), new Extent(SIZE - 8192, 3));
        assertThat(many.get(2)).hasSize(512);
        assertThat(client.await(client.submit(Wire.CMD_BLOCK_STATUS, 0, SIZE, 1))
                        .errno())
                .isEqualTo(22);
    }

    @Test
    void whoSelectedNoContextMayNotAsk() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));

        assertThat(client.await(client.submit(Wire.CMD_BLOCK_STATUS, 0, 0, 1)).errno())
                .isEqualTo(22);
        assertThat(client.read(0, 1)).containsExactly(0);
    }

    @Test
    void extendedHeadersDoAllThatShortOnesDo() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.connect(serve(Limits.defaults(), disk)));
        client.extendedHeaders();
        client.selectContexts("disk", "base:allocation");
        client.go("disk");
        byte[] data = new byte[300_000];
        new Random(4).nextBytes(data);

        client.write(8192, data);
        client.flush();
        Reply read = client.await(client.submit(Wire.CMD_READ, 0, 0, 1 << 20));
        Map<Integer, List<Extent>> status = client.status(0, 0, SIZE);
        client.await(client.submit(Wire.CMD_WRITE_ZEROES, 0, 0, SIZE)).ok();
        client.await(client.submit(Wire.CMD_CACHE, 0, 0, SIZE)).ok();
        Reply outside = client.await(client.submit(Wire.CMD_TRIM, 0, 0, 1L << 40));

        assertThat(Arrays.copyOfRange(read.ok(), 8192, 308_192)).isEqualTo(data);
        assertThat(read.holes()).isNotEmpty();
        assertThat(status.get(1))
                .containsExactly(new Extent(8192, 3), new Extent(303_104, 0), new Extent(SIZE - 311_296, 3));
        assertThat(outside.errno()).isEqualTo(22);
        assertThat(client.read(8192, 1)).containsExactly(0);
        assertThat(disk.hints).hasValue(1);
    }

    @Test
    void deafClientsCostTheirBuffersAndNotTheirReplies() throws Exception {
        SocketAddress at = serve(limits(100, 1024, 64 << 20, Duration.ofSeconds(30), Duration.ofMillis(50)), disk);
        byte[] noise = new byte[32 << 20];
        new Random(9).nextBytes(noise);
        NbdTestClient good = tracked(NbdTestClient.open(at, "disk"));
        good.write(0, noise);

        for (int i = 0; i < 60; i++) {
            NbdTestClient deaf = tracked(NbdTestClient.open(at, "disk"));
            for (int r = 0; r < 20; r++) {
                deaf.submit(Wire.CMD_READ, r % 2 == 0 ? Wire.CMD_FLAG_DF : 0, 0, 32 << 20);
            }
        }

        // Whoever has begun to read for one of them has its piece in memory, and waits.
        await().until(() -> disk.reads.get() >= 61);
        for (int i = 0; i < 20; i++) {
            assertThat(good.read(i, 1 << 20)).isEqualTo(Arrays.copyOfRange(noise, i, i + (1 << 20)));
            assertThat(server().bufferBytes()).isLessThan(61L * (1 << 20));
        }
    }

    @Test
    void halfALargeWriteTakesAPlaceAndNoMoreThanThat() throws Exception {
        Limits limits = new Limits(
                100, 1024, 64 << 20, 2, Duration.ofSeconds(30), Duration.ofSeconds(30), Duration.ofMillis(50));
        SocketAddress at = serve(limits, disk);
        int length = 32 << 20;
        byte[] begin = requestBytes(Wire.CMD_WRITE, 0, 7, 0, length, new byte[5 << 20]);
        List<NbdTestClient> begun = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            NbdTestClient client = tracked(NbdTestClient.open(at, "disk"));
            client.send(begin);
            begun.add(client);
        }
        // Both have their place when the buffers say so; a third one waits, and small requests do not.
        await().until(() -> server().bufferBytes() > 2 * (5 << 20));
        NbdTestClient third = tracked(NbdTestClient.open(at, "disk"));
        Thread sender = Thread.ofPlatform().start(() -> {
            try {
                third.submit(Wire.CMD_WRITE, 0, 0, length, new byte[length]);
            } catch (IOException e) {
                return; // the test has failed, and says why
            }
        });
        NbdTestClient small = tracked(NbdTestClient.open(at, "disk"));
        small.write(0, new byte[2 << 20]);
        assertThat(disk.requests).hasValue(1);

        begun.getFirst().close();

        sender.join();
        third.next().ok();
        assertThat(disk.requests).hasValue(2);
        begun.getLast().send(new byte[length - (5 << 20)]);
        begun.getLast().receive(16);
        assertThat(disk.requests).hasValue(3);
    }

    @Test
    void halvesOfWritesThatNeedNoPlaceCostNoMoreThanIsStated() throws Exception {
        int clients = 40;
        SocketAddress at = serve(Limits.defaults(), disk);
        byte[] most = requestBytes(Wire.CMD_WRITE, 0, 7, 0, 2 << 20, new byte[(2 << 20) - 1]);
        for (int i = 0; i < clients; i++) {
            tracked(NbdTestClient.open(at, "disk")).send(most);
        }

        await().until(() -> server().bufferBytes() >= (long) clients << 21);

        assertThat(server().bufferBytes()).isLessThanOrEqualTo(clients * (5L << 19));
        assertThat(disk.requests).hasValue(0);
    }

    /** A write is handed over whole or not at all: so nothing behind it is ever reserved, and waited for, by a client that stalls. */
    @Test
    void clientsThatStallWithinTheirPayloadsHoldNobodyUp() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        int[] lengths = {2, 4096, 128 << 10, 1 << 20, 32 << 20};
        List<NbdTestClient> stalled = new ArrayList<>();
        for (int length : lengths) {
            NbdTestClient client = tracked(NbdTestClient.open(at, "disk"));
            byte[] half = requestBytes(Wire.CMD_WRITE, 0, 7, 0, length, new byte[Math.min(length / 2, 3 << 20)]);
            client.write(0, new byte[] {1}); // it is served, and what follows is the very next thing that is read
            client.send(half);
            stalled.add(client);
        }
        disk.requests.set(0);

        NbdTestClient busy = tracked(NbdTestClient.open(at, "disk"));
        for (int i = 0; i < 200; i++) {
            busy.write(4096L * i, new byte[4096]);
        }
        busy.flush();

        assertThat(disk.requests).hasValue(201); // the flush counts too
        // Each of them may still go on, and leave.
        stalled.getFirst().send((byte) 1);
        stalled.getFirst().receive(16);
        stalled.get(1).close();
        busy.write(0, new byte[4096]);
        assertThat(disk.requests).hasValue(203);
    }

    @Test
    void clientThatReadsNoAnswersToItsOptionsIsNotReadFrom() throws Exception {
        Export wordy = new MemoryExport("x".repeat(4096), 512);
        SocketAddress at = serve(limits(10, 10, 1000, Duration.ofSeconds(30), Duration.ofMillis(50)), disk, wordy);
        NbdTestClient deaf = tracked(NbdTestClient.connect(at));
        Thread sender = Thread.ofPlatform().start(() -> {
            try {
                for (int i = 0; i < 100_000; i++) {
                    deaf.send(NbdTestClient.optionBytes(Wire.OPT_LIST));
                }
            } catch (IOException e) {
                return; // closed by the test
            }
        });

        NbdTestClient good = tracked(NbdTestClient.open(at, "disk"));
        for (int i = 0; i < 1000; i++) {
            good.write(0, new byte[] {1});
            assertThat(server().bufferBytes()).isLessThan(2 << 20);
        }

        deaf.close();
        sender.join();
    }

    @Test
    void stallingInALargeWriteCostsTheConnection() throws Exception {
        Limits limits = new Limits(
                100, 1024, 64 << 20, 1, Duration.ofMillis(50), Duration.ofSeconds(30), Duration.ofSeconds(10));
        SocketAddress at = serve(limits, disk);
        NbdTestClient staller = tracked(NbdTestClient.open(at, "disk"));
        staller.send(requestBytes(Wire.CMD_WRITE, 0, 7, 0, 32 << 20, new byte[9]));

        staller.awaitEnd();

        NbdTestClient next = tracked(NbdTestClient.open(at, "disk"));
        next.write(0, new byte[32 << 20]);
        assertThat(disk.requests).hasValue(1);
    }

    @Test
    void answersLeaveInTheOrderTheyAreGiven() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        disk.hold();
        List<Long> cookies = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            cookies.add(client.submit(Wire.CMD_WRITE, 0, i, 1, (byte) i));
        }
        await().until(() -> disk.held().size() == 5);

        disk.held().reversed().forEach(Runnable::run);

        for (long cookie : cookies.reversed()) {
            assertThat(client.next().cookie()).isEqualTo(cookie);
        }
    }

    /** An answer to a large read without chunks, or as one chunk, is one piece of the stream, however it is sent. */
    @ParameterizedTest
    @EnumSource(Dialect.class)
    void nothingComesBetweenThePiecesOfALargeAnswer(Dialect dialect) throws Exception {
        NbdTestClient client = tracked(NbdTestClient.connect(serve(Limits.defaults(), disk)));
        switch (dialect) {
            case SIMPLE -> {}
            case STRUCTURED -> client.structuredReplies();
            case EXTENDED -> client.extendedHeaders();
        }
        client.go("disk");
        byte[] noise = new byte[32 << 20];
        new Random(3).nextBytes(noise);
        client.write(0, noise);
        disk.hold();
        List<Long> writes = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            writes.add(client.submit(Wire.CMD_WRITE, 0, 33 << 20, 1, (byte) i));
        }
        await().until(() -> disk.held().size() == writes.size());

        int flags = dialect == Dialect.SIMPLE ? 0 : Wire.CMD_FLAG_DF;
        long read = client.submit(Wire.CMD_READ, flags, 0, noise.length);
        await().until(() ->
                disk.reads.get() > 1); // the first piece has left, and all together do not fit into a socket
        disk.held().forEach(Runnable::run);

        assertThat(client.await(read).ok()).isEqualTo(noise);
        for (long write : writes) {
            client.await(write).ok();
        }
    }

    @Test
    void readsAreNotHeldUpByUnansweredWrites() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        disk.hold();

        client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 7);
        byte[] read = client.read(0, 1);

        assertThat(read).containsExactly(7);
        disk.held().forEach(Runnable::run);
    }

    @Test
    void readerStopsAtTheBoundOfRequests() throws Exception {
        Limits limits = limits(4, 4, 1 << 20, Duration.ofSeconds(10), Duration.ofSeconds(10));
        NbdTestClient client = tracked(NbdTestClient.open(serve(limits, disk), "disk"));
        disk.hold();

        for (int i = 0; i < 10; i++) {
            client.submit(Wire.CMD_WRITE, 0, i, 1, (byte) i);
        }

        for (int answered = 0; answered < 10; answered++) {
            int handedOver = Math.min(10, answered + 4);
            await().until(() -> disk.requests.get() == handedOver);
            disk.held().get(answered).run();
            client.next().ok();
        }
    }

    @Test
    void readerStopsAtTheBoundOfBytes() throws Exception {
        Limits limits = limits(4, 100, 1000, Duration.ofSeconds(10), Duration.ofSeconds(10));
        NbdTestClient client = tracked(NbdTestClient.open(serve(limits, disk), "disk"));
        disk.hold();

        // The second does not fit beside the first, though the first leaves room for something smaller.
        for (int i = 0; i < 10; i++) {
            client.submit(Wire.CMD_WRITE, 0, 0, 600, new byte[600]);
        }

        for (int answered = 0; answered < 10; answered++) {
            int handedOver = answered + 1;
            await().until(() -> disk.requests.get() == handedOver);
            disk.held().get(answered).run();
            client.next().ok();
        }
    }

    @ParameterizedTest
    @EnumSource
    void failuresOfTheDeviceReachTheClient(Failure failure) throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient structured = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient simple = tracked(NbdTestClient.connect(at));
        simple.go("disk");
        disk.failing = Optional.of(failure);

        for (NbdTestClient client : List.of(structured, simple)) {
            assertThat(client.await(client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1))
                            .errno())
                    .isEqualTo(failure.errno());
            assertThat(client.await(client.submit(Wire.CMD_READ, 0, 0, 1)).errno())
                    .isEqualTo(failure.errno());
        }
        disk.failing = Optional.empty();

        assertThat(structured.read(0, 1)).containsExactly(1);
        assertThat(simple.read(0, 1)).containsExactly(1);
    }

    @Test
    void clientIsDisconnectedWhereNoAnswerWouldBeTrue() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        disk.unanswerable = true;

        assertThatThrownBy(() -> client.read(0, 1)).isInstanceOf(Disconnected.class);
        await().until(() -> disk.sessions.get() == 0);
    }

    @Test
    void clientThatIsRefusedMayTryAnotherExport() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk, new MemoryExport("other", 512));
        NbdTestClient client = tracked(NbdTestClient.connect(at));
        disk.refusing = Optional.of("this replica has failed");

        assertThatThrownBy(() -> client.go("disk")).hasMessageContaining("this replica has failed");
        client.go("other");

        assertThat(client.read(0, 1)).containsExactly(0);
    }

    @Test
    void badClientsHurtNobodyElse() throws Exception {
        Limits limits = limits(300, 16, 1 << 20, Duration.ofSeconds(30), Duration.ofSeconds(10));
        SocketAddress at = serve(limits, disk);
        NbdTestClient good = tracked(NbdTestClient.open(at, "disk"));
        Random random = new Random(3);

        for (int i = 0; i < 20; i++) {
            byte[] garbage = new byte[1000];
            random.nextBytes(garbage);
            tracked(NbdTestClient.connectRaw(at)).send(garbage);
            // Silent in the middle of an option, of a request header, and of a large payload.
            tracked(NbdTestClient.connect(at)).send((byte) 'I');
            tracked(NbdTestClient.open(at, "disk")).send((byte) 0x25);
            tracked(NbdTestClient.open(at, "disk")).send(requestBytes(Wire.CMD_WRITE, 0, 1, 0, 32 << 20, new byte[9]));
            tracked(NbdTestClient.open(at, "disk")).endOutput();
            // Asks for much, and reads none of it.
            NbdTestClient deaf = tracked(NbdTestClient.open(at, "disk"));
            for (int r = 0; r < 20; r++) {
                deaf.submit(Wire.CMD_READ, 0, 0, 1 << 20);
            }
            NbdTestClient broken = tracked(NbdTestClient.open(at, "disk"));
            broken.send(new byte[28]);
            broken.awaitEnd();

            good.write(i, new byte[] {(byte) i});
            assertThat(good.read(i, 1)).containsExactly(i);
        }
    }

    @Test
    void clientThatReadsLateGetsEverything() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        client.write(0, new byte[] {1});

        List<Long> cookies = new ArrayList<>();
        for (int i = 0; i < 30; i++) {
            cookies.add(client.submit(Wire.CMD_READ, 0, i, 1 << 20));
            cookies.add(client.submit(Wire.CMD_FLUSH, 0, 0, 0));
        }

        for (long cookie : cookies) {
            client.await(cookie).ok();
        }
    }

    @Test
    void clientThatNeverReadsItsAnswersStopsBeingRead() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        // Enough refusals to fill every buffer on the way, if the server went on reading.
        Thread sender = Thread.ofPlatform().start(() -> {
            try {
                for (int i = 0; i < 2_000_000; i++) {
                    client.submit(Wire.CMD_TRIM, 0, SIZE, 1);
                }
            } catch (IOException e) {
                return; // closed by the test
            }
        });

        NbdTestClient good = tracked(NbdTestClient.open(addressOfLast, "disk"));
        for (int i = 0; i < 1000; i++) {
            good.write(0, new byte[100]);
        }

        assertThat(good.read(0, 1)).containsExactly(0);
        client.close();
        sender.join();
    }

    @Test
    void handshakeHasADeadline() throws Exception {
        Limits limits = limits(4, 4, 1000, Duration.ofSeconds(2), Duration.ofSeconds(10));
        SocketAddress at = serve(limits, disk);
        NbdTestClient ready = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient loris = tracked(NbdTestClient.connect(at));

        loris.awaitEnd();

        assertThat(ready.read(0, 1)).containsExactly(0);
    }

    @Test
    void connectionBeyondTheBoundIsToldSoAndAFreedPlaceIsUsed() throws Exception {
        Limits limits = limits(1, 4, 1000, Duration.ofSeconds(10), Duration.ofSeconds(10));
        SocketAddress at = serve(limits, disk);
        NbdTestClient first = NbdTestClient.open(at, "disk");

        NbdTestClient second = tracked(NbdTestClient.connect(at));
        assertThat(second.list()).isEmpty();
        NbdTestClient.OptionReply refusal =
                second.option(Wire.OPT_GO, NbdTestClient.goData("disk")).getLast();
        assertThat(refusal.type()).isEqualTo(Wire.REP_ERR_POLICY);
        assertThat(refusal.text()).isEqualTo("all 1 connections that this port takes are in use");
        first.disconnect();
        first.close();

        await().ignoreExceptions().until(() -> {
            try (NbdTestClient next = NbdTestClient.open(at, "disk")) {
                return next.read(0, 1).length == 1;
            }
        });
    }

    @Test
    void whoLeavesItsConnectionsOpenLocksOutNobodyElse() throws Exception {
        SocketAddress at = serve(TestLimits.connections(4, 2), disk);
        tracked(NbdTestClient.open(at, "disk"));
        tracked(NbdTestClient.open(at, "disk"));

        NbdTestClient third = tracked(NbdTestClient.connect(at));

        assertThat(third.option(Wire.OPT_GO, NbdTestClient.goData("disk"))
                        .getLast()
                        .text())
                .isEqualTo("2 connections come from 127.0.0.1 already, and 2 is the most from one address");
        try (NbdTestClient other = NbdTestClient.openFrom(new InetSocketAddress("127.0.0.2", 0), at, "disk")) {
            assertThat(other.read(0, 1)).hasSize(1);
        }
    }

    @Test
    void clientThatEndsItsOutputStillGetsItsAnswers() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        disk.hold();
        long write = client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1);
        client.endOutput();
        await().until(() -> disk.held().size() == 1);

        disk.held().getFirst().run();

        client.await(write).ok();
        client.awaitEnd();
        await().until(() -> disk.sessions.get() == 0);
    }

    @Test
    void goodbyeWaitsForWhatIsInFlight() throws Exception {
        NbdTestClient client = tracked(NbdTestClient.open(serve(Limits.defaults(), disk), "disk"));
        disk.hold();
        long write = client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1);
        client.submit(Wire.CMD_DISC, 0, 0, 0);
        await().until(() -> disk.held().size() == 1);

        disk.held().getFirst().run();

        client.await(write).ok();
        client.awaitEnd();
    }

    @Test
    void answersToAClientThatHasGoneAreDropped() throws Exception {
        NbdTestClient client = NbdTestClient.open(serve(Limits.defaults(), disk), "disk");
        disk.hold();
        client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1);
        await().until(() -> disk.held().size() == 1);
        server().disconnectAll("disk", "the lease is gone");
        await().until(() -> disk.sessions.get() == 0);

        disk.held().getFirst().run();

        assertThatThrownBy(client::next).isInstanceOf(Disconnected.class);
        client.close();
    }

    @Test
    void onlyTheNamedExportIsDisconnected() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk, new MemoryExport("other", 512));
        NbdTestClient gone = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient stays = tracked(NbdTestClient.open(at, "other"));
        await().until(() -> server().connections("disk") == 1);

        server().disconnectAll("disk", "moved to another agent");

        gone.awaitEnd();
        assertThat(stays.read(0, 1)).containsExactly(0);
    }

    @Test
    void shutdownAnswersWhatIsInFlightAndRefusesTheRest() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);
        NbdTestClient client = tracked(NbdTestClient.open(at, "disk"));
        NbdTestClient idle = tracked(NbdTestClient.open(at, "disk"));
        disk.hold();
        long before = client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1);
        await().until(() -> disk.held().size() == 1);
        Thread closer = Thread.ofPlatform().start(() -> server().close());
        idle.awaitEnd();

        // Reads are answered at once, so the first refusal shows that the shutdown has come here.
        while (client.await(client.submit(Wire.CMD_READ, 0, 0, 1)).errno() == 0) {
            Thread.onSpinWait();
        }
        Reply after = client.await(client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 2));
        disk.held().getFirst().run();

        assertThat(after.errno()).isEqualTo(108);
        client.await(before).ok();
        client.awaitEnd();
        closer.join();
        assertThat(server().connections()).isZero();
    }

    @Test
    void shutdownDoesNotWaitForEverForADeviceThatDoesNotAnswer() throws Exception {
        Limits limits = limits(4, 4, 1000, Duration.ofSeconds(10), Duration.ofMillis(50));
        NbdTestClient client = tracked(NbdTestClient.open(serve(limits, disk), "disk"));
        disk.hold();
        client.submit(Wire.CMD_WRITE, 0, 0, 1, (byte) 1);
        await().until(() -> disk.held().size() == 1);

        server().close();

        client.awaitEnd();
    }

    @Test
    void takenPortIsNamed() throws Exception {
        SocketAddress at = serve(Limits.defaults(), disk);

        assertThatThrownBy(() -> NbdServer.start(at, MemoryExports.of(), Limits.defaults()))
                .isInstanceOf(CannotListenException.class)
                .hasMessageContaining("NBD server: cannot listen on port " + ((InetSocketAddress) at).getPort());
    }

    // ---- fixtures

    private static Limits limits(int connections, int requests, long bytes, Duration handshake, Duration shutdown) {
        return new Limits(connections, requests, bytes, 16, Duration.ofSeconds(30), handshake, shutdown);
    }

    private SocketAddress addressOfLast = ANY_PORT;

    private SocketAddress serve(Limits limits, Export... exports) throws IOException {
        addressOfLast = tracked(NbdServer.start(ANY_PORT, MemoryExports.of(exports), limits))
                .address();
        return addressOfLast;
    }

    private NbdServer server() {
        return (NbdServer) toClose.getFirst();
    }

    private <T extends AutoCloseable> T tracked(T each) {
        toClose.add(each);
        return each;
    }
}
