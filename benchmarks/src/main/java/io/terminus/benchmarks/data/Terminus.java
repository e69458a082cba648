package io.terminus.benchmarks.data;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.terminus.benchmarks.Ports;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.Failover;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.GetVolumeRequest;
import io.terminus.proto.agent.v1.ReplicaAddress;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.lock.v1.ListVolumesRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Our own processes: a lock manager and agents, each with the flags that {@code terminus up} gives it, and volumes on them. */
final class Terminus {

    private static final List<String> FLAGS = List.of(
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED");

    private static final String AGENT_DIRECT_MEMORY = "-XX:MaxDirectMemorySize=512m";
    private static final String JAVA =
            Path.of(System.getProperty("java.home"), "bin", "java").toString();
    private static final int START_SECONDS = 120;
    private static final int CALL_SECONDS = 60;
    private static final int POLL_MILLIS = 20;

    /** An agent of this run. */
    record Agent(
            Daemon process,
            String name,
            Path data,
            int grpcPort,
            int peerPort,
            int nbdPort,
            int httpPort,
            Path socket,
            List<String> command,
            ManagedChannel channel) {

        AgentControlGrpc.AgentControlBlockingStub control() {
            return AgentControlGrpc.newBlockingStub(channel).withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
        }

        ReplicaAddress address() {
            return ReplicaAddress.newBuilder()
                    .setAgent(name)
                    .setPeer("127.0.0.1:" + peerPort)
                    .setControl("127.0.0.1:" + grpcPort)
                    .build();
        }

        String uri(Front front, String volume) {
            return front.uri(nbdPort, socket, volume);
        }

        Path journal(String volume) {
            return data.resolve("volumes").resolve(volume).resolve("journal");
        }
    }

    private final Workshop workshop;
    private final Path home;
    private final Daemon lockManager;
    private final int lockManagerPort;
    private final ManagedChannel lockManagerChannel;

    private Terminus(Workshop workshop, Path home) throws IOException, InterruptedException {
        this.workshop = workshop;
        this.home = home;
        this.lockManagerPort = Ports.free();
        List<String> command = program("lockmgr-service", FLAGS);
        command.add("--lockmgr.data-dir=" + workshop.directory().resolve("lockmgr"));
        command.add("--lockmgr.grpc-port=" + lockManagerPort);
        command.add("--server.port=" + Ports.free());
        this.lockManager = workshop.start("lockmgr", command);
        this.lockManagerChannel = channel(lockManagerPort);
        await(lockManager, "an answer of the lock manager", () -> {
            var unused = LockAdminGrpc.newBlockingStub(lockManagerChannel)
                    .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS)
                    .listVolumes(ListVolumesRequest.getDefaultInstance());
            return true;
        });
    }

    static Terminus start(Workshop workshop, Path home) throws IOException, InterruptedException {
        return new Terminus(workshop, home);
    }

    Daemon lockManager() {
        return lockManager;
    }

    ManagedChannel lockManagerChannel() {
        return lockManagerChannel;
    }

    /** Returns at once; {@link #awaitServing} waits for it. */
    Agent agent(String name, String... settings) throws IOException {
        Path data = workshop.directory().resolve(name);
        Path socket = workshop.directory().resolve(name + ".sock");
        int grpc = Ports.free();
        int peer = Ports.free();
        int nbd = Ports.free();
        int http = Ports.free();
        List<String> flags = new ArrayList<>(FLAGS);
        flags.add(1, AGENT_DIRECT_MEMORY);
        List<String> command = program("replication-agent", flags);
        command.add("--agent.name=" + name);
        command.add("--agent.data-dir=" + data);
        command.add("--agent.advertise-host=127.0.0.1");
        command.add("--agent.grpc-port=" + grpc);
        command.add("--agent.peer-port=" + peer);
        command.add("--agent.nbd-port=" + nbd);
        command.add("--agent.nbd-socket=" + socket);
        command.add("--agent.lock-manager=127.0.0.1:" + lockManagerPort);
        command.add("--server.port=" + http);
        command.addAll(List.of(settings));
        workshop.note(command);
        return new Agent(
                workshop.start(name, command), name, data, grpc, peer, nbd, http, socket, command, channel(grpc));
    }

    /** The same one in a new process, over the data of the one that was killed. Returns at once. */
    Agent again(Agent killed) throws IOException {
        return new Agent(
                workshop.start(killed.name(), killed.command()),
                killed.name(),
                killed.data(),
                killed.grpcPort(),
                killed.peerPort(),
                killed.nbdPort(),
                killed.httpPort(),
                killed.socket(),
                killed.command(),
                channel(killed.grpcPort()));
    }

    static void awaitServing(Agent agent) throws IOException, InterruptedException {
        await(
                agent.process(),
                "an answer of agent " + agent.name(),
                () -> agent.control()
                        .getAgent(GetAgentRequest.getDefaultInstance())
                        .getAgent()
                        .equals(agent.name()));
    }

    /** Returns when it can be used. */
    static void create(
            Agent writer,
            String volume,
            long sizeBytes,
            AckLevel level,
            Failover failover,
            int segmentBytes,
            Agent... peers)
            throws IOException, InterruptedException {
        CreateVolumeRequest.Builder request = CreateVolumeRequest.newBuilder()
                .setName(volume)
                .setSizeBytes(sizeBytes)
                .setAckLevel(level)
                .setCopies(0)
                .setMinCopies(1)
                .setFailover(failover)
                .setSegmentBytes(segmentBytes);
        for (Agent peer : peers) {
            request.addPeers(peer.address());
        }
        var unused = writer.control().createVolume(request.build());
        awaitInSync(writer, volume);
    }

    /** Waits until it is served here, and every replica is in sync. */
    static void awaitInSync(Agent writer, String volume) throws IOException, InterruptedException {
        await(writer.process(), "volume " + volume + " to be served by replicas in sync", () -> {
            VolumeStatus status = volume(writer, volume);
            return status.getRole() == Role.WRITER
                    && !status.getNbdUri().isEmpty()
                    && status.getReplicasList().stream()
                            .allMatch(replica -> replica.getInSync()
                                    && (replica.getConnected()
                                            || replica.getAgent().equals(writer.name())));
        });
    }

    /** Waits until every replica has applied what was written, so that nobody pays for it who is measured next. */
    static void awaitApplied(Agent writer, String volume) throws IOException, InterruptedException {
        await(writer.process(), "volume " + volume + " to be applied", () -> {
            VolumeStatus status = volume(writer, volume);
            return status.getReplicasList().stream()
                    .map(ReplicaStatus::getApplied)
                    .allMatch(applied -> applied >= status.getCommitted());
        });
    }

    static VolumeStatus volume(Agent agent, String volume) {
        return agent.control()
                .getVolume(GetVolumeRequest.newBuilder().setName(volume).build());
    }

    /** {@code kill -9}: nobody needs its data any more, and a stop in good order takes seconds. */
    static void kill(Agent agent) throws InterruptedException {
        agent.channel().shutdownNow();
        agent.process().kill();
    }

    private List<String> program(String name, List<String> flags) throws IOException {
        Path target = home.resolve(name).resolve("target");
        Path jar = target.resolve(name + ".jar");
        if (!Files.isRegularFile(jar)) {
            throw new IOException(jar + " is not built: run this through ./terminus bench");
        }
        List<String> command = new ArrayList<>();
        command.add(JAVA);
        command.addAll(flags);
        Path cache = target.resolve(name + ".aot");
        if (Files.exists(cache) && Files.getLastModifiedTime(cache).compareTo(Files.getLastModifiedTime(jar)) >= 0) {
            command.addAll(List.of("-XX:AOTCache=" + cache, "-Xlog:aot*=off"));
        }
        command.addAll(List.of("-jar", jar.toString()));
        return command;
    }

    private static ManagedChannel channel(int port) {
        return NettyChannelBuilder.forTarget("127.0.0.1:" + port).usePlaintext().build();
    }

    static void await(Daemon process, String what, BooleanSupplier seen) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (true) {
            String why = "";
            try {
                if (seen.getAsBoolean()) {
                    process.requireAlive();
                    return;
                }
            } catch (StatusRuntimeException e) {
                why = ": " + e.getMessage();
            }
            process.requireAlive();
            if (System.nanoTime() - deadline > 0) {
                throw new IOException("waited " + START_SECONDS + " s in vain for " + what + why + "; " + process.name()
                        + " said: " + process.lastWords());
            }
            Thread.sleep(POLL_MILLIS);
        }
    }
}
