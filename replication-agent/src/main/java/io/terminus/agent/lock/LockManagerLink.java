package io.terminus.agent.lock;

import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.retry.Retry;
import io.github.resilience4j.retry.RetryConfig;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.handler.ssl.SslContext;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockListener;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import io.terminus.lockmgr.client.PendingAcquire;
import io.terminus.lockmgr.client.PutOutcome;
import io.terminus.lockmgr.client.Value;
import io.terminus.proto.lock.v1.ForceReleaseRequest;
import io.terminus.proto.lock.v1.ListLocksRequest;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The agent's session at the lock manager, shared by all its volumes.
 *
 * <p>The session's id is kept in a file. An agent that starts holds the file lock of its data directory, so whoever had
 * that session is dead; it is closed at once instead of being waited out.
 */
public final class LockManagerLink implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(LockManagerLink.class);
    private static final Duration ADMIN_DEADLINE = Duration.ofSeconds(3);

    private final LockClient client;
    private final Path sessionFile;
    private final Retry retry = Retry.of(
            "lock-manager-admin",
            RetryConfig.custom()
                    .maxAttempts(4)
                    .intervalFunction(IntervalFunction.ofExponentialRandomBackoff(100, 2.0, 0.3))
                    .retryOnException(e -> e instanceof StatusRuntimeException s
                            && s.getStatus().getCode() == Status.Code.UNAVAILABLE)
                    .build());

    /** Who hears of which grant. */
    private final Map<Long, VolumeAuthority.HolderEvents> holders = new ConcurrentHashMap<>();

    /** Recalls and losses of grants whose holder has not been told of the grant yet. */
    private final Map<Long, Early> early = new ConcurrentHashMap<>();

    private record Early(@Nullable String lostBecause) {}

    /** @param tls null: unencrypted */
    public LockManagerLink(String target, String agent, Duration ttl, Path sessionFile, @Nullable SslContext tls) {
        this.sessionFile = sessionFile;
        LockClient.Config config =
                LockClient.Config.of(target, "agent/" + agent).withTtl(ttl).withListener(new Events());
        this.client = LockClient.connect(tls == null ? config : config.withTls(tls));
        closePredecessor();
    }

    public VolumeAuthority volume(String name) {
        return new OneVolume(name);
    }

    public boolean reachable() {
        return client.status().state() == LockClient.State.ATTACHED;
    }

    @Override
    public void close() {
        client.close();
        try {
            Files.deleteIfExists(sessionFile);
        } catch (IOException e) {
            LOG.debug("{}: {}", sessionFile, e.getMessage());
        }
    }

    private void closePredecessor() {
        try {
            if (Files.exists(sessionFile)) {
                String id = Files.readString(sessionFile).strip();
                // Once attached: of a group only the one that leads can do it.
                client.ready()
                        .thenCompose(attached -> client.closeSession(id))
                        .whenComplete((done, failure) -> LOG.info(
                                "session {} of this agent's predecessor: {}",
                                id,
                                failure == null ? "closed" : failure.getMessage()));
            }
        } catch (IOException e) {
            LOG.warn("{} cannot be read, the predecessor's session is waited out: {}", sessionFile, e.getMessage());
        }
    }

    private void rememberSession() {
        try {
            Path next = sessionFile.resolveSibling(sessionFile.getFileName() + ".next");
            Files.writeString(next, client.sessionId());
            Files.move(next, sessionFile, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.warn("{} cannot be written: {}", sessionFile, e.getMessage());
        }
    }

    /** Runs on the client's one callback thread, as do completions of acquires that were waited for. */
    private final class Events implements LockListener {
        @Override
        public void recalled(io.terminus.lockmgr.client.Grant grant, LockRange needed, Duration deadline) {
            VolumeAuthority.HolderEvents holder = holders.get(grant.lockId());
            if (holder != null) {
                holder.recalled();
            } else {
                early.putIfAbsent(grant.lockId(), new Early(null));
            }
        }

        @Override
        public void lost(io.terminus.lockmgr.client.Grant grant, String why) {
            VolumeAuthority.HolderEvents holder = holders.remove(grant.lockId());
            if (holder != null) {
                holder.lost(why);
            } else {
                early.put(grant.lockId(), new Early(why));
            }
        }
    }

    private final class OneVolume implements VolumeAuthority {
        private final String name;

        OneVolume(String name) {
            this.name = name;
        }

        @Override
        public CompletableFuture<Block> read() {
            return client.value(name).thenCompose(v -> {
                try {
                    return CompletableFuture.completedFuture(block(v));
                } catch (VolumeConfig.UnreadableConfigException e) {
                    return CompletableFuture.failedFuture(new AuthorityException(String.valueOf(e.getMessage())));
                }
            });
        }

        @Override
        public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
            PendingAcquire pending = client.acquire(
                    standby
                            ? AcquireRequest.standby(name, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE)
                            : AcquireRequest.of(name, LockRange.WHOLE_VOLUME, LockMode.EXCLUSIVE, wait));
            CompletableFuture<Grant> granted = pending.thenApply(g -> {
                holders.put(g.lockId(), events);
                rememberSession();
                Early missed = early.remove(g.lockId());
                if (missed != null) {
                    String lost = missed.lostBecause();
                    if (lost == null) {
                        events.recalled();
                    } else {
                        events.lost(lost);
                    }
                }
                return new Held(g);
            });
            return new Waiting() {
                @Override
                public CompletableFuture<Grant> granted() {
                    return granted;
                }

                @Override
                public void cancel() {
                    pending.cancel(false);
                }
            };
        }

        @Override
        public CompletableFuture<String> revokeHolder() {
            return CompletableFuture.supplyAsync(() ->
                    retry.executeSupplier(() -> {
                        LockAdminGrpc.LockAdminBlockingStub stub = LockAdminGrpc.newBlockingStub(client.channel(name))
                                .withDeadlineAfter(ADMIN_DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
                        List<LockInfo> held = stub
                                .listLocks(ListLocksRequest.newBuilder()
                                        .setVolume(name)
                                        .build())
                                .getLocksList()
                                .stream()
                                .filter(lock ->
                                        !lock.getSessionId().equals(client.sessionId(name))) // it may be ours by now
                                .toList();
                        for (LockInfo lock : held) {
                            var unused = stub.forceRelease(ForceReleaseRequest.newBuilder()
                                    .setVolume(name)
                                    .setLockId(lock.getId())
                                    .build());
                        }
                        return held.isEmpty()
                                ? "nobody else holds the lock"
                                : "took the lock from " + held.getFirst().getOwner()
                                        + ", waiting for its word or the end of its lease";
                    }));
        }

        private final class Held implements Grant {
            private final io.terminus.lockmgr.client.Grant grant;

            Held(io.terminus.lockmgr.client.Grant grant) {
                this.grant = grant;
            }

            @Override
            public boolean believed() {
                return grant.believed();
            }

            @Override
            public long token() {
                return grant.token();
            }

            @Override
            public CompletableFuture<Put> put(long expectedVersion, VolumeConfig config) {
                return client.putValue(grant, expectedVersion, config.encode()).thenApply(outcome -> switch (outcome) {
                    case PutOutcome.Written written -> new Put.Stored(written.version());
                    case PutOutcome.VersionMismatch mismatch -> {
                        try {
                            yield new Put.Mismatch(block(mismatch.current()));
                        } catch (VolumeConfig.UnreadableConfigException e) {
                            yield new Put.Refused(String.valueOf(e.getMessage()));
                        }
                    }
                    case PutOutcome.Refused refused -> new Put.Refused(refused.reason() + ": " + refused.message());
                    case PutOutcome.Unknown unknown -> new Put.Unknown(unknown.why());
                });
            }

            @Override
            public void progress(long progress) {
                grant.progress(progress);
            }

            @Override
            public void release() {
                holders.remove(grant.lockId());
                grant.close();
            }
        }
    }

    private static VolumeAuthority.Block block(Value v) throws VolumeConfig.UnreadableConfigException {
        return new VolumeAuthority.Block(v.version(), v.version() == 0 ? null : VolumeConfig.decode(v.bytes()));
    }
}
