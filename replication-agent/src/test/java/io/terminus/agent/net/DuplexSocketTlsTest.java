package io.terminus.agent.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.agent.Certificates;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocket;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The socket under TLS, with the JDK's own blocking client at the other end. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class DuplexSocketTlsTest {

    @TempDir
    static Path dir;

    private static @Nullable Certificates made;

    private static Certificates certificates() throws Exception {
        Certificates known = made;
        if (known == null) {
            known = Certificates.make(dir.resolve("tls"));
            made = known;
        }
        return known;
    }

    @ParameterizedTest
    @ValueSource(strings = {"TLSv1.3", "TLSv1.2"})
    void everythingComesBackInOrder(String protocol) throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        byte[] sent = new byte[5 << 20];
        random.nextBytes(sent);
        try (Echo echo = new Echo(certificates().server(), 1 + random.nextInt(40_000));
                SSLSocket client = echo.connect(certificates().client())) {
            client.setEnabledProtocols(new String[] {protocol});
            Thread writer = Thread.ofPlatform().start(() -> {
                try {
                    for (int at = 0; at < sent.length; ) {
                        int count = Math.min(sent.length - at, 1 + random.nextInt(100_000));
                        client.getOutputStream().write(sent, at, count);
                        at += count;
                    }
                } catch (IOException e) {
                    return; // the reader says what is missing
                }
            });

            byte[] back = client.getInputStream().readNBytes(sent.length);
            writer.join();

            assertThat(Arrays.equals(back, sent)).as("seed %d", seed).isTrue();
            assertThat(client.getSession().getProtocol()).isEqualTo(protocol);
        }
    }

    @Test
    void whatIsQueuedForASlowReaderFollowsInOrder() throws Exception {
        byte[] sent = new byte[8 << 20];
        new Random(1).nextBytes(sent);
        try (Echo echo = new Echo(certificates().server(), 1 << 16);
                SSLSocket client = echo.connect(certificates().client())) {
            client.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);

            for (int at = 0; at < sent.length; at += 1 << 16) {
                echo.socket().send(ByteBuffer.wrap(sent, at, 1 << 16));
            }

            InputStream slow = new DataInputStream(client.getInputStream());
            assertThat(Arrays.equals(slow.readNBytes(sent.length), sent)).isTrue();
        }
    }

    @Test
    void clientWithACertificateOfSomebodyElseIsTurnedAway() throws Exception {
        Certificates strangers = Certificates.make(dir.resolve("strangers"));
        SSLContext trustingStranger = SSLContext.getInstance("TLS");
        trustingStranger.init(
                null, new javax.net.ssl.TrustManager[] {new TrustEverybody()}, new java.security.SecureRandom());

        for (SSLContext stranger : new SSLContext[] {strangers.client(), trustingStranger}) {
            try (Echo echo = new Echo(certificates().server(), 100);
                    SSLSocket client = echo.connect(stranger)) {
                assertThatThrownBy(() -> {
                            client.getOutputStream().write(1);
                            if (client.getInputStream().read() < 0) {
                                throw new IOException("closed");
                            }
                        })
                        .isInstanceOf(IOException.class);
                assertThat(echo.closed().join()).isTrue();
            }
        }
    }

    @Test
    void bytesThatAreNotTlsCloseTheConnection() throws Exception {
        try (Echo echo = new Echo(certificates().server(), 100);
                Socket client = new Socket(InetAddress.getLoopbackAddress(), echo.port())) {
            client.getOutputStream().write(new byte[1000]);

            client.getInputStream().readAllBytes();

            assertThat(echo.closed().join()).isTrue();
        }
    }

    /** Has never met a certificate it did not like. */
    private static final class TrustEverybody extends javax.net.ssl.X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(java.security.cert.X509Certificate[] chain, String type) {}

        @Override
        public void checkServerTrusted(java.security.cert.X509Certificate[] chain, String type) {}

        @Override
        public void checkClientTrusted(java.security.cert.X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkServerTrusted(java.security.cert.X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkClientTrusted(java.security.cert.X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public void checkServerTrusted(java.security.cert.X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public java.security.cert.X509Certificate[] getAcceptedIssuers() {
            return new java.security.cert.X509Certificate[0];
        }
    }

    /** Accepts one connection, begins TLS at once, and sends back what comes. */
    private static final class Echo implements AutoCloseable {
        private final ServerSocketChannel server = ServerSocketChannel.open();
        private final CompletableFuture<DuplexSocket> accepted = new CompletableFuture<>();
        private final CompletableFuture<Boolean> closed = new CompletableFuture<>();

        Echo(SSLContext context, int bufferBytes) throws IOException {
            server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            Thread.ofPlatform().daemon().start(() -> serve(context, bufferBytes));
        }

        private void serve(SSLContext context, int bufferBytes) {
            try {
                SocketChannel channel = server.accept();
                DuplexSocket socket = new DuplexSocket(channel, "echo", 64 << 20);
                accepted.complete(socket);
                socket.run(new DuplexSocket.Handler() {
                    private final ByteBuffer buffer = ByteBuffer.allocateDirect(bufferBytes);
                    private boolean secure;

                    @Override
                    public ByteBuffer readInto() {
                        if (!secure) {
                            secure = true;
                            SSLEngine engine = context.createSSLEngine();
                            engine.setUseClientMode(false);
                            engine.setNeedClientAuth(true);
                            socket.startTls(engine);
                        }
                        return buffer.clear();
                    }

                    @Override
                    public void received() throws IOException {
                        socket.sendAndWait(buffer.flip());
                    }

                    @Override
                    public void ended() {
                        socket.closeWhenSent("the client has ended", java.time.Duration.ofSeconds(10));
                    }

                    @Override
                    public void closed(String why, @Nullable Throwable failure) {
                        closed.complete(failure != null);
                    }
                });
            } catch (IOException e) {
                accepted.completeExceptionally(e);
            }
        }

        int port() {
            return server.socket().getLocalPort();
        }

        SSLSocket connect(SSLContext client) throws IOException {
            return (SSLSocket) client.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), port());
        }

        DuplexSocket socket() {
            return accepted.join();
        }

        /** When it is over: whether by a failure. */
        CompletableFuture<Boolean> closed() {
            return closed;
        }

        @Override
        public void close() throws IOException {
            server.close();
            if (accepted.isDone()) {
                accepted.join().close();
            }
        }
    }
}
