package io.terminus.benchmarks.cluster;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.Lock;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.AcquireLockRequest;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.OpenSessionRequest;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.ReleaseLockRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Ways to take a lock that nobody else wants and to give it back, each awaited, any number at once. Any thread. */
sealed interface LockPairs extends AutoCloseable {

    int LEASE_SECONDS = 60;

    CompletableFuture<?> pair(long lock);

    @Override
    void close();

    /** etcd's own lock service, each lock a key under one lease. */
    final class Etcd implements LockPairs {
        private final Client client;
        private final Lock locks;
        private final long lease;

        Etcd(Group group) throws Exception {
            client = Client.builder()
                    .endpoints(group.addresses().stream()
                            .map(address -> "http://" + address)
                            .toArray(String[]::new))
                    .build();
            locks = client.getLockClient();
            lease = client.getLeaseClient()
                    .grant(LEASE_SECONDS * 10L)
                    .get(30, TimeUnit.SECONDS)
                    .getID();
        }

        @Override
        public CompletableFuture<?> pair(long lock) {
            ByteSequence name = ByteSequence.from("lock-" + lock, StandardCharsets.UTF_8);
            return locks.lock(name, lease).thenCompose(held -> locks.unlock(held.getKey()));
        }

        @Override
        public void close() {
            client.close();
        }
    }

    /** One call for each operation, to the lock manager that leads. */
    final class Unary implements LockPairs {
        private final ManagedChannel channel;
        private final LockServiceGrpc.LockServiceFutureStub stub;
        private final String volume;
        private final String session;

        private Unary(ManagedChannel channel, int ofGroup, String volume, String session) {
            this.channel = channel;
            this.stub = LockServiceGrpc.newFutureStub(channel).withInterceptors(Groups.to(ofGroup));
            this.volume = volume;
            this.session = session;
        }

        /** Who has just won its election does not serve yet, and may lose it again. */
        static Unary open(Group group) throws Exception {
            return open(group, 0, "bench");
        }

        /** @param volume of that one of the groups over which volumes are spread */
        static Unary open(Group group, int ofGroup, String volume) throws Exception {
            OpenSessionRequest request = OpenSessionRequest.newBuilder()
                    .setOwner("bench-unary")
                    .setTtlMillis(TimeUnit.SECONDS.toMillis(LEASE_SECONDS))
                    .build();
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LEASE_SECONDS);
            while (true) {
                ManagedChannel channel = ManagedChannelBuilder.forTarget(
                                group.addresses().get(group.leader(ofGroup)))
                        .usePlaintext()
                        .build();
                try {
                    return new Unary(
                            channel,
                            ofGroup,
                            volume,
                            LockServiceGrpc.newBlockingStub(channel)
                                    .withInterceptors(Groups.to(ofGroup))
                                    .withDeadlineAfter(LEASE_SECONDS, TimeUnit.SECONDS)
                                    .openSession(request)
                                    .getSessionId());
                } catch (StatusRuntimeException e) {
                    channel.shutdownNow();
                    if (e.getStatus().getCode() != Status.Code.UNAVAILABLE || System.nanoTime() > deadline) {
                        throw e;
                    }
                    Thread.sleep(50);
                }
            }
        }

        @Override
        public CompletableFuture<?> pair(long lock) {
            Acquire acquire = Acquire.newBuilder()
                    .setVolume(volume)
                    .setRange(Range.newBuilder().setStart(lock).setEnd(lock + 1))
                    .setMode(Mode.MODE_EX)
                    .setWaitMillis(60_000)
                    .build();
            return completable(stub.acquireLock(AcquireLockRequest.newBuilder()
                            .setSessionId(session)
                            .setAcquire(acquire)
                            .build()))
                    .thenCompose(granted -> completable(stub.releaseLock(ReleaseLockRequest.newBuilder()
                            .setSessionId(session)
                            .setLockId(granted.getGranted().getLockId())
                            .build())));
        }

        private static CompletableFuture<Answer> completable(ListenableFuture<Answer> call) {
            CompletableFuture<Answer> answered = new CompletableFuture<>();
            Futures.addCallback(
                    call,
                    new FutureCallback<>() {
                        @Override
                        public void onSuccess(@Nullable Answer answer) {
                            if (answer == null || answer.hasRefused()) {
                                answered.completeExceptionally(new IllegalStateException(String.valueOf(answer)));
                            } else {
                                answered.complete(answer);
                            }
                        }

                        @Override
                        public void onFailure(Throwable failure) {
                            answered.completeExceptionally(failure);
                        }
                    },
                    MoreExecutors.directExecutor());
            return answered;
        }

        @Override
        public void close() {
            channel.shutdownNow();
        }
    }

    /** The client library, which sends together what comes up together. */
    final class Library implements LockPairs {
        final LockClient client;
        private final List<String> volumes;

        Library(Group group) throws Exception {
            this(group, List.of("bench"));
        }

        /** @param volumes in turns, lock after lock */
        Library(Group group, List<String> volumes) throws Exception {
            this.client = connect(group.addresses(), "bench-library");
            this.volumes = volumes;
        }

        static LockClient connect(List<String> addresses, String owner) throws Exception {
            LockClient client = LockClient.connect(LockClient.Config.of(String.join(",", addresses), owner)
                    .withTtl(Duration.ofSeconds(LEASE_SECONDS))
                    .withMaxInFlight(200_000));
            client.ready().get(60, TimeUnit.SECONDS);
            return client;
        }

        static AcquireRequest exclusive(String volume, long lock) {
            return AcquireRequest.of(volume, new LockRange(lock, lock + 1), LockMode.EXCLUSIVE, Duration.ofMinutes(1));
        }

        @Override
        public CompletableFuture<?> pair(long lock) {
            return client.acquire(exclusive(volumes.get((int) (lock % volumes.size())), lock))
                    .thenCompose(grant -> grant.release());
        }

        @Override
        public void close() {
            client.close();
        }
    }

    /** Several ways in turns, lock after lock. */
    record InTurns(List<LockPairs> ways) implements LockPairs {
        @Override
        public CompletableFuture<?> pair(long lock) {
            return ways.get((int) (lock % ways.size())).pair(lock);
        }

        @Override
        public void close() {
            ways.forEach(LockPairs::close);
        }
    }
}
