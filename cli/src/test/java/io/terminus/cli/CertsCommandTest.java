package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CertsCommandTest {

    @TempDir
    private Path place;

    private final ByteArrayOutputStream complaints = new ByteArrayOutputStream();

    @Test
    void aSecondAuthorityAndOneOfTheSameNameAreRefused() throws Exception {
        String ca = place.toString();
        assertThat(certs("init", ca)).isZero();
        byte[] key = Files.readAllBytes(place.resolve("ca.key"));

        assertThat(certs("init", ca)).isEqualTo(1);
        assertThat(certs("issue", ca, "ca", "--role", "admin")).isEqualTo(1);

        assertThat(said()).contains("no certificate ca was made: 'ca' is the name of the authority itself");
        assertThat(place.resolve("ca.key")).hasBinaryContent(key);
    }

    @Test
    void whatCannotBeReadOrMadeIsNamedWithTheReason() {
        String nothing = place.resolve("nothing").toString();

        assertThat(certs("issue", nothing, "x", "--role", "reader")).isEqualTo(1);
        assertThat(certs("init", "/proc/nothing")).isEqualTo(1);

        assertThat(said())
                .contains("no certificate x was made: there is no authority in " + nothing)
                .contains("no authority was made in /proc/nothing: no such file (/proc/nothing)");
    }

    private int certs(String command, String... arguments) {
        String[] all = new String[arguments.length + 2];
        all[0] = "certs";
        all[1] = command;
        System.arraycopy(arguments, 0, all, 2, arguments.length);
        PrintStream out = new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8);
        PrintStream err = new PrintStream(complaints, true, StandardCharsets.UTF_8);
        return Terminus.run(FakeSet.installation(), new Screen(out, err, false, false), all);
    }

    private String said() {
        return complaints.toString(StandardCharsets.UTF_8);
    }
}
