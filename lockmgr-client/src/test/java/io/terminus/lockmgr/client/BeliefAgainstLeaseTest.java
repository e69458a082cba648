package io.terminus.lockmgr.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.client.SessionCore.Action;
import io.terminus.lockmgr.client.SessionCore.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Lost;
import io.terminus.proto.lock.v1.Mode;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/**
 * The one property all depends on: while any thread of the client finds a grant believed, the lock manager has not made its range grantable
 * to others. Random schedules of the core against the dullest model of the lock manager's lease.
 *
 * <p>What can happen: both clocks drift by up to 1 %, each its own way; messages take up to 2 s each way; streams break with everything
 * that is on them, told to the client, told late, or never told; the client's owner thread stops for up to 15 s while its other
 * threads go on asking {@code believed()}; locks are revoked; listeners take their time; waiters give up; the lock manager loses its
 * memory, and takes back for one lease what is re-asserted.
 *
 * <p>{@code -Dterminus.seed=N} repeats one schedule.
 */
class BeliefAgainstLeaseTest {

    private static final int SCHEDULES = 300;
    private static final int STEPS = 3000;
    private static final long MILLI = 1_000_000;
    private static final long TTL_MILLIS = 10_000;
    /** 2 x 1 % x ttl + 100 ms. */
    private static final long MARGIN_MILLIS = 300;

    @Test
    void whatIsBelievedIsNeverGrantable() {
        long only = Long.getLong("terminus.seed", -1);
        long first = only >= 0 ? only : 0;
        long believed = 0;

        for (long seed = first; seed < first + (only >= 0 ? 1 : SCHEDULES); seed++) {
            believed += new Schedule(seed, TTL_MILLIS + MARGIN_MILLIS).run();
        }

        // A client that never believes would pass as well.
        assertThat(believed).isGreaterThan(only >= 0 ? 0 : SCHEDULES * STEPS / 10L);
    }

    @Test
    void theModelNoticesALockManagerThatIsTooEarly() {
        assertThatThrownBy(() -> {
                    for (long seed = 0; seed < SCHEDULES; seed++) {
                        new Schedule(seed, TTL_MILLIS - 3 * MARGIN_MILLIS).run();
                    }
                })
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("believed");
    }

    private record InFlight<T>(long arrivesNanos, T message) {}

    private static final class Schedule {
        final long seed;
        final Random random;
        final double clientRate;
        final double serverRate;
        final long leaseNanos;
        long trueNanos;

        // The client.
        final SessionCore core;
        final Set<Grant> grants = new HashSet<>();
        final List<Long> acquires = new ArrayList<>();
        final List<Grant> unheard = new ArrayList<>();
        long connectAtNanos = Long.MAX_VALUE;
        long toldOfCutAtNanos = Long.MAX_VALUE;
        long stoppedUntilNanos;
        boolean clientStreaming;

        // The connection.
        final ArrayDeque<InFlight<ClientMessage>> toServer = new ArrayDeque<>();
        final ArrayDeque<InFlight<ServerMessage>> toClient = new ArrayDeque<>();

        // The lock manager: one session, told by its number.
        boolean serverStreaming;
        int session;
        long expiresNanos = Long.MIN_VALUE;
        long lastLockId;
        final Map<Long, Granted> held = new HashMap<>();
        final Map<Long, Granted> revoked = new HashMap<>();
        final Map<Long, Answer> answers = new HashMap<>();
        final Set<Long> grantable = new HashSet<>();
        /** Held before a loss of memory and not re-asserted yet; grantable when the window is over. */
        final Map<Long, Granted> forgotten = new HashMap<>();

        long windowEndNanos = Long.MIN_VALUE;

        Schedule(long seed, long leaseMillis) {
            this.seed = seed;
            this.leaseNanos = leaseMillis * MILLI;
            random = new Random(seed);
            clientRate = 1 + (random.nextDouble() - 0.5) / 50;
            serverRate = 1 + (random.nextDouble() - 0.5) / 50;
            core = new SessionCore(
                    new SessionCore.Settings("me", TTL_MILLIS * MILLI, TTL_MILLIS * MILLI),
                    this::clientNanos,
                    new Grant.Owner() {
                        @Override
                        public CompletableFuture<Void> release(Grant grant) {
                            core().release(grant);
                            return new CompletableFuture<>();
                        }

                        @Override
                        public void progress(Grant grant, long progress) {}
                    });
        }

        SessionCore core() {
            return core;
        }

        long clientNanos() {
            return (long) (trueNanos * clientRate);
        }

        long serverNanos() {
            return (long) (trueNanos * serverRate);
        }

        long run() {
            long believed = 0;
            core.start();
            for (int step = 0; step < STEPS; step++) {
                trueNanos += random.nextInt(400) * MILLI;
                serve();
                check(step);
                if (trueNanos >= stoppedUntilNanos) {
                    live();
                }
                believed += check(step);
            }
            return believed;
        }

        long check(int step) {
            long believed = 0;
            for (Grant grant : grants) {
                if (grant.believed()) {
                    believed++;
                    if (grantable.contains(grant.lockId())) {
                        throw new AssertionError(
                                grant + " is believed but was grantable, seed " + seed + " step " + step);
                    }
                }
            }
            return believed;
        }

        // The client's side.

        void live() {
            long now = clientNanos();
            if (trueNanos >= toldOfCutAtNanos) {
                toldOfCutAtNanos = Long.MAX_VALUE;
                clientStreaming = false;
                core.streamClosed(false, "cut", now);
            }
            if (trueNanos >= connectAtNanos) {
                connectAtNanos = Long.MAX_VALUE;
                cut();
                toldOfCutAtNanos = Long.MAX_VALUE;
                clientStreaming = true;
                serverStreaming = true;
                core.streamOpened(now);
                perform();
            }
            while (clientStreaming && !toClient.isEmpty() && toClient.getFirst().arrivesNanos <= trueNanos) {
                core.received(toClient.removeFirst().message, now);
                perform();
            }
            switch (random.nextInt(40)) {
                case 0, 1, 2 ->
                    acquires.add(core.acquire(
                            AcquireRequest.of("v", LockRange.WHOLE_VOLUME, LockMode.CR, Duration.ofSeconds(5)), now));
                case 3 -> grants.stream().findAny().ifPresent(Grant::close);
                case 4 -> {
                    if (!acquires.isEmpty()) {
                        core.cancel(acquires.get(random.nextInt(acquires.size())));
                    }
                }
                case 5, 6, 7, 8 -> {
                    if (!unheard.isEmpty()) {
                        core.lossHeard(unheard.remove(random.nextInt(unheard.size())), now);
                    }
                }
                case 9 -> {
                    if (random.nextInt(5) == 0) {
                        stoppedUntilNanos = trueNanos + random.nextInt(15_000) * MILLI;
                    }
                }
                default -> {}
            }
            core.tick(now);
            while (core.flush(now)) {
                perform();
            }
            perform();
            grants.removeIf(grant -> grantable.contains(grant.lockId()) && !grant.believed());
        }

        void perform() {
            for (Action action : core.drain()) {
                switch (action) {
                    case Action.Connect connect -> connectAtNanos = trueNanos + random.nextInt(2000) * MILLI;
                    case Action.Disconnect disconnect -> {
                        cut();
                        clientStreaming = false;
                        toldOfCutAtNanos = Long.MAX_VALUE;
                    }
                    case Action.Send send -> {
                        if (serverStreaming) {
                            toServer.add(new InFlight<>(arrival(toServer), send.message()));
                        }
                    }
                    case Action.Complete complete -> {
                        acquires.remove(complete.requestId());
                        if (complete.outcome() instanceof Outcome.Acquired acquired) {
                            grants.add(acquired.grant());
                        }
                    }
                    case Action.CloseSession close -> throw new AssertionError("nobody closed");
                    case Notice.Lost lost -> unheard.add(lost.grant());
                    case Notice other -> {}
                }
            }
        }

        <T> long arrival(ArrayDeque<InFlight<T>> queue) {
            int delayMillis = random.nextInt(10) == 0 ? random.nextInt(2000) : random.nextInt(20);
            long at = trueNanos + delayMillis * MILLI;
            return queue.isEmpty() ? at : Math.max(at, queue.getLast().arrivesNanos);
        }

        void cut() {
            serverStreaming = false;
            toServer.clear();
            toClient.clear();
        }

        // The lock manager's side.

        void serve() {
            if (session > 0 && serverNanos() >= expiresNanos) {
                expire();
            }
            if (serverNanos() >= windowEndNanos) {
                grantable.addAll(forgotten.keySet());
                forgotten.clear();
            }
            while (serverStreaming && !toServer.isEmpty() && toServer.getFirst().arrivesNanos <= trueNanos) {
                process(toServer.removeFirst().message);
            }
            switch (random.nextInt(60)) {
                case 0 -> {
                    if (serverStreaming) {
                        cut();
                        // Told, told late, or left to be found out.
                        toldOfCutAtNanos =
                                random.nextInt(3) == 0 ? Long.MAX_VALUE : trueNanos + random.nextInt(6000) * MILLI;
                    }
                }
                case 1 -> held.keySet().stream().findAny().ifPresent(this::revoke);
                case 2 -> {
                    if (random.nextInt(4) == 0) {
                        loseMemory();
                    }
                }
                default -> {}
            }
        }

        void loseMemory() {
            cut();
            toldOfCutAtNanos = random.nextInt(3) == 0 ? Long.MAX_VALUE : trueNanos + random.nextInt(6000) * MILLI;
            forgotten.putAll(held);
            forgotten.putAll(revoked);
            held.clear();
            revoked.clear();
            answers.clear();
            session = -Math.abs(session);
            windowEndNanos = serverNanos() + leaseNanos;
        }

        void expire() {
            grantable.addAll(held.keySet());
            grantable.addAll(revoked.keySet());
            held.clear();
            revoked.clear();
            answers.clear();
            session = -session;
        }

        void revoke(long lockId) {
            Granted granted = held.remove(lockId);
            if (granted != null) {
                revoked.put(lockId, granted);
                answers.values().removeIf(answer -> answer.getGranted().getLockId() == lockId);
                say(ServerMessage.newBuilder().addEvents(lost(lockId)));
            }
        }

        static Event lost(long lockId) {
            return Event.newBuilder()
                    .setLost(Lost.newBuilder().setLockId(lockId).setWhy("revoked"))
                    .build();
        }

        void process(ClientMessage message) {
            if (message.hasAttach()) {
                String asked = message.getAttach().getSessionId();
                boolean anew = message.getAttach().getMayReassert()
                        && session < 0
                        && asked.equals("s" + -session)
                        && serverNanos() < windowEndNanos;
                if (anew) {
                    session = -session;
                }
                if (!asked.isEmpty() && !asked.equals("s" + session)) {
                    // A stream that ends with NOT_FOUND.
                    cut();
                    clientStreaming = false;
                    core.streamClosed(true, "unknown session " + asked, clientNanos());
                    perform();
                    return;
                }
                if (asked.isEmpty()) {
                    if (session > 0) {
                        // The client never heard of it.
                        expire();
                    }
                    session = Math.abs(session) + 1;
                }
                if (asked.isEmpty() || anew) {
                    // To come back is no renewal.
                    expiresNanos = serverNanos() + leaseNanos;
                }
                ServerMessage.Builder welcome = ServerMessage.newBuilder()
                        .setWelcome(Welcome.newBuilder()
                                .setSessionId("s" + session)
                                .setTtlMillis(TTL_MILLIS)
                                .setMarginMillis(MARGIN_MILLIS)
                                .setReassert(anew)
                                .addAllHeld(held.values()));
                revoked.keySet().forEach(lockId -> welcome.addEvents(lost(lockId)));
                say(welcome);
                return;
            }
            if (session <= 0) {
                return;
            }
            ServerMessage.Builder reply = ServerMessage.newBuilder();
            message.getOperationsList().forEach(operation -> {
                if (!operation.hasAcquire() || random.nextInt(3) > 0) {
                    reply.addAnswers(answers.computeIfAbsent(operation.getRequestId(), id -> execute(operation)));
                }
            });
            if (message.hasRenew() && revoked.isEmpty()) {
                expiresNanos = serverNanos() + leaseNanos;
                reply.setRenewal(RenewalAnswer.newBuilder()
                        .setSequence(message.getRenew().getSequence()));
            }
            say(reply);
        }

        Answer execute(Operation operation) {
            Answer.Builder answer = Answer.newBuilder().setRequestId(operation.getRequestId());
            switch (operation.getKindCase()) {
                case ACQUIRE -> {
                    Range range = operation.getAcquire().getRange();
                    Granted granted = Granted.newBuilder()
                            .setLockId(++lastLockId)
                            .setVolume("v")
                            .setVolumeUuid("u")
                            .setRequested(range)
                            .setRange(range)
                            .setMode(Mode.MODE_CR)
                            .setToken(lastLockId)
                            .build();
                    held.put(lastLockId, granted);
                    return answer.setGranted(granted).build();
                }
                case CANCEL -> {
                    Answer acquired = answers.get(operation.getCancel().getAcquireRequestId());
                    if (acquired != null && held.remove(acquired.getGranted().getLockId()) != null) {
                        grantable.add(acquired.getGranted().getLockId());
                    }
                }
                case RELEASE -> free(operation.getRelease().getLockId());
                case LOST_ACK -> {
                    long lockId = operation.getLostAck().getLockId();
                    if (revoked.remove(lockId) != null) {
                        grantable.add(lockId);
                    }
                }
                case RECALL_PROGRESS, GET_VALUE, PUT_VALUE, PROMOTE, CONVERT, SHRINK, SPLIT, KIND_NOT_SET -> {}
                case REASSERT -> {
                    Granted lock = operation.getReassert().getLock();
                    if (held.containsKey(lock.getLockId()) || forgotten.remove(lock.getLockId()) != null) {
                        held.put(lock.getLockId(), lock);
                        return answer.setGranted(lock).build();
                    }
                    return answer.setRefused(Refused.newBuilder().setReason(Reason.RECOVERING))
                            .build();
                }
            }
            return answer.setDone(Done.getDefaultInstance()).build();
        }

        void free(long lockId) {
            if (held.remove(lockId) != null || revoked.remove(lockId) != null) {
                grantable.add(lockId);
            }
        }

        void say(ServerMessage.Builder message) {
            if (serverStreaming) {
                toClient.add(new InFlight<>(arrival(toClient), message.build()));
            }
        }
    }
}
