package io.terminus.cli;

import io.terminus.security.TlsFiles;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What is installed here and how its services are run.
 *
 * @param home where the launcher lies
 * @param java the java program for the services
 * @param lockManager what stands behind the common JVM flags to run the lock manager: {@code -jar FILE}
 * @param agent the same for an agent
 * @param stopPatience how long a process may take to stop before it is killed
 */
record Installation(Path home, Path java, List<String> lockManager, List<String> agent, Duration stopPatience) {

    /** Small heaps: a set is three JVMs on one machine. The page cache does the caching. */
    private static final List<String> FLAGS = List.of(
            "-Xmx512m",
            "-XX:+UseSerialGC",
            // A service that is out of memory must go, not linger: its set starts it again with 'up'.
            "-XX:+ExitOnOutOfMemoryError",
            // Chronicle Map, protobuf and Netty use sun.misc.Unsafe; without this every log starts with a warning.
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED");

    private static final String AGENT_DIRECT_MEMORY = "-XX:MaxDirectMemorySize=512m";

    /** As the launcher says, else as the place of this jar tells. */
    static Installation find() {
        String told = System.getProperty("terminus.home");
        Path home = told != null ? Path.of(told) : homeOfJar();
        return new Installation(
                home,
                Path.of(System.getProperty("java.home"), "bin", "java"),
                program(home, "lockmgr-service"),
                program(home, "replication-agent"),
                Duration.ofSeconds(30));
    }

    /** With its start cache, if the launcher has made one since the program was built. */
    private static List<String> program(Path home, String name) {
        Path target = home.resolve(name).resolve("target");
        Path jar = target.resolve(name + ".jar");
        Path cache = target.resolve(name + ".aot");
        List<String> start = new ArrayList<>();
        try {
            if (Files.getLastModifiedTime(cache).compareTo(Files.getLastModifiedTime(jar)) >= 0) {
                // One that does not fit after all is passed over without a word.
                start.addAll(List.of("-XX:AOTCache=" + cache, "-Xlog:aot*=off"));
            }
        } catch (IOException e) {
            // None was made: the service starts without.
        }
        start.addAll(List.of("-jar", jar.toString()));
        return List.copyOf(start);
    }

    /** The program of the agents, which holds those for their files too. */
    Path agentJar() {
        return home.resolve("replication-agent").resolve("target").resolve("replication-agent.jar");
    }

    Path defaultDirectory() {
        return home.resolve(".terminus");
    }

    /** The command line of one process of a set. */
    List<String> command(SetMember member, SetState set, SetDirectory directory) {
        PortPlan ports = set.ports();
        List<String> command = new ArrayList<>();
        command.add(set.java());
        command.add(ProcessIdentity.mark(set.id(), member));
        command.addAll(FLAGS);
        if (member.isAgent()) {
            command.add(AGENT_DIRECT_MEMORY);
            command.addAll(agent);
            command.add("--agent.name=" + member.title());
            command.add("--agent.data-dir=" + directory.data(member));
            command.add("--agent.grpc-port=" + ports.grpc(member));
            command.add("--agent.peer-port=" + ports.peer(member));
            command.add("--agent.nbd-port=" + ports.nbd(member));
            command.add("--agent.lock-manager=" + ports.lockManagerTargets());
        } else {
            command.addAll(lockManager);
            command.add("--lockmgr.data-dir=" + directory.data(member));
            command.add("--lockmgr.grpc-port=" + ports.grpc(member));
            if (ports.lockManagers() > 1) {
                command.add("--lockmgr.mode=cluster");
                command.add("--lockmgr.cluster.node=" + member.title());
                command.add("--lockmgr.cluster.members=" + ports.groupMembers());
                command.add("--lockmgr.groups=" + set.lockManagerGroupCount());
            }
        }
        command.add("--server.port=" + ports.rest(member));
        TlsFiles tls = set.tls();
        if (tls != null) {
            TlsFiles own = SetCertificates.of(directory, member);
            String prefix = member.isAgent() ? "--agent.tls." : "--lockmgr.tls.";
            command.add(prefix + "cert=" + own.cert());
            command.add(prefix + "key=" + own.key());
            command.add(prefix + "ca=" + own.ca());
        }
        return command;
    }

    private static Path homeOfJar() {
        try {
            Path code = Path.of(Installation.class
                    .getProtectionDomain()
                    .getCodeSource()
                    .getLocation()
                    .toURI());
            // HOME/cli/target/cli.jar, or HOME/cli/target/classes
            Path home = code.resolve("../../..").normalize();
            return Files.exists(home.resolve("terminus")) ? home : Path.of("").toAbsolutePath();
        } catch (URISyntaxException e) {
            throw new IllegalStateException("the place of the program's own code is not a path", e);
        }
    }
}
