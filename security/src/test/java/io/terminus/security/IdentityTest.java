package io.terminus.security;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdentityTest {

    @TempDir
    private Path directory;

    @Test
    void rolesNamesAndVolumesComeFromTheCertificate() throws Exception {
        Identity identity = identity(
                "terminus:role/reader", "terminus:agent/a", "terminus:volume/db", "terminus:role/king", "http://else");

        assertThat(identity.roles()).containsExactlyInAnyOrder(Role.READER, Role.AGENT);
        assertThat(identity.agent()).isEqualTo("a");
        assertThat(identity.volumes()).containsExactly("db");
        assertThat(identity.subject()).isEqualTo("CN=somebody");
    }

    @Test
    void nobodyIsAnAgentWithoutAName() throws Exception {
        Identity identity = identity("terminus:role/agent", "terminus:agent/");

        assertThat(identity.roles()).isEmpty();
        assertThat(identity.hasAny(Set.of(Role.values()))).isFalse();
    }

    @Test
    void adminsMayAllAndOperatorsMayRead() throws Exception {
        assertThat(identity("terminus:role/admin").has(Role.OPERATOR)).isTrue();
        assertThat(identity("terminus:role/operator").has(Role.READER)).isTrue();
        assertThat(identity("terminus:role/operator").has(Role.ADMIN)).isFalse();
        assertThat(identity("terminus:role/reader").has(Role.OPERATOR)).isFalse();
        assertThat(identity("terminus:role/client").has(Role.READER)).isFalse();
    }

    @Test
    void refusalsNameTheRoleNeededAndTheRolesHad() throws Exception {
        assertThat(identity("terminus:role/reader").refusal("to resize", Set.of(Role.OPERATOR)))
                .isEqualTo("to resize needs the role operator; CN=somebody has reader");
        assertThat(Identity.nobody().refusal("to resize", Set.of(Role.OPERATOR)))
                .isEqualTo("to resize needs the role operator; no certificate was shown");
    }

    @Test
    void portsBeyondLoopbackNeedCallersThatAreKnownOrTheSetting() {
        Exposure shut = new Exposure(false);

        assertThat(shut.refusal("gRPC", "127.0.0.1", false, "set x, or")).isNull();
        assertThat(shut.refusal("gRPC", "0.0.0.0", true, "set x, or")).isNull();
        assertThat(shut.refusal("gRPC", "0.0.0.0", false, "set x, or")).contains("0.0.0.0", "terminus.insecure=true");
        assertThat(new Exposure(true).refusal("gRPC", "0.0.0.0", false, "set x, or"))
                .isNull();
    }

    private Identity identity(String... uris) throws Exception {
        Path made = Files.createTempDirectory(directory, "ca");
        Instant later = Instant.now().plusSeconds(3600);
        TlsFiles files =
                CertificateAuthority.create(made, "ca", later).issue("somebody", List.of(uris), List.of(), later);
        return Identity.of(Pem.certificates(Files.readAllBytes(files.cert())).getFirst());
    }
}
