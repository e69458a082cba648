package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.security.CertificateAuthority;
import io.terminus.security.KeysRefusedException;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A group under TLS: who may be a member, and who may not. */
@Timeout(120)
class ClusterTlsTest {

    private static final Duration WAIT = Duration.ofSeconds(20);
    private static final Instant UNTIL = Instant.now().plus(Duration.ofDays(1));
    private static final List<String> HOSTS = List.of("127.0.0.1", "localhost");
    private static final String MEMBER = "terminus:role/lockmgr";

    /** What a server of HTTP/2 says first, when the handshake is over for it too: a frame's header. */
    private static final int HEADER_BYTES = 9;

    private static final int SILENCE_MILLIS = 20_000;

    @TempDir
    Path directory;

    private final Map<String, TlsKeys> keys = new HashMap<>();
    private final List<TlsKeys> loaded = new ArrayList<>();
    private CertificateAuthority authority;

    @BeforeEach
    void makeAuthority() throws IOException {
        authority =
                CertificateAuthority.create(Files.createDirectory(directory.resolve("certificates")), "ours", UNTIL);
    }

    @AfterEach
    void closeKeys() {
        loaded.forEach(TlsKeys::close);
    }

    @Test
    void aGroupUnderTlsLeadsAndItsPortIsForLockManagersAlone() throws Exception {
        CertificateAuthority strangers =
                CertificateAuthority.create(Files.createDirectory(directory.resolve("strangers")), "theirs", UNTIL);
        TlsKeys client = issued(authority, "mere-client", "terminus:role/client");
        TlsKeys agent = issued(authority, "agent", "terminus:agent/x");
        TlsKeys stranger = issued(strangers, "stranger", MEMBER);
        try (TestGroup group = TestGroup.secure(directory, 3, this::keysOf);
                LockClient locks = group.client("holder")) {
            Grant held = locks.lock(AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, WAIT));
            int port = group.raftPort(group.leader());

            assertThat(held.believed()).isTrue();
            assertThat(serialSeenBy(keysOf("b"), port)).isNotNull();
            assertThatThrownBy(() -> serialSeenBy(client, port)).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> serialSeenBy(agent, port)).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> serialSeenBy(stranger, port)).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> serialSeenBy(null, port)).isInstanceOf(IOException.class);
            group.awaitAgreement();
        }
    }

    @Test
    void newFilesCountForTheNextConnectionBetweenMembers() throws Exception {
        try (TestGroup group = TestGroup.secure(directory, 3, this::keysOf)) {
            String follower = group.followers().getFirst();
            int port = group.raftPort(follower);
            BigInteger before = serialSeenBy(keysOf("client"), port);

            authority.issue(follower, List.of(MEMBER), HOSTS, UNTIL);

            await().atMost(WAIT)
                    .until(() -> !serialSeenBy(keysOf("client"), port).equals(before));
            group.stop(follower);
            group.start(follower);
            group.awaitAgreement();
        }
    }

    /** The client of the tests is a lock manager as well, so that one set of keys may ask everything. */
    private TlsKeys keysOf(String name) {
        return keys.computeIfAbsent(name, one -> {
            try {
                return issued(authority, one, MEMBER, "terminus:role/admin");
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    private TlsKeys issued(CertificateAuthority by, String name, String... uris) throws IOException {
        TlsFiles files = by.issue(name, List.of(uris), HOSTS, UNTIL);
        try {
            loaded.add(TlsKeys.load("test.tls", files));
            return loaded.getLast();
        } catch (KeysRefusedException e) {
            throw new IOException(e);
        }
    }

    /**
     * The number of the certificate that the port shows, once it has taken the caller's for good.
     *
     * @param own null: the caller has no certificate
     */
    private static BigInteger serialSeenBy(@Nullable TlsKeys own, int port)
            throws IOException, GeneralSecurityException {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(
                own == null ? null : new KeyManager[] {own.keyManager()}, new TrustManager[] {new Everybody()}, null);
        try (Socket plain = new Socket("127.0.0.1", port);
                SSLSocket socket =
                        (SSLSocket) context.getSocketFactory().createSocket(plain, "127.0.0.1", port, true)) {
            socket.setSoTimeout(SILENCE_MILLIS);
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setApplicationProtocols(new String[] {"h2"});
            socket.setSSLParameters(parameters);
            socket.startHandshake();
            if (socket.getInputStream().readNBytes(HEADER_BYTES).length < HEADER_BYTES) {
                throw new IOException("the other side has closed the connection");
            }
            return ((X509Certificate) socket.getSession().getPeerCertificates()[0]).getSerialNumber();
        }
    }

    /** It is the other side that is on trial here. */
    private static final class Everybody extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
