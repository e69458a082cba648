package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;
import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * What operators ask of the writer while clients go on: other replicas, more room, other acknowledgements, comparisons. Any thread; all
 * but the comparisons wait until the value block says it.
 */
final class Alterations {

    private static final Duration CAN_HOLD_TIMEOUT = Duration.ofSeconds(5);

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final WriterSeat seat;

    Alterations(Surroundings around, KnownBlock known, RoleState roles, WriterSeat seat) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.seat = seat;
    }

    /** As {@link Volume#requireMayAdd}. */
    void requireMayAdd(VolumeConfig.Address added) throws RefusedException {
        isNamed(seat.requireServing(), added);
    }

    /** Whether the value block names that agent already, at that address. */
    private static boolean isNamed(Writer w, VolumeConfig.Address added) throws RefusedException {
        VolumeConfig.Address there = w.config().address(added.agent()).orElse(null);
        if (there != null && !added.equals(there)) {
            throw new RefusedException(
                    Why.OTHER_SHAPE, "agent " + added.agent() + " has a replica already, at " + there.peer());
        }
        return there != null;
    }

    /** As {@link Volume#addReplica}. */
    void addReplica(VolumeConfig.Address added, Duration timeout) throws RefusedException, InterruptedException {
        long until = System.nanoTime() + timeout.toNanos();
        while (true) {
            Writer w = seat.requireServing();
            if (isNamed(w, added)) {
                return;
            }
            w.addReplica(added);
            if (System.nanoTime() > until) {
                throw new RefusedException(
                        Why.NOT_READY, "the value block does not name " + added.agent() + " within " + timeout);
            }
            Thread.sleep(20);
        }
    }

    /** As {@link Volume#removeReplica}. */
    boolean removeReplica(String agent, Duration timeout) throws RefusedException, InterruptedException {
        long until = System.nanoTime() + timeout.toNanos();
        boolean was = false;
        while (true) {
            Writer w = seat.requireServing();
            VolumeConfig now = w.config();
            if (now.address(agent).isEmpty()) {
                return was;
            }
            was = true;
            if (agent.equals(around.agent())) {
                throw new RefusedException(
                        Why.OTHER_SHAPE, agent + " writes volume " + known.name() + ": promote another agent first");
            }
            long membersLeft =
                    now.inSync().stream().filter(m -> !m.agent().equals(agent)).count();
            if (!now.canSpareOne() || membersLeft < now.minCopies()) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "without " + agent + " volume " + known.name() + " has "
                                + (now.replicas().size() - 1)
                                + " replicas, " + membersLeft + " of them in sync; copies " + now.copies()
                                + " and minCopies " + now.minCopies() + " need more");
            }
            w.removeReplica(agent);
            if (System.nanoTime() > until) {
                throw new RefusedException(Why.NOT_READY, "the value block still names " + agent + " after " + timeout);
            }
            Thread.sleep(20);
        }
    }

    /** As {@link Volume#resize}. */
    void resize(long sizeBytes, Duration timeout) throws RefusedException, InterruptedException {
        Volumes.requireShape(known.name(), sizeBytes);
        long until = System.nanoTime() + timeout.toNanos();
        boolean tried = false;
        while (true) {
            Writer w = seat.requireServing();
            if (known.config().sizeBytes() == sizeBytes) {
                return;
            }
            if (known.config().sizeBytes() > sizeBytes) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "volume " + known.name() + " has " + known.config().sizeBytes() + " bytes, and " + sizeBytes
                                + " are less: a volume only grows, for nobody but its clients knows what they keep at"
                                + " its end");
            }
            if (!tried) {
                requireRoomAtMembers(w.config(), sizeBytes);
                tried = true;
            }
            w.grow(sizeBytes);
            if (System.nanoTime() > until) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "the value block, or the image at " + around.agent() + ", does not have " + sizeBytes
                                + " bytes after " + timeout + ": " + roles.why());
            }
            Thread.sleep(20);
        }
    }

    /** As {@link Volume#set}. */
    void set(@Nullable AckLevel level, @Nullable Integer copies, @Nullable Integer minCopies, Duration timeout)
            throws RefusedException, InterruptedException {
        VolumeConfig.Acks now = seat.requireServing().config().acks();
        VolumeConfig.Acks next = new VolumeConfig.Acks(
                level == null ? now.level() : level,
                copies == null ? now.copies() : copies,
                minCopies == null ? now.minCopies() : minCopies);
        Volumes.requireAcks(next, known.config().replicas().size());
        long until = System.nanoTime() + timeout.toNanos();
        while (true) {
            Writer w = seat.requireServing();
            if (known.config().acks().equals(next) && w.config().acks().equals(next)) {
                w.asks(null);
                return;
            }
            w.asks(next);
            if (System.nanoTime() > until) {
                w.asks(null);
                throw new RefusedException(
                        Why.NOT_READY,
                        "what is acknowledged already does not satisfy " + next + " within " + timeout
                                + ", or the lock manager did not answer; now it is "
                                + w.config().acks());
            }
            Thread.sleep(20);
        }
    }

    /** Asked before the block says it: from then on every replica has to. One that cannot would leave the set, and stay behind. */
    private void requireRoomAtMembers(VolumeConfig now, long sizeBytes) throws RefusedException, InterruptedException {
        requireRoom(sizeBytes);
        Map<String, CompletableFuture<Void>> asked = new LinkedHashMap<>();
        for (VolumeConfig.Address a : now.replicas()) {
            if (!a.agent().equals(around.agent()) && now.member(a.agent()).isPresent()) {
                asked.put(a.agent(), around.network().canHold(a, now.uuid(), sizeBytes, CAN_HOLD_TIMEOUT));
            }
        }
        for (Map.Entry<String, CompletableFuture<Void>> member : asked.entrySet()) {
            try {
                member.getValue().get();
            } catch (ExecutionException e) {
                Throwable why = e.getCause() == null ? e : e.getCause();
                throw new RefusedException(
                        Why.NOT_READY,
                        "volume " + known.name() + " stays as it is: member " + member.getKey()
                                + " does not say that it can hold " + sizeBytes + " bytes: " + why.getMessage());
            }
        }
    }

    /** As {@link Volume#requireRoom}. */
    void requireRoom(long sizeBytes) throws RefusedException {
        roles.requireWorking();
        try {
            around.replica().image().requireRoomFor(sizeBytes);
        } catch (IOException e) {
            throw new RefusedException(
                    Why.NO_SPACE,
                    "no file of " + sizeBytes + " bytes can be made where agent " + around.agent()
                            + " keeps its image: " + e.getMessage());
        }
    }

    /** As {@link Volume#verify}. */
    void verify(String agent, boolean repairs) throws RefusedException {
        Writer w = seat.requireServing();
        List<PeerCursor> meant = w.cursors().stream()
                .filter(c -> agent.isEmpty() || c.address().agent().equals(agent))
                .toList();
        if (meant.isEmpty()) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    agent.isEmpty()
                            ? "volume " + known.name() + " has no other replica to compare with"
                            : "agent " + agent + " has no replica of " + known.name() + " that agent " + around.agent()
                                    + ", which writes it, could compare its own with");
        }
        for (PeerCursor c : meant) {
            Verification v = c.verification();
            if (v != null && !v.over()) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "the replica of " + known.name() + " at " + c.address().agent() + " is being compared already: "
                                + v.progress().comparedBytes() + " bytes so far");
            }
        }
        meant.forEach(c -> c.verify(repairs));
    }

    /** As {@link Volume#stopVerifying}. */
    void stopVerifying() {
        Writer w = seat.now();
        if (w != null) {
            for (PeerCursor c : w.cursors()) {
                Verification v = c.verification();
                if (v != null) {
                    v.stop("stopped by an operator");
                }
            }
        }
    }
}
