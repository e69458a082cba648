package io.terminus.agent.volume;

import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/** An operator makes this agent the writer. Any thread, which waits until it is, or is not. */
final class Promoting {

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final Following following;
    private final WriterSeat seat;
    private final Candidacy candidacy;

    Promoting(
            Surroundings around,
            KnownBlock known,
            RoleState roles,
            Following following,
            WriterSeat seat,
            Candidacy candidacy) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.following = following;
        this.seat = seat;
        this.candidacy = candidacy;
    }

    /** As {@link Volume#promote}. */
    void promote(boolean force, boolean acceptDataLoss, Duration timeout, Consumer<String> progress)
            throws RefusedException, InterruptedException {
        following.requireWorking();
        if (seat.serving()) {
            return;
        }
        requireMember(acceptDataLoss);
        candidacy.promote(new Promotion(force, acceptDataLoss), timeout);
        long until = System.nanoTime() + timeout.toNanos();
        boolean revoked = false;
        String last = "";
        while (!seat.serving()) {
            String now = roles.role() == Role.STANDBY
                            && known.config().member(around.agent()).isPresent()
                    ? "waiting for " + known.config().writer() + (force ? " to lose the lock" : " to hand over")
                    : roles.why();
            if (!now.equals(last)) {
                progress.accept(now);
                last = now;
            }
            if (force && !revoked && roles.role() == Role.STANDBY) {
                revoked = true;
                around.authority()
                        .revokeHolder()
                        .whenComplete((what, failure) -> progress.accept(
                                failure == null ? what : "the lock manager does not revoke: " + failure.getMessage()));
            }
            if (roles.role() == Role.REPLICA && !last.isEmpty() && !candidacy.promoting()) {
                throw new RefusedException(Why.NOT_READY, "not promoted: " + roles.why());
            }
            if (roles.role() == Role.FAILED) {
                throw new RefusedException(Why.FAILED, roles.why());
            }
            if (System.nanoTime() > until) {
                throw new RefusedException(Why.NOT_READY, "not promoted within " + timeout + ": " + roles.why());
            }
            Thread.sleep(20);
        }
    }

    /** Asked before anybody is disturbed: an election that cannot be won would only stop the writer. */
    private void requireMember(boolean acceptDataLoss) throws RefusedException, InterruptedException {
        if (around.replica().rebuilding()) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "the image at " + around.agent()
                            + " is a mixture: a copy to it was begun and has not ended. Only another replica can serve");
        }
        try {
            VolumeConfig now =
                    around.authority().read().get(10, TimeUnit.SECONDS).config();
            if (now != null && now.address(around.agent()).isEmpty()) {
                throw new RefusedException(
                        Why.NOT_READY, around.agent() + " holds no replica of " + known.name() + " any more");
            }
            if (now != null && now.member(around.agent()).isEmpty() && !acceptDataLoss) {
                throw new RefusedException(
                        Why.NOT_READY,
                        around.agent() + " is not in sync with " + known.name() + ": the in-sync set is "
                                + now.inSync().stream().map(Member::agent).toList()
                                + ". What it misses is given up only with --accept-data-loss");
            }
        } catch (ExecutionException | TimeoutException e) {
            throw new RefusedException(Why.NOT_READY, "the lock manager does not answer: " + e.getMessage());
        }
    }
}
