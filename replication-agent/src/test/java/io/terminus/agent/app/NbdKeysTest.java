package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.terminus.agent.Certificates;
import io.terminus.agent.RealClients;
import io.terminus.agent.app.AgentProperties.NbdTls;
import io.terminus.agent.nbd.Security;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class NbdKeysTest {

    @TempDir
    Path dir;

    @Test
    void keysInEveryUsualFormAreRead() throws Exception {
        Certificates made = Certificates.make(dir);
        Path traditional = dir.resolve("pkcs1.pem");
        RealClients.run(
                        "openssl",
                        "rsa",
                        "-traditional",
                        "-in",
                        made.file("server-key.pem").toString(),
                        "-out",
                        traditional.toString())
                .succeeded();

        for (Path key : new Path[] {made.file("server-key.pem"), traditional}) {
            Security security = NbdKeys.load(
                    new NbdTls(made.file("server-cert.pem"), key, made.file("ca-cert.pem"), List.of("TLSv1.3"), true),
                    new SimpleMeterRegistry());

            assertThat(security.required()).isTrue();
            assertThat(greeted(security, made)).isEqualTo(42);
        }
    }

    @Test
    void whatIsMissingOrWrongIsNamed() throws Exception {
        Certificates made = Certificates.make(dir);
        Path text = Files.writeString(dir.resolve("text.pem"), "no key at all");

        assertThatThrownBy(() -> NbdKeys.load(
                        new NbdTls(
                                dir.resolve("nowhere"),
                                made.file("server-key.pem"),
                                made.file("ca-cert.pem"),
                                List.of("TLSv1.3"),
                                true),
                        new SimpleMeterRegistry()))
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("agent.nbd-tls.cert of")
                .hasMessageContaining("nowhere");
        assertThatThrownBy(() -> NbdKeys.load(
                        new NbdTls(
                                made.file("server-cert.pem"), text, made.file("ca-cert.pem"), List.of("TLSv1.3"), true),
                        new SimpleMeterRegistry()))
                .isInstanceOf(StartRefusedException.class)
                .hasMessageContaining("text.pem");
    }

    /** What a client with its own certificate hears from a server that demands one. */
    private static int greeted(Security security, Certificates made) throws Exception {
        try (SSLServerSocket server = (SSLServerSocket) security.tls()
                        .orElseThrow()
                        .get()
                        .getServerSocketFactory()
                        .createServerSocket(0, 1, InetAddress.getLoopbackAddress());
                SSLSocket client = (SSLSocket) made.client()
                        .getSocketFactory()
                        .createSocket(InetAddress.getLoopbackAddress(), server.getLocalPort())) {
            server.setNeedClientAuth(true);
            CompletableFuture<Void> served = CompletableFuture.runAsync(() -> {
                try (SSLSocket accepted = (SSLSocket) server.accept()) {
                    accepted.getOutputStream().write(42);
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            int heard = client.getInputStream().read();
            served.join();
            return heard;
        }
    }
}
