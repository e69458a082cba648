package io.terminus.security;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TlsKeysTest {

    private static final Instant LATER = Instant.now().plus(Duration.ofDays(1));

    @TempDir
    private Path directory;

    private CertificateAuthority ours;
    private CertificateAuthority theirs;
    private TlsFiles files;

    @BeforeEach
    void makeFiles() throws Exception {
        ours = CertificateAuthority.create(directory.resolve("ours"), "ours", LATER);
        theirs = CertificateAuthority.create(directory.resolve("theirs"), "theirs", LATER);
        files = ours.issue("a", List.of("terminus:agent/a"), List.of("localhost"), LATER);
    }

    @Test
    void newFilesCountFromTheNextLookOn() throws Exception {
        try (TlsKeys keys = TlsKeys.load("agent.tls", files)) {
            var before = keys.context();
            ours.issue("a", List.of("terminus:agent/b"), List.of("localhost"), LATER);

            boolean changed = keys.reload() || !keys.identity().agent().equals("a");

            assertThat(changed).isTrue();
            assertThat(keys.identity().agent()).isEqualTo("b");
            assertThat(keys.context()).isNotSameAs(before);
        }
    }

    @Test
    void halfWrittenFilesLeaveTheOldKeyAndBothAuthoritiesInForce() throws Exception {
        try (TlsKeys keys = TlsKeys.load("agent.tls", files)) {
            TlsFiles next = theirs.issue("a", List.of("terminus:agent/b"), List.of("localhost"), LATER);
            copy(next.ca(), files.ca());
            copy(next.cert(), files.cert()); // and the key is still the old one

            keys.reload();

            assertThat(keys.identity().agent()).isEqualTo("a");
            assertThat(issuers(keys)).containsExactlyInAnyOrder("CN=ours", "CN=theirs");

            copy(next.key(), files.key());
            keys.reload();

            assertThat(keys.identity().agent()).isEqualTo("b");
            assertThat(issuers(keys)).containsExactly("CN=theirs");
        }
    }

    @Test
    void filesThatHoldNothingUsefulChangeNothing() throws Exception {
        try (TlsKeys keys = TlsKeys.load("agent.tls", files)) {
            var before = keys.context();
            Files.writeString(files.ca(), "half a certif");

            boolean changed = keys.reload();

            assertThat(changed).isFalse();
            assertThat(keys.context()).isSameAs(before);
        }
    }

    @Test
    void keyOfAnotherCertificateIsRefusedAtTheStart() throws Exception {
        TlsFiles other = ours.issue("b", List.of("terminus:agent/b"), List.of(), LATER);

        assertThatThrownBy(() -> TlsKeys.load("agent.tls", new TlsFiles(files.cert(), other.key(), files.ca())))
                .isInstanceOf(KeysRefusedException.class)
                .hasMessageContaining("agent.tls")
                .hasMessageContaining(other.key().toString())
                .hasMessageContaining(files.cert().toString());
    }

    @Test
    void messagesNeverQuoteAKey() throws Exception {
        String secret =
                Files.readString(files.key()).lines().skip(1).findFirst().orElseThrow();
        Files.writeString(files.key(), "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n");

        assertThatThrownBy(() -> TlsKeys.load("agent.tls", files))
                .isInstanceOf(KeysRefusedException.class)
                .hasMessageContaining(files.key().toString())
                .satisfies(e -> assertThat(e.toString() + e.getCause()).doesNotContain(secret.substring(0, 16)));
    }

    @Test
    void keysAreReadableByTheirOwnerAlone() throws Exception {
        assertThat(Files.getPosixFilePermissions(files.key())).hasSize(2);
        assertThat(Files.getPosixFilePermissions(directory.resolve("ours/ca.key")))
                .hasSize(2);
    }

    private static List<String> issuers(TlsKeys keys) {
        return Arrays.stream(keys.trustManager().getAcceptedIssuers())
                .map(X509Certificate::getSubjectX500Principal)
                .map(Object::toString)
                .toList();
    }

    private static void copy(Path from, Path to) throws Exception {
        Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING);
    }
}
