package io.terminus.agent.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.net.DuplexSocket.Sent;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class DuplexSocketTest {

    private static final int QUEUE_LIMIT = 256 << 10;

    @TempDir
    Path dir;

    @Test
    void echoesOverTcp() throws Exception {
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "echo", QUEUE_LIMIT);
            socket.start(new Echo(socket));

            pair.far.write(bytes(1, 2, 3));

            assertThat(readFully(pair.far, 3)).containsExactly(1, 2, 3);
            socket.close();
        }
    }

    @Test
    void echoesOverAUnixDomainSocket() throws Exception {
        Path path = dir.resolve("s");
        try (Listener listener = Listener.bind(UnixDomainSocketAddress.of(path), "echo", 1)
                .start((channel, place) -> {
                    DuplexSocket socket = new DuplexSocket(channel, "echo", QUEUE_LIMIT);
                    socket.start(new Echo(socket));
                })) {
            Recorder recorder = new Recorder(16);
            DuplexSocket client =
                    DuplexSocket.connect(listener.address(), Duration.ofSeconds(5), "client", QUEUE_LIMIT);
            client.start(recorder);

            client.send(bytes(7, 8, 9));

            await().untilAsserted(() -> assertThat(recorder.taken()).containsExactly(7, 8, 9));
            client.close();
        }
    }

    @Test
    void senderIsRefusedBeyondTheBoundAndLosesNothingBelowIt() throws Exception {
        try (Pair pair = Pair.tcp()) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "bounded", QUEUE_LIMIT);
            socket.start(recorder);
            ByteBuffer message = ByteBuffer.allocate(10_000);
            int accepted = 0;

            while (socket.send(message.clear().putInt(0, accepted)) != Sent.FULL) {
                accepted++;
                assertThat(socket.queuedBytes()).isLessThanOrEqualTo(QUEUE_LIMIT + 10_000);
            }

            ByteBuffer got = ByteBuffer.wrap(readFully(pair.far, accepted * 10_000));
            for (int i = 0; i < accepted; i++) {
                assertThat(got.getInt(i * 10_000)).isEqualTo(i);
            }
            await().until(() -> socket.queuedBytes() == 0);
            assertThat(socket.send(message.clear())).isEqualTo(Sent.TAKEN);
            socket.close();
        }
    }

    @Test
    void messagesOfManyThreadsStayWholeWhileTheReaderIsSlow() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "many", QUEUE_LIMIT);
            socket.start(new Recorder(16));
            int threads = 4;
            int messagesEach = 400;

            CountDownLatch done = new CountDownLatch(threads);
            for (int t = 0; t < threads; t++) {
                int sender = t;
                Thread.ofPlatform().start(() -> {
                    Random random = new Random(seed + sender);
                    for (int i = 0; i < messagesEach; i++) {
                        int size = random.nextInt(20_000);
                        ByteBuffer body = ByteBuffer.allocate(size);
                        for (int at = 0; at < size; at++) {
                            body.put((byte) sender);
                        }
                        ByteBuffer header = ByteBuffer.allocate(12);
                        header.putInt(sender).putInt(i).putInt(size).flip();
                        body.flip();
                        while (socket.send(header, body) == Sent.FULL) {
                            Thread.onSpinWait();
                        }
                    }
                    done.countDown();
                });
            }

            int[] next = new int[threads];
            for (int i = 0; i < threads * messagesEach; i++) {
                ByteBuffer header = ByteBuffer.wrap(readFully(pair.far, 12));
                int sender = header.getInt();
                assertThat(sender).as("seed %d", seed).isBetween(0, threads - 1);
                assertThat(header.getInt()).as("seed %d", seed).isEqualTo(next[sender]++);
                for (byte b : readFully(pair.far, header.getInt())) {
                    if (b != sender) {
                        throw new AssertionError("Foreign byte in a message, seed " + seed);
                    }
                }
            }
            done.await();
            socket.close();
        }
    }

    @Test
    void fileRegionsKeepTheirPlaceBetweenBuffers() throws Exception {
        byte[] content = new byte[3 << 20];
        new Random(1).nextBytes(content);
        Path file = dir.resolve("segment");
        Files.write(file, content);
        try (Pair pair = Pair.tcp();
                FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            DuplexSocket socket = new DuplexSocket(pair.near, "regions", 16 << 20);
            socket.start(new Recorder(16));
            AtomicInteger released = new AtomicInteger();

            socket.send(bytes(1));
            for (int i = 0; i < 3; i++) {
                socket.send(new FileRegion(channel, 5, content.length) {
                    @Override
                    public void released(boolean sent) {
                        released.addAndGet(sent ? 1 : 100);
                    }
                });
                socket.send(bytes(2, 3));
            }

            assertThat(readFully(pair.far, 1)).containsExactly(1);
            for (int i = 0; i < 3; i++) {
                assertThat(readFully(pair.far, content.length - 5))
                        .isEqualTo(Arrays.copyOfRange(content, 5, content.length));
                assertThat(readFully(pair.far, 2)).containsExactly(2, 3);
            }
            await().until(() -> released.get() == 3);
            socket.close();
        }
    }

    @Test
    void regionOfAFileThatEndsEarlyClosesTheSocket() throws Exception {
        Path file = dir.resolve("short");
        Files.write(file, new byte[10]);
        try (Pair pair = Pair.tcp();
                FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "short", QUEUE_LIMIT);
            socket.start(recorder);

            Sent sent = socket.send(new FileRegion(channel, 0, 11));

            assertThat(sent).isEqualTo(Sent.CLOSED);
            assertThat(recorder.closed.join()).isInstanceOf(EOFException.class);
        }
    }

    @Test
    void whatWasQueuedIsReleasedUnsentOnClose() throws Exception {
        Path file = dir.resolve("big");
        Files.write(file, new byte[32 << 20]);
        try (Pair pair = Pair.tcp();
                FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "dropped", QUEUE_LIMIT);
            socket.start(recorder);
            CompletableFuture<Boolean> released = new CompletableFuture<>();

            Sent sent = socket.send(new FileRegion(channel, 0, 32 << 20) {
                @Override
                public void released(boolean all) {
                    released.complete(all);
                }
            });
            socket.close("no more");

            assertThat(sent).isEqualTo(Sent.QUEUED);
            assertThat(released.join()).isFalse();
            assertThat(socket.send(bytes(1))).isEqualTo(Sent.CLOSED);
        }
    }

    @Test
    void ownerWaitsForALargeBufferWithoutACopy() throws Exception {
        int size = 8 << 20;
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "large", 0);
            AtomicBoolean complete = new AtomicBoolean();
            socket.start(new Recorder(16) {
                @Override
                public void received() throws IOException {
                    complete.set(socket.sendAndWait(ByteBuffer.allocateDirect(size)));
                    socket.send(bytes(42));
                }
            });

            pair.far.write(bytes(1));
            byte[] got = readFully(pair.far, size + 1);

            assertThat(got[size]).isEqualTo((byte) 42);
            assertThat(complete).isTrue();
            socket.close();
        }
    }

    @Test
    void ownerThatWaitsToSendIsReleasedByClose() throws Exception {
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "stuck", 0);
            CompletableFuture<Boolean> outcome = new CompletableFuture<>();
            socket.start(new Recorder(16) {
                @Override
                public void received() throws IOException {
                    outcome.complete(socket.sendAndWait(ByteBuffer.allocateDirect(64 << 20)));
                }
            });

            pair.far.write(bytes(1));
            await().until(() -> socket.queuedBytes() > 0);
            socket.close("enough");

            assertThat(outcome.join()).isFalse();
        }
    }

    @Test
    void closedIsToldOnceHoweverManyClose() throws Exception {
        for (int round = 0; round < 50; round++) {
            try (Pair pair = Pair.tcp()) {
                Recorder recorder = new Recorder(16);
                DuplexSocket socket = new DuplexSocket(pair.near, "once", QUEUE_LIMIT);
                socket.start(recorder);
                List<Thread> closers = new ArrayList<>();

                for (int i = 0; i < 4; i++) {
                    closers.add(Thread.ofPlatform().start(() -> socket.close("first wins")));
                }
                for (Thread closer : closers) {
                    closer.join();
                }
                recorder.closed.join();

                assertThat(recorder.closedCalls).hasValue(1);
                assertThat(recorder.why).isEqualTo("first wins");
            }
        }
    }

    @Test
    void handlerThatWantsNothingIsNotGivenAnything() throws Exception {
        try (Pair pair = Pair.tcp()) {
            Recorder recorder = new Recorder(1000);
            recorder.wants = false;
            DuplexSocket socket = new DuplexSocket(pair.near, "paused", QUEUE_LIMIT);
            socket.start(recorder);
            pair.far.write(bytes(1, 2, 3));
            socket.wakeOwner();
            assertThat(recorder.taken()).isEmpty();

            recorder.wants = true;
            socket.wakeOwner();

            await().untilAsserted(() -> assertThat(recorder.taken()).containsExactly(1, 2, 3));
            socket.close();
        }
    }

    @Test
    void halfClosedClientStillGetsItsAnswer() throws Exception {
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "half", QUEUE_LIMIT);
            Recorder recorder = new Recorder(16) {
                @Override
                public void ended() {
                    socket.send(bytes(9));
                    socket.closeWhenSent("the other side has ended", Duration.ofSeconds(10));
                }
            };
            socket.start(recorder);

            pair.far.shutdownOutput();

            assertThat(readFully(pair.far, 1)).containsExactly(9);
            assertThat(pair.far.read(ByteBuffer.allocate(1))).isEqualTo(-1);
            assertThat(recorder.closed.join()).isNull();
        }
    }

    @Test
    void queueIsSentBeforeAnOrderlyClose() throws Exception {
        try (Pair pair = Pair.tcp()) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "orderly", QUEUE_LIMIT);
            socket.start(recorder);

            socket.send(ByteBuffer.allocate(16 << 20));
            socket.closeWhenSent("done", Duration.ofSeconds(30));

            readFully(pair.far, 16 << 20);
            assertThat(pair.far.read(ByteBuffer.allocate(1))).isEqualTo(-1);
            recorder.closed.join();
            assertThat(recorder.why).isEqualTo("done");
        }
    }

    @Test
    void deadlineThatPassesNamesWhatWasAwaited() throws Exception {
        try (Pair pair = Pair.tcp()) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "late", QUEUE_LIMIT);
            socket.start(recorder);

            socket.deadline(Duration.ofMillis(1), "the handshake was to end within 1 ms");

            assertThat(recorder.closed.join()).hasMessageContaining("handshake was to end within 1 ms");
        }
    }

    @Test
    void socketClosedBeforeItHadAnOwnerStillTellsItsHandler() throws Exception {
        try (Pair pair = Pair.tcp()) {
            Recorder recorder = new Recorder(16);
            DuplexSocket socket = new DuplexSocket(pair.near, "early", QUEUE_LIMIT);

            socket.close("before it began");
            socket.run(recorder);

            assertThat(recorder.why).isEqualTo("before it began");
        }
    }

    @Test
    void ownerThatLooksForBytesGetsThemAllAndHearsWhoeverWakesIt() throws Exception {
        try (Pair pair = Pair.tcp()) {
            AtomicInteger awake = new AtomicInteger();
            DuplexSocket socket = new DuplexSocket(pair.near, "eager", QUEUE_LIMIT);
            socket.start(new Echo(socket) {
                @Override
                public boolean expectsBytesSoon() {
                    return true;
                }

                @Override
                public void awake() {
                    awake.incrementAndGet();
                }
            });

            for (int i = 0; i < 2_000; i++) {
                pair.far.write(bytes(i, i + 1));
                assertThat(readFully(pair.far, 2)).containsExactly((byte) i, (byte) (i + 1));
                int before = awake.get();
                socket.wakeOwner();
                await().pollInterval(Duration.ofNanos(1_000)).until(() -> awake.get() > before);
            }
            pair.far.shutdownOutput();
            socket.close();
        }
    }

    @Test
    void exceptionOfTheHandlerClosesTheSocket() throws Exception {
        try (Pair pair = Pair.tcp()) {
            DuplexSocket socket = new DuplexSocket(pair.near, "broken", QUEUE_LIMIT);
            Recorder recorder = new Recorder(16) {
                @Override
                public void received() {
                    throw new IllegalStateException("bug");
                }
            };
            socket.start(recorder);

            pair.far.write(bytes(1));

            assertThat(recorder.closed.join()).hasMessage("bug");
            assertThat(pair.far.read(ByteBuffer.allocate(1))).isEqualTo(-1);
        }
    }

    // ---- fixtures

    private static ByteBuffer bytes(int... values) {
        ByteBuffer buffer = ByteBuffer.allocate(values.length);
        for (int value : values) {
            buffer.put((byte) value);
        }
        return buffer.flip();
    }

    private static byte[] readFully(SocketChannel from, int count) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(count);
        while (into.hasRemaining()) {
            if (from.read(into) < 0) {
                throw new EOFException("Ended after " + into.position() + " of " + count);
            }
        }
        return into.array();
    }

    /** Two ends of a connection: the near one to be owned, the far one plain and blocking, with small buffers. */
    private record Pair(SocketChannel near, SocketChannel far) implements AutoCloseable {
        static Pair tcp() throws IOException {
            try (ServerSocketChannel server = ServerSocketChannel.open()) {
                server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
                SocketChannel far = SocketChannel.open();
                far.setOption(StandardSocketOptions.SO_RCVBUF, 32 << 10);
                far.connect(server.getLocalAddress());
                return new Pair(server.accept(), far);
            }
        }

        @Override
        public void close() throws IOException {
            near.close();
            far.close();
        }
    }

    private static class Recorder implements DuplexSocket.Handler {
        final CompletableFuture<@Nullable Throwable> closed = new CompletableFuture<>();
        final AtomicInteger closedCalls = new AtomicInteger();
        volatile boolean wants = true;
        volatile String why = "";
        private final ByteBuffer buffer;
        private volatile byte[] taken = {};

        Recorder(int room) {
            buffer = ByteBuffer.allocate(room);
        }

        byte[] taken() {
            return taken;
        }

        @Override
        public @Nullable ByteBuffer readInto() {
            return wants ? buffer : null;
        }

        @Override
        public void received() throws IOException {
            taken = Arrays.copyOf(buffer.array(), buffer.position());
        }

        @Override
        public void ended() {}

        @Override
        public void closed(String reason, @Nullable Throwable failure) {
            why = reason;
            closedCalls.incrementAndGet();
            closed.complete(failure);
        }
    }

    private static class Echo extends Recorder {
        private final DuplexSocket socket;
        private final ByteBuffer buffer = ByteBuffer.allocate(100);

        Echo(DuplexSocket socket) {
            super(0);
            this.socket = socket;
        }

        @Override
        public ByteBuffer readInto() {
            return buffer;
        }

        @Override
        public void received() {
            socket.send(buffer.flip());
            buffer.clear();
        }
    }
}
