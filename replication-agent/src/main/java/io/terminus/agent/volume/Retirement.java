package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeAuthority.Block;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A volume is taken out of use, for a while or for good: its value block says so, and that is all that counts. Any thread; it waits. */
final class Retirement {

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final WriterSeat seat;
    private final Candidacy candidacy;

    Retirement(Surroundings around, KnownBlock known, RoleState roles, WriterSeat seat, Candidacy candidacy) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.seat = seat;
        this.candidacy = candidacy;
    }

    /** As {@link Volume#demote}. */
    void demote() throws RefusedException, InterruptedException {
        if (known.config().standing() == Standing.DEMOTED) {
            return;
        }
        retire(seat.requireServing(), Standing.DEMOTED);
    }

    /** As {@link Volume#delete}. */
    List<VolumeConfig.Address> delete(boolean force, Duration timeout) throws RefusedException, InterruptedException {
        Writer w = seat.now();
        if (w != null && w.serving()) {
            int clients = w.clients();
            if (clients > 0 && !force) {
                throw new RefusedException(
                        Why.NOT_READY,
                        "volume " + known.name() + " is used by " + clients
                                + " clients: it is deleted under them only with --force");
            }
            List<VolumeConfig.Address> replicas = w.config().replicas();
            retire(w, Standing.DELETED);
            return replicas;
        }
        return deleteUnserved(force, timeout);
    }

    /** What is not in the block when that is over is not done: the next election decides anew. */
    private void retire(Writer w, Standing standing) throws RefusedException, InterruptedException {
        roles.say(standing == Standing.DEMOTED ? "demoting: waiting until everything is committed" : "being deleted");
        w.drain(around.settings().drainTimeout());
        w.becomes(standing);
        long until = System.nanoTime() + around.settings().drainTimeout().toNanos();
        while (w.config().standing() != standing && !w.isStopped() && System.nanoTime() < until) {
            Thread.sleep(5);
        }
        boolean done = w.config().standing() == standing;
        w.stop(standing == Standing.DEMOTED ? "demoted" : done ? "deleted" : "it was to be deleted");
        if (!done) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "it is not known whether volume " + known.name() + " is "
                            + (standing == Standing.DEMOTED ? "demoted" : "deleted")
                            + " by its value block: ask again");
        }
        while (candidacy.grant() != null && System.nanoTime() < until) {
            Thread.sleep(5);
        }
    }

    private List<VolumeConfig.Address> deleteUnserved(boolean force, Duration timeout)
            throws RefusedException, InterruptedException {
        candidacy.giveUpWaiting("being deleted");
        // A standby is in nobody's way, and granted at once if nobody writes.
        VolumeAuthority.Waiting wait = around.authority().lock(!force, timeout, new VolumeAuthority.HolderEvents() {
            @Override
            public void recalled() {}

            @Override
            public void lost(String why) {}
        });
        Grant granted;
        try {
            granted = wait.granted().get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException | TimeoutException e) {
            wait.cancel();
            candidacy.lookAgain();
            throw new RefusedException(
                    Why.NOT_READY,
                    "volume " + known.name() + " is not served by agent " + around.agent() + ", and its lock is held by"
                            + " somebody else, as by its writer "
                            + known.config().writer()
                            + ": ask there, or take it away with --force");
        }
        try {
            Block block = around.authority().read().get(timeout.toMillis(), TimeUnit.MILLISECONDS);
            VolumeConfig now = block.config();
            if (now == null
                    || (!now.uuid().equals(known.config().uuid())
                            && !now.saysDeleted(known.config().uuid()))) {
                throw new RefusedException(
                        Why.OTHER_CONFIG,
                        "the value block of " + known.name() + " is not this volume's: here is "
                                + known.config().uuid());
            }
            if (!now.saysDeleted(known.config().uuid())
                    && !(granted.put(block.version(), now.with(Standing.DELETED))
                                    .get(timeout.toMillis(), TimeUnit.MILLISECONDS)
                            instanceof VolumeAuthority.Put.Stored)) {
                throw new RefusedException(
                        Why.NOT_READY, "it is not known whether volume " + known.name() + " is deleted: ask again");
            }
            return now.replicas();
        } catch (ExecutionException | TimeoutException e) {
            throw new RefusedException(Why.NOT_READY, "the lock manager does not answer: " + e.getMessage());
        } finally {
            granted.release();
            candidacy.lookAgain();
        }
    }
}
