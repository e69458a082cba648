package io.terminus.agent.peer;

import io.github.resilience4j.circuitbreaker.CallNotPermittedException;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.grpc.ManagedChannel;
import io.grpc.stub.StreamObserver;
import io.netty.channel.ConnectTimeoutException;
import io.terminus.agent.volume.Election.Answer;
import io.terminus.agent.volume.Inbound;
import io.terminus.agent.volume.PeerCursor;
import io.terminus.agent.volume.PeerNetwork;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.AgentInfo;
import io.terminus.proto.agent.v1.BuryReplicaRequest;
import io.terminus.proto.agent.v1.BuryReplicaResponse;
import io.terminus.proto.agent.v1.CanHoldRequest;
import io.terminus.proto.agent.v1.CanHoldResponse;
import io.terminus.proto.agent.v1.CreateReplicaRequest;
import io.terminus.proto.agent.v1.CreateReplicaResponse;
import io.terminus.proto.agent.v1.GetAgentRequest;
import io.terminus.proto.agent.v1.PeerControlGrpc;
import io.terminus.proto.agent.v1.ReadBlocksRequest;
import io.terminus.proto.agent.v1.ReadBlocksResponse;
import io.terminus.proto.agent.v1.SealRequest;
import io.terminus.proto.agent.v1.SealResponse;
import io.terminus.security.grpc.GrpcTls;
import java.io.IOException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The other agents: journal bytes over the peer protocol, seals over gRPC, on connections of their own so that neither
 * waits behind the other. A peer that keeps failing is left alone for a moment by its circuit breaker.
 */
public final class GrpcPeerNetwork implements PeerNetwork, AutoCloseable {

    private record Control(ManagedChannel channel, CircuitBreaker breaker) {}

    private static final CircuitBreakerConfig BREAKER = CircuitBreakerConfig.custom()
            .slidingWindowSize(10)
            .minimumNumberOfCalls(5)
            .failureRateThreshold(80)
            .waitDurationInOpenState(Duration.ofSeconds(1))
            .ignoreExceptions(RefusedException.class, ConnectException.class)
            .build();

    private final String agent;
    private final LinkSettings settings;
    private final Map<String, Control> controls = new ConcurrentHashMap<>();

    /** @param agent who asks, for the messages of those who are asked */
    public GrpcPeerNetwork(String agent) {
        this(agent, LinkSettings.DEFAULTS);
    }

    public GrpcPeerNetwork(String agent, LinkSettings settings) {
        this.agent = agent;
        this.settings = settings;
    }

    @Override
    public Stream stream(PeerCursor cursor) {
        return new PeerStream(cursor, settings);
    }

    @Override
    public CompletableFuture<Answer> seal(
            Address peer, UUID volume, long term, long token, long configVersion, Duration deadline) {
        Control c = control(peer);
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        return guarded(c, () -> {
            // Does not wait for a peer that is not there: the candidate asks again.
            stub(c, deadline)
                    .seal(
                            SealRequest.newBuilder()
                                    .setVolumeUuid(volume.toString())
                                    .setTerm(term)
                                    .setToken(token)
                                    .setCandidate(agent)
                                    .setConfigVersion(configVersion)
                                    .build(),
                            new One<SealResponse>(
                                    r -> {
                                        if (r.getRefused()) {
                                            answer.completeExceptionally(
                                                    new RefusedException(Why.FENCED, r.getDetail()));
                                        } else {
                                            answer.complete(new Answer(
                                                    r.getAgent(),
                                                    Messages.lineage(r.getLineageList()),
                                                    r.getOldest(),
                                                    r.getReceived(),
                                                    r.getDurable(),
                                                    r.getCommitted(),
                                                    r.getApplied(),
                                                    r.getMemoryLost(),
                                                    r.getDamaged()));
                                        }
                                    },
                                    answer));
            return answer;
        });
    }

    /** Has the peer make an empty replica; answers with its incarnation. */
    public CompletableFuture<String> createReplica(Address peer, VolumeConfig config, Duration deadline) {
        Control c = control(peer);
        CompletableFuture<String> incarnation = new CompletableFuture<>();
        stub(c, deadline)
                .withWaitForReady()
                .createReplica(
                        CreateReplicaRequest.newBuilder()
                                .setConfig(config.toProto())
                                .build(),
                        new One<CreateReplicaResponse>(r -> incarnation.complete(r.getIncarnation()), incarnation));
        return incarnation;
    }

    /** Has the peer look whether that volume is deleted, and then delete its replica. */
    public CompletableFuture<Void> buryReplica(Address peer, UUID volume, Duration deadline) {
        Control c = control(peer);
        CompletableFuture<Void> gone = new CompletableFuture<>();
        stub(c, deadline)
                .buryReplica(
                        BuryReplicaRequest.newBuilder()
                                .setVolumeUuid(volume.toString())
                                .build(),
                        new One<BuryReplicaResponse>(r -> gone.complete(null), gone));
        return gone;
    }

    /** Where the peer serves NBD, as host:port. */
    public CompletableFuture<String> nbdEndpoint(Address peer, Duration deadline) {
        CompletableFuture<String> endpoint = new CompletableFuture<>();
        Control c = control(peer);
        c.channel().resetConnectBackoff();
        AgentControlGrpc.newStub(c.channel())
                .withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS)
                .getAgent(
                        GetAgentRequest.getDefaultInstance(),
                        new One<AgentInfo>(r -> endpoint.complete(r.getNbdEndpoint()), endpoint));
        return endpoint;
    }

    @Override
    public CompletableFuture<Void> canHold(Address peer, UUID volume, long sizeBytes, Duration deadline) {
        CompletableFuture<Void> can = new CompletableFuture<>();
        stub(control(peer), deadline)
                .canHold(
                        CanHoldRequest.newBuilder()
                                .setVolumeUuid(volume.toString())
                                .setSizeBytes(sizeBytes)
                                .build(),
                        new One<CanHoldResponse>(r -> can.complete(null), can));
        return can;
    }

    @Override
    public CompletableFuture<Blocks> readBlocks(
            Address writer, UUID volume, long offset, int length, Duration deadline) {
        CompletableFuture<Blocks> blocks = new CompletableFuture<>();
        stub(control(writer), deadline)
                .readBlocks(
                        ReadBlocksRequest.newBuilder()
                                .setVolumeUuid(volume.toString())
                                .setOffset(offset)
                                .setLength(length)
                                .build(),
                        new One<ReadBlocksResponse>(
                                r -> blocks.complete(new Blocks(r.getData().asReadOnlyByteBuffer(), r.getPosition())),
                                blocks));
        return blocks;
    }

    @Override
    public void fetch(Address peer, UUID volume, long from, long to, Inbound into, Duration deadline)
            throws IOException {
        TailFetch.fetch(Addresses.parse(peer.peer()), volume, from, to, into, deadline, settings, peer.agent());
    }

    @Override
    public void close() {
        controls.values().forEach(c -> c.channel().shutdownNow());
    }

    private Control control(Address peer) {
        return controls.computeIfAbsent(
                peer.control(), target -> new Control(channel(target), CircuitBreaker.of(target, BREAKER)));
    }

    private ManagedChannel channel(String target) {
        return GrpcTls.channel(target, settings.tls()).build();
    }

    private static PeerControlGrpc.PeerControlStub stub(Control c, Duration deadline) {
        // gRPC's own back-off grows to minutes: a peer that is back is to be heard at once.
        c.channel().resetConnectBackoff();
        return PeerControlGrpc.newStub(c.channel()).withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS);
    }

    private static <T> CompletableFuture<T> guarded(Control c, Supplier<CompletableFuture<T>> call) {
        try {
            return c.breaker().executeCompletionStage(call::get).toCompletableFuture();
        } catch (CallNotPermittedException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private record One<T>(java.util.function.Consumer<T> then, CompletableFuture<?> orFail)
            implements StreamObserver<T> {
        @Override
        public void onNext(T value) {
            try {
                then.accept(value);
            } catch (RuntimeException e) {
                orFail.completeExceptionally(e);
            }
        }

        @Override
        public void onError(Throwable t) {
            boolean refused =
                    t.getCause() instanceof ConnectException && !(t.getCause() instanceof ConnectTimeoutException);
            orFail.completeExceptionally(refused ? t.getCause() : t);
        }

        @Override
        public void onCompleted() {
            orFail.completeExceptionally(new IOException("the peer ended the call without an answer"));
        }
    }
}
