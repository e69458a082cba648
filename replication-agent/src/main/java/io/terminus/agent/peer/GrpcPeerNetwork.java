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
import java.security.cert.CertificateException;
import java.time.Duration;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * The other agents: journal bytes over the peer protocol, seals over gRPC, on connections of their own so that neither
 * waits behind the other. A peer that keeps failing is left alone for a moment by its circuit breaker.
 */
public final class GrpcPeerNetwork implements PeerNetwork, AutoCloseable {

    private record Control(ManagedChannel channel, CircuitBreaker breaker) {}

    /** An agent where it is said to be; what answers there as another one is not spoken to. */
    private record Target(String agent, String control) {}

    private static final CircuitBreakerConfig BREAKER = CircuitBreakerConfig.custom()
            .slidingWindowSize(10)
            .minimumNumberOfCalls(5)
            .failureRateThreshold(80)
            .waitDurationInOpenState(Duration.ofSeconds(1))
            .ignoreExceptions(RefusedException.class, ConnectException.class)
            .build();

    private final String agent;
    private final LinkSettings settings;
    private final Map<Target, Control> controls = new ConcurrentHashMap<>();

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
        SealRequest request = SealRequest.newBuilder()
                .setVolumeUuid(volume.toString())
                .setTerm(term)
                .setToken(token)
                .setCandidate(agent)
                .setConfigVersion(configVersion)
                .build();
        return ask(
                peer,
                (c, answer) -> guarded(c, answer, asked -> {
                    // Does not wait for a peer that is not there: the candidate asks again.
                    stub(c, deadline)
                            .seal(
                                    request,
                                    new One<SealResponse>(
                                            r -> {
                                                if (r.getRefused()) {
                                                    asked.completeExceptionally(
                                                            new RefusedException(Why.FENCED, r.getDetail()));
                                                } else {
                                                    asked.complete(answer(r));
                                                }
                                            },
                                            asked));
                }));
    }

    private static Answer answer(SealResponse r) {
        return new Answer(
                r.getAgent(),
                Messages.lineage(r.getLineageList()),
                r.getOldest(),
                r.getReceived(),
                r.getDurable(),
                r.getCommitted(),
                r.getApplied(),
                r.getMemoryLost(),
                r.getDamaged());
    }

    /** Has the peer make an empty replica; answers with its incarnation. */
    public CompletableFuture<String> createReplica(Address peer, VolumeConfig config, Duration deadline) {
        CreateReplicaRequest request =
                CreateReplicaRequest.newBuilder().setConfig(config.toProto()).build();
        return ask(
                peer,
                (c, incarnation) -> stub(c, deadline)
                        .withWaitForReady()
                        .createReplica(
                                request,
                                new One<CreateReplicaResponse>(
                                        r -> incarnation.complete(r.getIncarnation()), incarnation)));
    }

    /** Has the peer look whether that volume is deleted, and then delete its replica. */
    public CompletableFuture<Void> buryReplica(Address peer, UUID volume, Duration deadline) {
        BuryReplicaRequest request =
                BuryReplicaRequest.newBuilder().setVolumeUuid(volume.toString()).build();
        return ask(
                peer,
                (c, gone) -> stub(c, deadline)
                        .buryReplica(request, new One<BuryReplicaResponse>(r -> gone.complete(null), gone)));
    }

    /** Where the peer serves NBD, as it says: host:port, if it says it well. */
    public CompletableFuture<String> nbdEndpoint(Address peer, Duration deadline) {
        return ask(peer, (c, endpoint) -> {
            c.channel().resetConnectBackoff();
            AgentControlGrpc.newStub(c.channel())
                    .withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS)
                    .getAgent(
                            GetAgentRequest.getDefaultInstance(),
                            new One<AgentInfo>(r -> endpoint.complete(r.getNbdEndpoint()), endpoint));
        });
    }

    @Override
    public CompletableFuture<Void> canHold(Address peer, UUID volume, long sizeBytes, Duration deadline) {
        CanHoldRequest request = CanHoldRequest.newBuilder()
                .setVolumeUuid(volume.toString())
                .setSizeBytes(sizeBytes)
                .build();
        return ask(
                peer,
                (c, can) -> stub(c, deadline).canHold(request, new One<CanHoldResponse>(r -> can.complete(null), can)));
    }

    @Override
    public CompletableFuture<Blocks> readBlocks(
            Address writer, UUID volume, long offset, int length, Duration deadline) {
        ReadBlocksRequest request = ReadBlocksRequest.newBuilder()
                .setVolumeUuid(volume.toString())
                .setOffset(offset)
                .setLength(length)
                .build();
        return ask(
                writer,
                (c, blocks) -> stub(c, deadline)
                        .readBlocks(
                                request,
                                new One<ReadBlocksResponse>(
                                        r -> blocks.complete(
                                                new Blocks(r.getData().asReadOnlyByteBuffer(), r.getPosition())),
                                        blocks)));
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

    /** The answer, or why there is none: also if what stands where the address should be is no address. */
    private <T> CompletableFuture<T> ask(Address peer, BiConsumer<Control, CompletableFuture<T>> question) {
        CompletableFuture<T> answer = new CompletableFuture<>();
        try {
            Addresses.require(peer.control());
            question.accept(
                    controls.computeIfAbsent(
                            new Target(peer.agent(), peer.control()),
                            target -> new Control(channel(target), CircuitBreaker.of(target.control(), BREAKER))),
                    answer);
        } catch (IOException e) {
            answer.completeExceptionally(e);
        }
        return answer;
    }

    private ManagedChannel channel(Target target) {
        return GrpcTls.channel(target.control(), settings.tls(), target.agent()).build();
    }

    private static PeerControlGrpc.PeerControlStub stub(Control c, Duration deadline) {
        // gRPC's own back-off grows to minutes: a peer that is back is to be heard at once.
        c.channel().resetConnectBackoff();
        return PeerControlGrpc.newStub(c.channel()).withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS);
    }

    private static <T> void guarded(Control c, CompletableFuture<T> answer, Consumer<CompletableFuture<T>> call) {
        try {
            c.breaker()
                    .executeCompletionStage(() -> {
                        CompletableFuture<T> asked = new CompletableFuture<>();
                        call.accept(asked);
                        return asked;
                    })
                    .whenComplete((value, failure) -> {
                        if (failure == null) {
                            answer.complete(value);
                        } else {
                            answer.completeExceptionally(failure);
                        }
                    });
        } catch (CallNotPermittedException e) {
            answer.completeExceptionally(e);
        }
    }

    private record One<T>(Consumer<T> then, CompletableFuture<?> orFail) implements StreamObserver<T> {
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
            orFail.completeExceptionally(reason(t));
        }

        @Override
        public void onCompleted() {
            orFail.completeExceptionally(new IOException("the peer ended the call without an answer"));
        }

        /** Of those that say more than that there was one. */
        private static Throwable reason(Throwable t) {
            for (Throwable cause = t.getCause(); cause != null; cause = cause.getCause()) {
                if (cause instanceof CertificateException) {
                    return new IOException(cause.getMessage(), t);
                }
            }
            return t.getCause() instanceof ConnectException refused && !(refused instanceof ConnectTimeoutException)
                    ? refused
                    : t;
        }
    }
}
