package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.Certificates;
import io.terminus.agent.nbd.Exports.Lookup;
import io.terminus.agent.nbd.NbdTestClient.Disconnected;
import io.terminus.agent.nbd.NbdTestClient.Extent;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Supplier;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A client of one server whose export another one serves. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class RelayTest {

    private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    private static final int SIZE = 40 << 20;

    private final MemoryExport disk = new MemoryExport("disk", SIZE);
    private final Moving exports = new Moving();
    private final List<AutoCloseable> toClose = new ArrayList<>();
    private SocketAddress front;

    @BeforeEach
    void serve() throws Exception {
        front = tracked(NbdServer.start(
                        ANY_PORT, Security.plain(), exports, TestLimits.relaying(Duration.ofSeconds(20))))
                .address();
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable each : toClose.reversed()) {
            each.close();
        }
    }

    @Test
    void everyWayInReachesTheOtherServer() throws Exception {
        exports.at = writer(Security.plain());
        NbdTestClient structured = tracked(NbdTestClient.open(front, "disk"));
        NbdTestClient simple = tracked(NbdTestClient.connect(front));
        simple.go("disk");
        NbdTestClient old = tracked(NbdTestClient.connect(front));
        old.exportName("disk");
        NbdTestClient extended = tracked(NbdTestClient.connect(front));
        extended.extendedHeaders();
        extended.selectContexts("disk", "base:allocation");
        extended.go("disk");

        structured.write(1000, new byte[] {1, 2, 3});
        old.writeThrough(1003, new byte[] {4});
        simple.flush();
        Map<Integer, List<Extent>> status = extended.status(0, 0, 8192);

        assertThat(structured.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(simple.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(old.read(1000, 5)).containsExactly(1, 2, 3, 4, 0);
        assertThat(status).isNotEmpty();
        assertThat(disk.flushes).hasValue(1);
    }

    @Test
    void largeAndSmallRequestsPassInBothDirections() throws Exception {
        exports.at = writer(Security.plain());
        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));
        Random random = new Random(7);
        byte[] model = new byte[SIZE];

        for (int round = 0; round < 20; round++) {
            int length = 1 + random.nextInt(round % 5 == 0 ? 16 << 20 : 6000);
            int offset = random.nextInt(SIZE - length);
            byte[] data = new byte[length];
            random.nextBytes(data);
            System.arraycopy(data, 0, model, offset, length);
            client.write(offset, data);
        }

        assertThat(Arrays.equals(client.read(0, 32 << 20), Arrays.copyOf(model, 32 << 20)))
                .isTrue();
        assertThat(Arrays.equals(disk.content(), model)).isTrue();
    }

    @Test
    void clientThatReadsNothingStopsBeingReadAndCostsWhatIsHeld() throws Exception {
        NbdServer writer = start(Security.plain());
        exports.at = (InetSocketAddress) writer.address();
        NbdServer relaying = tracked(NbdServer.start(ANY_PORT, Security.plain(), exports, Limits.defaults()));
        NbdTestClient deaf = tracked(NbdTestClient.open(relaying.address(), "disk"));

        for (int i = 0; i < 20; i++) {
            deaf.submit(Wire.CMD_READ, 0, 0, 32 << 20);
        }

        await().until(() -> relaying.bufferBytes() > 0 && writer.bufferBytes() > 0);
        assertThat(relaying.bufferBytes()).isLessThan(2 << 20);
        assertThat(writer.bufferBytes()).isLessThan(8 << 20);
    }

    @Test
    void clientWaitsInTheHandshakeWhileNobodyServes() throws Exception {
        Thread later = Thread.ofVirtual().unstarted(() -> {
            await().until(() -> exports.asked > 1);
            exports.at = writer(Security.plain());
        });
        later.start();

        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));

        client.write(0, new byte[] {5});
        assertThat(client.read(0, 1)).containsExactly(5);
    }

    @Test
    void clientIsServedHereWhenThisServerBecomesTheWriterMeanwhile() throws Exception {
        Thread.ofVirtual().start(() -> {
            await().until(() -> exports.asked > 1);
            exports.here = true;
        });

        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));

        client.write(0, new byte[] {6});
        assertThat(disk.content()[0]).isEqualTo((byte) 6);
    }

    @Test
    void clientIsToldWhyWhenNobodyServesForTooLong() throws Exception {
        SocketAddress impatient = tracked(NbdServer.start(
                        ANY_PORT, Security.plain(), exports, TestLimits.relaying(Duration.ofMillis(300))))
                .address();

        assertThatThrownBy(() -> NbdTestClient.open(impatient, "disk"))
                .hasMessageContaining("volume disk is not served by this agent")
                .hasMessageContaining("nobody writes");
    }

    @Test
    void connectionEndsWhenTheWriterChangesOrEnds() throws Exception {
        NbdServer writer = start(Security.plain());
        exports.at = (InetSocketAddress) writer.address();
        NbdTestClient first = tracked(NbdTestClient.open(front, "disk"));
        first.write(0, new byte[] {1});
        exports.term = 2;

        first.awaitEnd();

        NbdTestClient second = tracked(NbdTestClient.open(front, "disk"));
        second.write(0, new byte[] {1});
        writer.close();
        assertThatThrownBy(() -> second.read(0, 1))
                .isInstanceOfAny(Disconnected.class, IOException.class, AssertionError.class);
    }

    /** Two owners that wake each other without need do so for ever: each needs a core then. */
    @Test
    void relayInUseCostsLessThanACore() throws Exception {
        exports.at = writer(Security.plain());
        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));
        NbdTestClient other = tracked(NbdTestClient.open(exports.at, "disk"));
        client.write(0, new byte[4096]);
        long cpuBefore = cpuNanosOfRelays();
        long before = System.nanoTime();

        while (System.nanoTime() - before < 300_000_000) {
            other.flush(); // time passes, and nothing on the relayed connection
        }

        assertThat(cpuNanosOfRelays() - cpuBefore).isLessThan((System.nanoTime() - before) / 20);
    }

    private static long cpuNanosOfRelays() {
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        return Arrays.stream(threads.getThreadInfo(threads.getAllThreadIds()))
                .filter(thread -> thread != null && thread.getThreadName().startsWith("NBD relay to"))
                .mapToLong(thread -> threads.getThreadCpuTime(thread.getThreadId()))
                .sum();
    }

    @Test
    void relayedClientGetsNoExportButTheOneItWasLetInTo() throws Exception {
        MemoryExport other = new MemoryExport("other", SIZE);
        exports.at = (InetSocketAddress)
                tracked(NbdServer.start(ANY_PORT, Security.plain(), MemoryExports.of(disk, other), Limits.defaults()))
                        .address();
        NbdTestClient client = tracked(NbdTestClient.connect(front));

        client.info("disk");

        assertThat(client.list()).extracting(NbdTestClient.Listed::name).containsExactly("disk");
        assertThatThrownBy(() -> client.go("other")).hasMessageContaining("other");
        client.go("disk");
        client.write(0, new byte[] {7});
        assertThat(disk.content()[0]).isEqualTo((byte) 7);
    }

    @Test
    void relayedClientIsNotSentOn() throws Exception {
        exports.at = (InetSocketAddress) front; // two agents that take each other for the writer
        SocketAddress impatient = tracked(NbdServer.start(
                        ANY_PORT, Security.plain(), exports, TestLimits.relaying(Duration.ofMillis(300))))
                .address();

        assertThatThrownBy(() -> NbdTestClient.open(impatient, "disk"))
                .hasMessageContaining("is not served by this agent");
    }

    @Test
    void halfClosedClientGetsItsAnswers() throws Exception {
        exports.at = writer(Security.plain());
        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));
        long write = client.submit(Wire.CMD_WRITE, 0, 0, 3, (byte) 1, (byte) 2, (byte) 3);

        client.endOutput();

        client.await(write).ok();
        client.awaitEnd();
    }

    @Test
    void betweenServersTheBytesAreUnderTls(@TempDir Path dir) throws Exception {
        Certificates made = Certificates.make(dir.resolve("tls"));
        SSLContext clientSide = made.client();
        InetSocketAddress secure = writer(Security.required(made.server()));
        exports.at = secure;
        exports.tls = () -> {
            SSLEngine engine = clientSide.createSSLEngine("localhost", secure.getPort());
            engine.setUseClientMode(true);
            return engine;
        };
        NbdTestClient client = tracked(NbdTestClient.open(front, "disk"));
        byte[] data = new byte[3 << 20];
        new Random(3).nextBytes(data);

        client.write(4096, data);

        assertThat(Arrays.equals(client.read(4096, data.length), data)).isTrue();
        assertThat(Arrays.equals(Arrays.copyOfRange(disk.content(), 4096, 4096 + data.length), data))
                .isTrue();
    }

    /** The writer and where it is; both may change. */
    private final class Moving implements Exports {
        private volatile @Nullable InetSocketAddress at;
        private volatile @Nullable Supplier<SSLEngine> tls;
        private volatile boolean here;
        private volatile int term = 1;
        private volatile int asked;

        @Override
        public List<Export> list() {
            return here ? List.of(disk) : List.of();
        }

        @Override
        @SuppressWarnings("NonAtomicVolatileUpdate") // one client at a time
        public Lookup find(String name) {
            if (here) {
                return new Lookup.Found(disk);
            }
            return new Lookup.Elsewhere("disk", () -> {
                asked = asked + 1;
                InetSocketAddress known = at;
                if (known == null) {
                    throw new IOException("nobody writes");
                }
                return new Upstream(known, Optional.ofNullable(tls));
            });
        }

        @Override
        public String writer(String name) {
            return "term " + term;
        }
    }

    private InetSocketAddress writer(Security security) {
        return (InetSocketAddress) start(security).address();
    }

    private NbdServer start(Security security) {
        try {
            return tracked(NbdServer.start(ANY_PORT, security, MemoryExports.of(disk), Limits.defaults()));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private <T extends AutoCloseable> T tracked(T closeable) {
        synchronized (toClose) {
            toClose.add(closeable);
        }
        return closeable;
    }
}
