package io.terminus.lockmgr.agents;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.ListVolumesRequest;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import io.terminus.proto.agent.v1.VolumeStatus;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** One agent's control service, and the last it said. Any thread. */
final class AgentLink implements AutoCloseable {

    private static final int DEADLINE_SECONDS = 2;
    /** Some ten thousand volumes. */
    private static final int MOST_BYTES = 32 << 20;

    private final String address;
    private final ManagedChannel channel;
    private final AtomicBoolean asking = new AtomicBoolean();
    private final CompletableFuture<Answer> first = new CompletableFuture<>();
    private volatile Answer last = Answer.NONE_YET;

    /** @param keys null: without TLS */
    AgentLink(String address, @Nullable TlsKeys keys) {
        this.address = address;
        this.channel = GrpcTls.channel("dns:///" + address, keys)
                .maxInboundMessageSize(MOST_BYTES)
                .build();
    }

    Channel channel() {
        return channel;
    }

    Answer last() {
        return last;
    }

    /** Completed with the first answer, be it a failure. */
    CompletableFuture<Answer> first() {
        return first;
    }

    /** Asks for all its volumes, unless the last question is still open. */
    void ask() {
        if (!asking.compareAndSet(false, true)) {
            return;
        }
        AgentControlGrpc.newStub(channel)
                .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
                .listVolumes(ListVolumesRequest.getDefaultInstance(), new StreamObserver<>() {
                    @Override
                    public void onNext(ListVolumesResponse response) {
                        Map<String, VolumeStatus> volumes = new HashMap<>();
                        response.getVolumesList().forEach(volume -> volumes.put(volume.getUuid(), volume));
                        answered(new Answer(null, volumes, System.nanoTime()));
                    }

                    @Override
                    public void onError(Throwable failure) {
                        answered(new Answer(sentence(failure), Map.of(), System.nanoTime()));
                        asking.set(false);
                        // Else a channel waits ever longer before it tries again, and the agent seems away for minutes.
                        channel.resetConnectBackoff();
                    }

                    @Override
                    public void onCompleted() {
                        asking.set(false);
                    }
                });
    }

    private void answered(Answer answer) {
        last = answer;
        first.complete(answer);
    }

    private String sentence(Throwable failure) {
        Status status = Status.fromThrowable(failure);
        return switch (status.getCode()) {
            case DEADLINE_EXCEEDED -> "no answer from " + address + " within " + DEADLINE_SECONDS + " s";
            case UNAVAILABLE -> "not reached at " + address;
            default -> address + ": " + status.getCode() + " " + status.getDescription();
        };
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
