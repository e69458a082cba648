package io.terminus.security;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CertificateAuthorityTest {

    private static final Instant LATER = Instant.now().plus(Duration.ofDays(1));

    @TempDir
    private Path directory;

    @Test
    void noCertificateTakesThePlaceOfTheAuthoritysOwn() throws Exception {
        CertificateAuthority authority = CertificateAuthority.create(directory, "ours", LATER);
        String key = Files.readString(directory.resolve("ca.key"));

        assertThatThrownBy(() -> issue(authority, "ca"))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("its key would be lost");

        assertThat(directory.resolve("ca.key")).hasContent(key);
    }

    @Test
    void namesLeadToFilesOfTheDirectoryAlone() throws Exception {
        CertificateAuthority authority =
                CertificateAuthority.create(Files.createDirectory(directory.resolve("in")), "ours", LATER);

        for (String name : List.of("../x", "a/b", "", ".x", "a b", "\u00fc", "x".repeat(65))) {
            assertThatThrownBy(() -> issue(authority, name)).hasMessageContaining("'" + name + "' breaks the rule");
        }

        try (var files = Files.list(directory)) {
            assertThat(files).containsExactly(directory.resolve("in"));
        }
    }

    @Test
    void aCertificateThatIsNeverValidIsNotMade() throws Exception {
        CertificateAuthority authority = CertificateAuthority.create(directory, "ours", LATER);

        assertThatThrownBy(() ->
                        authority.issue("x", List.of(), List.of(), Instant.now().minus(Duration.ofDays(3))))
                .hasMessageContaining("has to begin before that");

        assertThat(directory.resolve("x.crt")).doesNotExist();
    }

    @Test
    void whereThereIsNoAuthorityThatIsSaid() {
        assertThatThrownBy(() -> CertificateAuthority.open(directory))
                .hasMessageStartingWith("there is no authority in " + directory);
    }

    private static void issue(CertificateAuthority authority, String name) throws IOException {
        var unused = authority.issue(name, List.of("terminus:role/reader"), List.of(), LATER);
    }
}
