package io.terminus.cli;

import com.sun.net.httpserver.HttpServer;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.AddReplicaRequest;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.CopyStatus;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.DeleteVolumeRequest;
import io.terminus.proto.agent.v1.DeleteVolumeResponse;
import io.terminus.proto.agent.v1.DemoteRequest;
import io.terminus.proto.agent.v1.DifferingRange;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.GetVolumeRequest;
import io.terminus.proto.agent.v1.ListVolumesRequest;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import io.terminus.proto.agent.v1.PromoteProgress;
import io.terminus.proto.agent.v1.PromoteRequest;
import io.terminus.proto.agent.v1.RecreateReplicaRequest;
import io.terminus.proto.agent.v1.RemoveReplicaRequest;
import io.terminus.proto.agent.v1.ReplicaStatus;
import io.terminus.proto.agent.v1.ResizeVolumeRequest;
import io.terminus.proto.agent.v1.Role;
import io.terminus.proto.agent.v1.SetCopyLimitRequest;
import io.terminus.proto.agent.v1.SetVolumeRequest;
import io.terminus.proto.agent.v1.VerifyProgress;
import io.terminus.proto.agent.v1.VerifyRequest;
import io.terminus.proto.agent.v1.VerifyStatus;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.proto.agent.v1.WatchVolumesRequest;
import io.terminus.proto.lock.v1.ConfigureVolumeRequest;
import io.terminus.proto.lock.v1.ConfigureVolumeResponse;
import io.terminus.proto.lock.v1.ContentionBucket;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.ForceReleaseResponse;
import io.terminus.proto.lock.v1.GetContentionRequest;
import io.terminus.proto.lock.v1.GetContentionResponse;
import io.terminus.proto.lock.v1.ListBlockersRequest;
import io.terminus.proto.lock.v1.ListBlockersResponse;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.ListLocksResponse;
import io.terminus.proto.lock.v1.ListSessionsRequest;
import io.terminus.proto.lock.v1.ListSessionsResponse;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockEvent;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.SessionInfo;
import io.terminus.proto.lock.v1.Snapshot;
import io.terminus.proto.lock.v1.VolumeInfo;
import io.terminus.proto.lock.v1.WatchMessage;
import io.terminus.proto.lock.v1.WatchRequest;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/**
 * Stands in for a lock manager or an agent: answers what the command line asks, keeps its one volume in a file.
 *
 * <p>Faults, by a file in the data directory: {@code fault-start}: says its content on the error output and exits with 1.
 * {@code fault-stop}: does not stop on SIGTERM. {@code fault-serve}: never serves the volume.
 */
final class FakeService {

    private static final String REFUSED_VOLUME = "refused";

    private FakeService() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            options.put(argument.substring(2, equals), argument.substring(equals + 1));
        }
        boolean agent = options.containsKey("agent.name");
        Path data = Path.of(options.getOrDefault(agent ? "agent.data-dir" : "lockmgr.data-dir", ""));
        if (Files.exists(data.resolve("fault-start"))) {
            System.err.println(Files.readString(data.resolve("fault-start")));
            System.exit(1);
        }
        if (Files.exists(data.resolve("fault-stop"))) {
            CountDownLatch never = new CountDownLatch(1);
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                try {
                    never.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }));
        }
        HealthStatusManager health = new HealthStatusManager();
        health.setStatus("", ServingStatus.SERVING);
        int port = Integer.parseInt(options.getOrDefault(agent ? "agent.grpc-port" : "lockmgr.grpc-port", ""));
        NettyServerBuilder builder = NettyServerBuilder.forAddress(
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
                .addService(health.getHealthService())
                .addService(agent ? new Agent(options.getOrDefault("agent.name", ""), data, options) : new Locks());
        if (!agent) {
            builder.addService(new Watches());
            restOn(Integer.parseInt(options.getOrDefault("server.port", "")));
        }
        Server server = builder.build().start();
        System.out.println("serving on " + port);
        server.awaitTermination();
    }

    /** Knows one session, s1, and closes it as often as it is asked to. */
    private static void restOn(int port) throws IOException {
        HttpServer rest = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        rest.createContext("/api/v1/sessions/", exchange -> {
            boolean known = exchange.getRequestMethod().equals("DELETE")
                    && exchange.getRequestURI().getPath().endsWith("/s1");
            byte[] problem = "{\"detail\": \"session is not known\"}".getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(known ? 204 : 404, known ? -1 : problem.length);
            if (!known) {
                exchange.getResponseBody().write(problem);
            }
            exchange.close();
        });
        rest.start();
    }

    private static final class Agent extends AgentControlGrpc.AgentControlImplBase {

        private final String name;
        private final Path data;
        private final Map<String, String> options;
        private volatile long copyLimit;
        private int copied;

        Agent(String name, Path data, Map<String, String> options) {
            this.name = name;
            this.data = data;
            this.options = options;
        }

        @Override
        public void getAgent(GetAgentRequest request, StreamObserver<AgentInfo> answer) {
            reply(answer, AgentInfo.newBuilder().setAgent(name).build());
        }

        @Override
        public void createVolume(CreateVolumeRequest request, StreamObserver<VolumeStatus> answer) {
            if (request.getName().equals(REFUSED_VOLUME)) {
                answer.onError(Status.INVALID_ARGUMENT
                        .withDescription("volume name 'refused' is not liked")
                        .asRuntimeException());
                return;
            }
            try {
                Files.writeString(data.resolve("size"), Long.toString(request.getSizeBytes()));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
            reply(answer, volume());
        }

        @Override
        public void listVolumes(ListVolumesRequest request, StreamObserver<ListVolumesResponse> answer) {
            ListVolumesResponse.Builder volumes = ListVolumesResponse.newBuilder();
            if (Files.exists(data.resolve("size"))) {
                volumes.addVolumes(volume());
            }
            reply(answer, volumes.build());
        }

        /** Tells the same again and again, as often as a real one must. */
        @Override
        public void watchVolumes(WatchVolumesRequest request, StreamObserver<ListVolumesResponse> answer) {
            tellOften(answer, () -> {
                ListVolumesResponse.Builder volumes = ListVolumesResponse.newBuilder();
                if (Files.exists(data.resolve("size"))) {
                    volumes.addVolumes(volume());
                }
                return volumes.build();
            });
        }

        @Override
        public void getVolume(GetVolumeRequest request, StreamObserver<VolumeStatus> answer) {
            if (Files.exists(data.resolve("size")) && request.getName().equals(Up.VOLUME)) {
                reply(answer, volume());
            } else {
                answer.onError(Status.NOT_FOUND
                        .withDescription("no volume '" + request.getName() + "'")
                        .asRuntimeException());
            }
        }

        @Override
        public void promote(PromoteRequest request, StreamObserver<PromoteProgress> answer) {
            answer.onNext(PromoteProgress.newBuilder()
                    .setMessage("waiting for the lock of " + request.getName())
                    .build());
            if (request.getForce()) {
                answer.onError(Status.FAILED_PRECONDITION
                        .withDescription("a does not answer, and without it acknowledged writes may be missing")
                        .asRuntimeException());
                return;
            }
            reply(
                    answer,
                    PromoteProgress.newBuilder()
                            .setMessage("serving")
                            .setServed(VolumeStatus.newBuilder()
                                    .setName(request.getName())
                                    .setWriter(name)
                                    .setTerm(7)
                                    .setNbdUri("nbd://localhost:1/x"))
                            .build());
        }

        @Override
        public void addReplica(AddReplicaRequest request, StreamObserver<VolumeStatus> answer) {
            if (request.getReplica().getAgent().equals(name)) {
                answer.onError(Status.INVALID_ARGUMENT
                        .withDescription("agent " + name + " has a replica already")
                        .asRuntimeException());
            } else {
                fault("copy", "b of " + request.getReplica().getPeer());
                reply(answer, volume());
            }
        }

        @Override
        public void removeReplica(RemoveReplicaRequest request, StreamObserver<VolumeStatus> answer) {
            if (request.getAgent().equals(name)) {
                answer.onError(Status.INVALID_ARGUMENT
                        .withDescription(name + " writes volume " + request.getName() + ": promote another agent first")
                        .asRuntimeException());
            } else {
                reply(answer, volume());
            }
        }

        @Override
        public void setCopyLimit(SetCopyLimitRequest request, StreamObserver<VolumeStatus> answer) {
            if (!Files.exists(data.resolve("size"))) {
                answer.onError(Status.NOT_FOUND
                        .withDescription("agent " + name + " has no replica of it")
                        .asRuntimeException());
                return;
            }
            copyLimit = request.getBytesPerSecond();
            reply(answer, volume());
        }

        @Override
        public void recreateReplica(RecreateReplicaRequest request, StreamObserver<VolumeStatus> answer) {
            answer.onError(Status.UNAVAILABLE
                    .withDescription("the in-sync set counts on the replica at " + name)
                    .asRuntimeException());
        }

        @Override
        public void verify(VerifyRequest request, StreamObserver<VerifyProgress> answer) {
            VerifyStatus.Builder status = VerifyStatus.newBuilder()
                    .setPhase(VerifyStatus.Phase.COMPARING)
                    .setTotalBytes(8 << 20)
                    .setComparedBytes(4 << 20)
                    .setBytesPerSecond(1 << 20)
                    .setRemainingSeconds(4)
                    .setDifferingBlocks(2)
                    .addDiffering(DifferingRange.newBuilder().setOffset(8192).setLength(8192));
            answer.onNext(compared(status));
            status.setPhase(VerifyStatus.Phase.COMPLETE)
                    .setComparedBytes(8 << 20)
                    .setRepairs(request.getRepair())
                    .setMendedBlocks(request.getRepair() ? 2 : 0);
            reply(answer, compared(status));
        }

        private static VerifyProgress compared(VerifyStatus.Builder status) {
            return VerifyProgress.newBuilder()
                    .addReplicas(
                            VerifyProgress.Replica.newBuilder().setAgent("b").setVerify(status))
                    .build();
        }

        @Override
        public void demote(DemoteRequest request, StreamObserver<VolumeStatus> answer) {
            reply(answer, volume());
        }

        @Override
        public void deleteVolume(DeleteVolumeRequest request, StreamObserver<DeleteVolumeResponse> answer) {
            if (request.getForce()) {
                reply(
                        answer,
                        DeleteVolumeResponse.newBuilder().addUnreached("b").build());
            } else {
                answer.onError(Status.UNAVAILABLE
                        .withDescription("volume " + request.getName() + " is used by 1 clients")
                        .asRuntimeException());
            }
        }

        @Override
        public void resizeVolume(ResizeVolumeRequest request, StreamObserver<VolumeStatus> answer) {
            fault("size", Long.toString(request.getSizeBytes()));
            reply(answer, volume());
        }

        @Override
        public void setVolume(SetVolumeRequest request, StreamObserver<VolumeStatus> answer) {
            reply(
                    answer,
                    volume().toBuilder()
                            .setAckLevel(request.getAckLevel())
                            .setCopies(request.getCopies())
                            .setMinCopies(request.getMinCopies())
                            .build());
        }

        private void fault(String file, String content) {
            try {
                Files.writeString(data.resolve(file), content);
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }

        /** Every time it is looked at a quarter more is copied. */
        private synchronized ReplicaStatus.Builder peer() {
            ReplicaStatus.Builder peer =
                    ReplicaStatus.newBuilder().setAgent("b").setConnected(true).setInSync(copied >= 4);
            if (copied < 4) {
                copied++;
                peer.setCopy(CopyStatus.newBuilder()
                        .setPhase(CopyStatus.Phase.COPYING)
                        .setTotalBytes(4 << 20)
                        .setLeftBytes((4 - copied) << 20)
                        .setBytesPerSecond(1 << 20)
                        .setRemainingSeconds(4 - copied));
            }
            return peer;
        }

        private VolumeStatus volume() {
            boolean serves = !Files.exists(data.resolve("fault-serve"));
            try {
                VolumeStatus.Builder volume = VolumeStatus.newBuilder()
                        .setName(Up.VOLUME)
                        .setCopyLimit(copyLimit)
                        .setSizeBytes(Long.parseLong(Files.readString(data.resolve("size"))))
                        .setAckLevel(AckLevel.RECEIVED)
                        .setTerm(3)
                        .setWriter(name)
                        .setRole(serves ? Role.WRITER : Role.CANDIDATE)
                        .setDetail(serves ? "" : "waiting for b")
                        .setNbdUri(serves ? "nbd://localhost:" + options.get("agent.nbd-port") + "/" + Up.VOLUME : "")
                        .addReplicas(ReplicaStatus.newBuilder()
                                .setAgent(name)
                                .setImage(data.resolve("image").toString())
                                .setInSync(true)
                                .setConnected(true)
                                .setReceived(4096)
                                .setDurable(4096)
                                .setApplied(4096));
                if (Files.exists(data.resolve("copy"))) {
                    volume.addReplicas(peer());
                }
                return volume.build();
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static final class Locks extends LockAdminGrpc.LockAdminImplBase {

        @Override
        public void listVolumes(
                io.terminus.proto.lock.v1.ListVolumesRequest request,
                StreamObserver<io.terminus.proto.lock.v1.ListVolumesResponse> answer) {
            reply(
                    answer,
                    io.terminus.proto.lock.v1.ListVolumesResponse.newBuilder()
                            .addVolumes(VolumeInfo.newBuilder()
                                    .setName(Up.VOLUME)
                                    .setHeld(1)
                                    .setWaiting(2))
                            .build());
        }

        @Override
        public void watchVolumes(
                io.terminus.proto.lock.v1.WatchVolumesRequest request,
                StreamObserver<io.terminus.proto.lock.v1.ListVolumesResponse> answer) {
            tellOften(
                    answer,
                    () -> io.terminus.proto.lock.v1.ListVolumesResponse.newBuilder()
                            .addVolumes(VolumeInfo.newBuilder()
                                    .setName(Up.VOLUME)
                                    .setHeld(1)
                                    .setWaiting(2))
                            .build());
        }

        @Override
        public void listLocks(ListLocksRequest request, StreamObserver<ListLocksResponse> answer) {
            LockInfo.Builder lock = LockInfo.newBuilder()
                    .setId(11)
                    .setVolume(request.getVolume())
                    .setMode(Mode.MODE_EX)
                    .setRange(Range.newBuilder().setStart(0).setEnd(Long.MAX_VALUE))
                    .setToken(5)
                    .setOwner("agent/a")
                    .setSessionId(request.getSessionId().isEmpty() ? "s1" : request.getSessionId());
            if (request.hasRange()) {
                lock.setRange(request.getRange());
            }
            if (request.getMode() != Mode.MODE_UNSPECIFIED) {
                lock.setMode(request.getMode());
            }
            if (request.getWaiting()) {
                lock.setId(12).setStandby(true).addAllBlockedBy(List.of(11L)).setOwner("agent/b");
            }
            reply(answer, ListLocksResponse.newBuilder().addLocks(lock).build());
        }

        @Override
        public void listBlockers(ListBlockersRequest request, StreamObserver<ListBlockersResponse> answer) {
            if (request.getRequestId() != 5) {
                answer.onError(Status.NOT_FOUND
                        .withDescription("no request " + request.getRequestId() + " that waits")
                        .asRuntimeException());
                return;
            }
            reply(
                    answer,
                    ListBlockersResponse.newBuilder()
                            .addBlockers(LockInfo.newBuilder()
                                    .setId(11)
                                    .setVolume("demo")
                                    .setToken(5)
                                    .setMode(Mode.MODE_EX)
                                    .setOwner("agent/a"))
                            .build());
        }

        @Override
        public void getContention(GetContentionRequest request, StreamObserver<GetContentionResponse> answer) {
            GetContentionResponse.Builder response = GetContentionResponse.newBuilder();
            for (int i = 0; i < request.getBuckets(); i++) {
                response.addBuckets(ContentionBucket.newBuilder()
                        .setRange(Range.newBuilder().setStart(i * 10L).setEnd(i * 10L + 10))
                        .setHeld(i)
                        .setWaiting(1));
            }
            reply(answer, response.build());
        }

        @Override
        public void configureVolume(ConfigureVolumeRequest request, StreamObserver<ConfigureVolumeResponse> answer) {
            if (request.getLockDelayMillis() > 60_000) {
                answer.onError(Status.INVALID_ARGUMENT
                        .withDescription("lock delay of " + request.getLockDelayMillis() + " ms")
                        .asRuntimeException());
                return;
            }
            reply(answer, ConfigureVolumeResponse.getDefaultInstance());
        }

        @Override
        public void listSessions(ListSessionsRequest request, StreamObserver<ListSessionsResponse> answer) {
            ListSessionsResponse.Builder response = ListSessionsResponse.newBuilder();
            if (request.getPageToken().isEmpty()) {
                response.setNextPageToken("s0"); // a page may be empty with more to come
            } else if ("agent/a".startsWith(request.getOwnerPrefix())) {
                response.addSessions(SessionInfo.newBuilder()
                        .setSessionId("s1")
                        .setOwner("agent/a")
                        .setTtlMillis(10_000)
                        .setHeld(1)
                        .setAttached(true));
            }
            reply(answer, response.build());
        }

        @Override
        public void forceRelease(ForceReleaseRequest request, StreamObserver<ForceReleaseResponse> answer) {
            if (request.getLockId() != 11) {
                answer.onError(Status.NOT_FOUND
                        .withDescription("no lock " + request.getLockId() + " on " + request.getVolume())
                        .asRuntimeException());
                return;
            }
            reply(answer, ForceReleaseResponse.getDefaultInstance());
        }
    }

    private static final class Watches extends LockServiceGrpc.LockServiceImplBase {

        @Override
        public void watch(WatchRequest request, StreamObserver<WatchMessage> answer) {
            LockInfo lock = LockInfo.newBuilder()
                    .setId(11)
                    .setVolume(request.getVolume())
                    .setMode(Mode.MODE_EX)
                    .setOwner("agent/a")
                    .build();
            answer.onNext(WatchMessage.newBuilder()
                    .setSnapshot(Snapshot.newBuilder().addHeld(lock).setComplete(true))
                    .build());
            for (int i = 0; i < 3; i++) {
                answer.onNext(WatchMessage.newBuilder()
                        .setEvent(LockEvent.newBuilder()
                                .setKind(LockEvent.Kind.RELEASED)
                                .setLock(lock)
                                .setWhy("event " + i))
                        .build());
            }
        }
    }

    private static <T> void tellOften(StreamObserver<T> to, Supplier<T> state) {
        ServerCallStreamObserver<T> call = (ServerCallStreamObserver<T>) to;
        call.setOnCancelHandler(() -> {});
        Thread.ofVirtual().start(() -> {
            while (!call.isCancelled()) {
                call.onNext(state.get());
                LockSupport.parkNanos(100_000_000);
            }
        });
    }

    private static <T> void reply(StreamObserver<T> to, T message) {
        to.onNext(message);
        to.onCompleted();
    }
}
