package io.terminus.cli;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.AbstractStub;
import io.terminus.security.KeysRefusedException;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** A gRPC channel to one process. May be shared by threads. */
final class Connection implements AutoCloseable {

    private final String who;
    private final ManagedChannel channel;
    private final Duration deadline;
    private final @Nullable TlsKeys keys;

    Connection(SetMember member, PortPlan ports, Duration deadline) {
        this(
                member.isAgent() ? "agent " + member.title() : "the lock manager",
                ports.endpoints(member).grpc(),
                deadline,
                ports.keys());
    }

    /**
     * @param name as people call the process at the endpoint
     * @param files to be known by, and to know it by; null: without TLS
     */
    Connection(String name, String endpoint, Duration deadline, @Nullable TlsFiles files) {
        this.who = name + " at " + endpoint;
        this.deadline = deadline;
        this.keys = keys(files);
        this.channel = GrpcTls.channel(endpoint, keys)
                // On this machine, or in a network of its own: no proxy of the environment may come between.
                .proxyDetector(address -> null)
                .build();
    }

    private static @Nullable TlsKeys keys(@Nullable TlsFiles files) {
        try {
            return files == null ? null : TlsKeys.load("--tls", files);
        } catch (KeysRefusedException e) {
            throw new Failure(String.valueOf(e.getMessage()), e);
        }
    }

    Channel channel() {
        return channel;
    }

    /** The stub with this connection's deadline, counted from now. */
    <S extends AbstractStub<S>> S timed(S stub) {
        return stub.withDeadlineAfter(deadline.toMillis(), TimeUnit.MILLISECONDS);
    }

    <T> T call(Supplier<T> call) {
        try {
            return call.get();
        } catch (StatusRuntimeException e) {
            throw CallFailure.of(who, e);
        }
    }

    /** Whether it says that it serves; not answering counts as no. */
    boolean isServing() {
        try {
            return timed(HealthGrpc.newBlockingStub(channel))
                            .check(HealthCheckRequest.getDefaultInstance())
                            .getStatus()
                    == ServingStatus.SERVING;
        } catch (StatusRuntimeException notServing) {
            return false;
        }
    }

    /** Tells whether it says that it serves, whenever that changes, until it or this connection ends. Has no deadline. */
    void watchServing(Consumer<Boolean> to) {
        call(() -> {
            HealthGrpc.newBlockingStub(channel)
                    .watch(HealthCheckRequest.getDefaultInstance())
                    .forEachRemaining(state -> to.accept(state.getStatus() == ServingStatus.SERVING));
            return true;
        });
    }

    @Override
    public void close() {
        channel.shutdownNow();
        if (keys != null) {
            keys.close();
        }
    }
}
