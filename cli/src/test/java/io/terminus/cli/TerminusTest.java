package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the command line says when it is used wrongly or nothing runs. */
class TerminusTest {

    @TempDir
    private Path place;

    private FakeSet set;

    @BeforeEach
    void nameSet() {
        set = new FakeSet(place.resolve("set"));
    }

    private FakeSet.Result run(String... arguments) {
        return set.run(arguments);
    }

    @Test
    void aWrongCommandLineIsExitCodeTwo() {
        assertThat(run("fly").exitCode()).isEqualTo(2);
        assertThat(run("fly").err()).contains("'fly'");
        assertThat(run("volume").exitCode()).isEqualTo(2);
        assertThat(run("up", "--size", "big").exitCode()).isEqualTo(2);
        assertThat(run("volume", "promote", "demo").exitCode()).isEqualTo(2);
        assertThat(run("volume", "create", "v", "--size", "4k", "--ack-level", "sometimes")
                        .exitCode())
                .isEqualTo(2);
    }

    @Test
    void everyCommandHasHelp() {
        for (String command : new String[] {
            "up", "status", "down", "volume", "peer", "resync", "verify", "locks", "sessions", "journal", "profile"
        }) {
            FakeSet.Result help = run(command, "--help");

            assertThat(help.exitCode()).isZero();
            assertThat(help.out()).contains("Usage: terminus " + command);
        }
    }

    @Test
    void valuesOutOfBoundsAreNamedWithTheRule() {
        assertThat(run("up", "--size", "5000").err())
                .isEqualTo("terminus: size 5000 is not a multiple of 4096 from 4096 to 2^46 bytes\n");
        assertThat(run("up", "--port-base", "65530").err()).contains("port base 65530 is outside 1 to 65526");
        assertThat(place.resolve("set")).doesNotExist();
    }

    @Test
    void whereThereIsNoSetEveryCommandSaysSo() {
        assertThat(run("status").exitCode()).isEqualTo(1);
        assertThat(run("status").err()).contains("there is no set in " + place.resolve("set"));
        assertThat(run("status", "--json").json().path("volumes").size()).isZero();
        assertThat(run("volume", "list").err()).contains("there is no set in");
        assertThat(run("locks", "list").err()).contains("there is no set in");
        assertThat(run("down").exitCode()).isZero();
    }

    @Test
    void aSetThatIsDownIsShownAndOperatorsAreTold() {
        stoppedSet(20_000);

        FakeSet.Result status = run("status", "--json");
        FakeSet.Result locks = run("locks", "list");

        assertThat(status.exitCode()).isEqualTo(1);
        assertThat(status.json().path("processes").path(1).path("running").asBoolean())
                .isFalse();
        assertThat(locks.exitCode()).isEqualTo(1);
        assertThat(locks.err())
                .isEqualTo("terminus: the lock manager at localhost:20002 does not answer: 'terminus status' shows what"
                        + " runs\n");
    }

    @Test
    void aProcessThatTakesConnectionsAndNeverAnswersDoesNotHangStatus() throws IOException {
        SetState state = stoppedSet(21_000);
        try (ServerSocket silent = new ServerSocket()) {
            silent.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            // A process that is taken for the lock manager, and a port that the kernel answers and nobody else.
            Process process = new ProcessBuilder(
                            "sh", "-c", "read line", ProcessIdentity.mark(state.id(), SetMember.LOCKMGR), "x")
                    .start();
            try {
                SetDirectory directory = new SetDirectory(place.resolve("set"));
                int base = silent.getLocalPort() - 2;
                Map<String, ProcessIdentity> processes = new HashMap<>();
                processes.put("lockmgr", ProcessIdentity.of(process.toHandle()));
                directory.save(new SetState(
                        SetState.VERSION,
                        state.id(),
                        base,
                        state.sizeBytes(),
                        null,
                        null,
                        state.java(),
                        processes,
                        null));

                FakeSet.Result status = run("status", "--json");

                assertThat(status.exitCode()).isEqualTo(1);
                assertThat(status.json()
                                .path("processes")
                                .path(0)
                                .path("running")
                                .asBoolean())
                        .isTrue();
                assertThat(status.json()
                                .path("processes")
                                .path(0)
                                .path("healthy")
                                .asBoolean())
                        .isFalse();
            } finally {
                process.destroyForcibly();
            }
        }
    }

    private SetState stoppedSet(int portBase) {
        SetDirectory directory = new SetDirectory(place.resolve("set"));
        directory.create();
        SetState state = new SetState(SetState.VERSION, "id", portBase, 4096, null, null, "java", Map.of(), null);
        directory.save(state);
        return state;
    }
}
