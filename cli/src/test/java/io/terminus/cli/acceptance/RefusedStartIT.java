package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * A service that cannot start says why in one sentence that names the value, and ends with 1. (The lock manager's own tests
 * show this for its ports, and {@code up} names an occupied port before it starts anything.)
 */
@ExtendWith(TellsTime.class)
class RefusedStartIT {

    @TempDir
    private Path folder;

    @Test
    void anAgentOnAnOccupiedPort() throws IOException {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                Program agent = agent(folder.resolve("a"), "--agent.nbd-port=" + taken.getLocalPort())) {
            assertRefused(agent, "agent: ", "port " + taken.getLocalPort(), "agent.nbd-port");
        }
    }

    @Test
    void servicesWhoseDirectoryCannotBeMade() throws IOException {
        Path file = Files.createFile(folder.resolve("file"));

        try (Program agent = agent(file.resolve("a"));
                Program lockManager = lockManager(file.resolve("lockmgr"))) {
            assertRefused(agent, "agent: ", file.resolve("a").toString());
            assertRefused(lockManager, "lockmgr: ", file.resolve("lockmgr").toString());
        }
    }

    @Test
    void anAgentWhoseDirectoryIsOfAnotherVersion() throws IOException {
        Path directory = Files.createDirectory(folder.resolve("a"));
        Files.writeString(directory.resolve("agent"), "terminus-agent 7 a\n");

        try (Program agent = agent(directory)) {
            assertRefused(agent, "agent: ", directory.toString(), "terminus-agent 7 a", "terminus-agent 1 a");
        }
    }

    @Test
    void servicesThatEveryoneOnTheNetworkCouldReach() {
        String everywhere = "--server.address=0.0.0.0";

        try (Program agent = agent(folder.resolve("a"), "--agent.bind-address=0.0.0.0", "--server.address=127.0.0.1");
                Program agentsRest = agent(folder.resolve("b"), everywhere);
                Program lockManager = lockManager(
                        folder.resolve("l"), "--lockmgr.bind-address=0.0.0.0", "--server.address=127.0.0.1");
                Program lockManagersRest = lockManager(folder.resolve("m"), everywhere)) {
            String rule = "whoever connects is not authenticated";
            String waiver = "terminus.insecure=true";
            assertRefused(agent, "agent: ", "gRPC on port 0 at 0.0.0.0", rule, "agent.tls.cert", waiver);
            assertRefused(agentsRest, "agent: ", "HTTP on port 0 at 0.0.0.0", rule, "agent.tls.cert", waiver);
            assertRefused(lockManager, "lockmgr: ", "gRPC on port 0 at 0.0.0.0", rule, "lockmgr.tls.cert", waiver);
            assertRefused(lockManagersRest, "lockmgr: ", "HTTP on port 0 at 0.0.0.0", rule, "lockmgr.tls.cert", waiver);
        }
    }

    private Program agent(Path data, String... more) {
        return service(
                "replication-agent",
                List.of(
                        "--agent.name=a",
                        "--agent.data-dir=" + data,
                        "--agent.grpc-port=0",
                        "--agent.peer-port=0",
                        "--agent.nbd-port=0",
                        "--server.port=0"),
                more);
    }

    private Program lockManager(Path data, String... more) {
        return service(
                "lockmgr-service",
                List.of("--lockmgr.data-dir=" + data, "--lockmgr.grpc-port=0", "--server.port=0"),
                more);
    }

    private Program service(String name, List<String> defaults, String... more) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=ALL-UNNAMED",
                "-jar",
                LiveSet.module()
                        .resolve("../" + name + "/target/" + name + ".jar")
                        .normalize()
                        .toString()));
        List<String> settings = new ArrayList<>(defaults);
        for (String setting : more) {
            settings.removeIf(given -> given.startsWith(setting.substring(0, setting.indexOf('=') + 1)));
            settings.add(setting);
        }
        command.addAll(settings);
        return Program.start(folder, command);
    }

    private static void assertRefused(Program service, String begin, String... named) {
        assertThat(service.exitCode()).as(service.output()).isEqualTo(1);
        List<String> sentences =
                service.output().lines().filter(line -> line.startsWith(begin)).toList();
        assertThat(sentences).as(service.output()).hasSize(1);
        assertThat(sentences.getFirst()).contains(named);
        assertThat(service.output()).doesNotContain("\tat ");
    }
}
