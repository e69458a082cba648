package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher at the root of the repository, in a tree of its own with JDKs and a Maven that are shell scripts. */
@EnabledOnOs({OS.LINUX, OS.MAC})
class LauncherTest {

    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final List<String> PROGRAMS = List.of("lockmgr-service", "replication-agent", "cli");

    private record Result(int exitCode, String out, String err) {}

    private Path place;
    private Path home;
    private Path jdks;

    @BeforeEach
    void layOutTree(@TempDir Path directory) throws IOException {
        place = directory.toRealPath();
        jdks = Files.createDirectories(place.resolve("jdks"));
        // With a space, as on many desks.
        home = Files.createDirectories(place.resolve("my terminus"));
        Files.copy(launcher(), home.resolve("terminus"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.writeString(home.resolve("pom.xml"), "<project><version>1.2.3</version></project>");
        for (String module : List.of(
                "proto", "ranges", "lockmgr-client", "lockmgr-service", "replication-agent", "cli", "benchmarks")) {
            Path source = Files.createDirectories(home.resolve(module).resolve("src/main"));
            Files.writeString(home.resolve(module).resolve("pom.xml"), "<project/>");
            Files.writeString(source.resolve("Source.java"), "");
        }
        script(home.resolve("mvnw"), """
                echo "$@" >> mvnw-calls
                echo "with $JAVA_HOME"
                [ -p hold ] && cat hold > /dev/null
                if [ -f broken ]; then echo 'Source.java: a semicolon is missing'; exit 1; fi
                for program in lockmgr-service replication-agent cli benchmarks; do
                  mkdir -p $program/target/lib && touch $program/target/$program.jar
                done
                """);
    }

    @Test
    void withoutAnyJdkItSaysWhatIsNeeded() throws IOException, InterruptedException {
        Result result = launch("status");

        assertThat(result.exitCode).isEqualTo(1);
        assertThat(result.err.lines()).hasSize(1);
        assertThat(result.err).contains("a JDK 25 or newer is needed and none was found; install one");
    }

    @Test
    void aJdkThatIsTooOldIsNamed() throws IOException, InterruptedException {
        jdk("old", "17.0.15", true);
        jdk("ancient", "1.8.0_402", true);

        Result result = launch("status");

        assertThat(result.exitCode).isEqualTo(1);
        assertThat(result.err.lines()).hasSize(1);
        assertThat(result.err)
                .contains("found only Java 8 at " + jdks.resolve("ancient") + ", Java 17 at " + jdks.resolve("old"));
    }

    @Test
    void aJavaWithoutACompilerIsNotEnough() throws IOException, InterruptedException {
        jdk("jre", "25.0.1", false);

        Result result = launch("status");

        assertThat(result.exitCode).isEqualTo(1);
        assertThat(result.err).contains("Java 25 without a compiler at " + jdks.resolve("jre"));
    }

    @Test
    void theRightJdkIsFoundAmongOlderOnesEvenWhenAnOldOneIsTheDefault() throws IOException, InterruptedException {
        build();
        Path old = jdk("a-old", "17.0.15", true);
        Path right = jdk("b-right", "25.0.3", true);

        Result result = launch(home, List.of("terminus"), Map.of("JAVA_HOME", old.toString()), "status");

        assertThat(result.err).isEmpty();
        assertThat(result.out).startsWith(right + "/bin/java ");
    }

    @Test
    void aJavaThatOnlyItsOwnOutputDescribesIsAsked() throws IOException, InterruptedException {
        build();
        Path right = jdk("plain", "25", true);
        Files.delete(right.resolve("release"));

        assertThat(launch("status").out).startsWith(right + "/bin/java ");
    }

    @Test
    void theJdkThatIsToldIsUsedOrTheReasonGivenWhyNot() throws IOException, InterruptedException {
        build();
        jdk("right", "25.0.3", true);
        Path newer = jdk("z-newer", "26", true);
        Path old = jdk("old", "21.0.1", true);

        Result used = launch(home, List.of("terminus"), Map.of("TERMINUS_JAVA_HOME", newer.toString()), "status");
        Result refused = launch(home, List.of("terminus"), Map.of("TERMINUS_JAVA_HOME", old.toString()), "status");

        assertThat(used.out).startsWith(newer + "/bin/java ");
        assertThat(refused.exitCode).isEqualTo(1);
        assertThat(refused.err).contains("TERMINUS_JAVA_HOME is " + old + ", but Java 21 at " + old);
    }

    @Test
    void argumentsArriveUnchangedFromAnyDirectoryAndThroughLinks() throws IOException, InterruptedException {
        build();
        jdk("right", "25.0.3", true);
        Path elsewhere = Files.createDirectories(place.resolve("elsewhere"));
        Files.createSymbolicLink(home.resolve("link-in-home"), Path.of("terminus"));
        Files.createSymbolicLink(elsewhere.resolve("t"), Path.of("../my terminus/link-in-home"));

        Result result = launch(elsewhere, List.of("./t"), Map.of(), "status", "--dir", "a  b*", "");

        assertThat(result.err).isEmpty();
        assertThat(result.out)
                .contains("-Dterminus.home=" + home + " ")
                .contains("-Dterminus.terminal=false")
                .endsWith("-jar " + home + "/cli/target/cli.jar [status] [--dir] [a  b*] []\n");
    }

    @Test
    void theFirstCommandBuilds() throws IOException, InterruptedException {
        Path right = jdk("right", "25.0.3", true);

        Result first = launch("status");
        Result second = launch("up");

        assertThat(first.exitCode).isZero();
        assertThat(first.err).startsWith("Building Terminus");
        assertThat(second.err).isEmpty();
        assertThat(builds()).containsExactly("-q -B -DskipTests -pl cli -am package");
        assertThat(home.resolve("target/terminus-build.log")).hasContent("with " + right);
    }

    @Test
    void aChangedSourceIsBuiltByUpAloneAndOnce() throws IOException, InterruptedException {
        jdk("right", "25.0.3", true);
        launch("up");
        Path source = home.resolve("ranges/src/main/Source.java");
        Files.setLastModifiedTime(source, FileTime.from(Instant.now().plusSeconds(1)));

        Result status = launch("status");
        int afterStatus = builds().size();
        Result help = launch("up", "--help");
        int afterHelp = builds().size();
        Result up = launch("up");

        assertThat(status.err).isEmpty();
        assertThat(afterStatus).isEqualTo(1);
        assertThat(help.err).isEmpty();
        assertThat(afterHelp).isEqualTo(1);
        assertThat(up.err).startsWith("Building Terminus");
        assertThat(builds()).hasSize(2);
    }

    @Test
    void benchmarksAreBuiltByTheirOwnCommandAlone() throws IOException, InterruptedException {
        jdk("right", "25.0.3", true);
        launch("up");
        Files.delete(home.resolve("benchmarks/target/benchmarks.jar"));

        Result status = launch("status");
        Result bench = launch("bench", "locks", "--quick");
        Result again = launch("bench", "locks");

        assertThat(status.err).isEmpty();
        assertThat(bench.err).startsWith("Building Terminus");
        assertThat(bench.out).endsWith("-jar " + home + "/benchmarks/target/benchmarks.jar [locks] [--quick]\n");
        assertThat(again.err).isEmpty();
        assertThat(builds())
                .containsExactly(
                        "-q -B -DskipTests -pl cli -am package", "-q -B -DskipTests -pl benchmarks -am package");
    }

    @Test
    void aFailedBuildShowsTheEndOfItsLog() throws IOException, InterruptedException {
        jdk("right", "25.0.3", true);
        Files.writeString(home.resolve("broken"), "");

        Result result = launch("up");

        assertThat(result.exitCode).isEqualTo(1);
        assertThat(result.err)
                .contains("Source.java: a semicolon is missing")
                .contains(
                        "terminus: the build failed; the whole log is in " + home.resolve("target/terminus-build.log"));
        assertThat(result.out).isEmpty();
    }

    @Test
    void scriptsCanAskForTheJdk() throws IOException, InterruptedException {
        Path right = jdk("right", "25.0.3", true);

        Result result = launch("--java-home");

        assertThat(result.exitCode).isZero();
        assertThat(result.out).isEqualTo(right + "\n");
        assertThat(home.resolve("mvnw-calls")).doesNotExist();
    }

    @Test
    void buildingCanBeForbidden() throws IOException, InterruptedException {
        jdk("right", "25.0.3", true);

        Result result = launch(home, List.of("terminus"), Map.of("TERMINUS_BUILD", "never"), "up");

        assertThat(result.exitCode).isEqualTo(1);
        assertThat(result.err).contains("cli.jar is not built, and TERMINUS_BUILD=never forbids building it");
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void twoLaunchesBuildOnce() throws IOException, InterruptedException {
        jdk("right", "25.0.3", true);
        Path hold = home.resolve("hold");
        assertThat(new ProcessBuilder("mkfifo", hold.toString()).start().waitFor())
                .isZero();
        Process first = start(home, List.of("terminus"), Map.of(), "status");
        await().atMost(PATIENCE).until(() -> Files.exists(home.resolve("mvnw-calls")));
        Process second = start(home, List.of("terminus"), Map.of(), "status");
        assertThat(second.errorReader().readLine()).startsWith("Waiting for another launch");

        Files.writeString(hold, "go on");

        assertThat(finish(first).exitCode).isZero();
        assertThat(finish(second).exitCode).isZero();
        assertThat(builds()).hasSize(1);
    }

    @Test
    void versionAndHelpNeedNeitherJavaNorABuild() throws IOException, InterruptedException {
        Result version = launch("--version");
        Result help = launch("--help");

        assertThat(version.exitCode).isZero();
        assertThat(version.out).isEqualTo("terminus 1.2.3 (not built yet)\n");
        assertThat(help.exitCode).isZero();
        assertThat(help.out).contains("Usage: terminus COMMAND");
    }

    private void build() throws IOException {
        for (String program : PROGRAMS) {
            Path target = home.resolve(program).resolve("target");
            Files.createDirectories(target.resolve("lib"));
            Files.writeString(target.resolve(program + ".jar"), "");
        }
    }

    private List<String> builds() throws IOException {
        return Files.readAllLines(home.resolve("mvnw-calls"));
    }

    /** A java that says its version, and else prints how it was called: flags plainly, the program's arguments in brackets. */
    private Path jdk(String name, String version, boolean compiler) throws IOException {
        Path jdk = Files.createDirectories(jdks.resolve(name));
        Files.createDirectories(jdk.resolve("bin"));
        Files.writeString(jdk.resolve("release"), "IMPLEMENTOR=\"Test\"\nJAVA_VERSION=\"" + version + "\"\n");
        script(jdk.resolve("bin/java"), """
                if [ "$1" = -version ]; then echo 'openjdk version "VERSION" 2025-09-16' >&2; exit 0; fi
                line=$0
                while [ "$1" != -jar ]; do line="$line $1"; shift; done
                line="$line $1 $2"; shift 2
                for argument in "$@"; do line="$line [$argument]"; done
                printf '%s\\n' "$line"
                """.replace("VERSION", version));
        if (compiler) {
            script(jdk.resolve("bin/javac"), "exit 0\n");
        }
        return jdk;
    }

    private Result launch(String... arguments) throws IOException, InterruptedException {
        return launch(home, List.of("./terminus"), Map.of(), arguments);
    }

    private Result launch(Path from, List<String> launcher, Map<String, String> environment, String... arguments)
            throws IOException, InterruptedException {
        return finish(start(from, launcher, environment, arguments));
    }

    private Process start(Path from, List<String> launcher, Map<String, String> environment, String... arguments)
            throws IOException {
        List<String> command = new ArrayList<>(List.of("/bin/sh"));
        command.addAll(launcher);
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).directory(from.toFile());
        builder.environment().clear();
        builder.environment().put("PATH", tools().toString());
        builder.environment().put("HOME", place.toString());
        builder.environment().put("TERMINUS_JDK_PLACES", jdks.toString());
        builder.environment().putAll(environment);
        return builder.start();
    }

    private static Result finish(Process process) throws IOException, InterruptedException {
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Result(process.waitFor(), out, err);
    }

    /** The programs the launcher may use, and no java among them. */
    private Path tools() throws IOException {
        Path tools = place.resolve("tools");
        if (Files.notExists(tools)) {
            Files.createDirectories(tools);
            for (String tool : List.of(
                    "sh",
                    "sed",
                    "head",
                    "tail",
                    "find",
                    "dirname",
                    "readlink",
                    "mkdir",
                    "rm",
                    "touch",
                    "cat",
                    "flock")) {
                for (String folder : List.of("/usr/bin", "/bin")) {
                    Path program = Path.of(folder, tool);
                    if (Files.exists(program) && Files.notExists(tools.resolve(tool))) {
                        script(tools.resolve(tool), "exec " + program + " \"$@\"\n");
                    }
                }
            }
        }
        return tools;
    }

    private static void script(Path file, String body) throws IOException {
        Files.writeString(file, "#!/bin/sh\n" + body);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private static Path launcher() {
        Path beside = Path.of("terminus").toAbsolutePath();
        return Files.isRegularFile(beside) ? beside : Path.of("..", "terminus").toAbsolutePath();
    }
}
