package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.Lost;
import io.terminus.proto.lock.v1.Recall;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.agrona.collections.Long2ObjectHashMap;
import org.agrona.collections.LongHashSet;
import org.jspecify.annotations.Nullable;

/**
 * What this session holds, and what becomes of it: grants, changes, recalls, losses, and the two ways to find out after a break what is
 * still held.
 *
 * <p><b>Losses.</b> A grant's flag is cleared as soon as its loss is read. The lock manager is told (LostAck) only after the caller
 * has reported that the listener returned ({@link #heard}). Events come before answers within a message, so a Lost or Recall may name
 * a lock whose grant is still to come; it is kept until that grant arrives or nothing is in flight that could bring it.
 *
 * <p><b>Attached again</b>, the lock manager lists what it thinks is held; {@link #compare} loses what it does not know and gives back
 * what nobody here knows. <b>After a loss of its memory</b> it lists nothing, and it is we who say what is held: {@link #reassert}.
 */
final class Holdings {

    static final class Held {
        final Grant grant;
        long progress;
        boolean reporting;
        /** Open changes; null: none. */
        @Nullable
        List<Pending> changes;

        Pending.@Nullable Reassertion reassertion;

        Held(Grant grant) {
            this.grant = grant;
        }
    }

    /**
     * {@code grant} is null where nobody here ever held it. {@code forgotten}: lost in another way than by a Lost, and the lock manager
     * may have it again by a re-assertion that came too late; a release then says what a LostAck would, and more.
     */
    private record Loss(@Nullable Grant grant, boolean acknowledged, boolean forgotten) {}

    private final Requests requests;
    private final Lease lease;
    private final Grant.Owner grantOwner;
    private final Consumer<SessionCore.Action> actions;

    private final Long2ObjectHashMap<Held> held = new Long2ObjectHashMap<>();
    /** Locks with a release on its way. */
    private final LongHashSet releasing = new LongHashSet();
    /** Lost locks whose LostAck was not answered yet. */
    private final Map<Long, Loss> losses = new HashMap<>();
    /** Losses whose listener has not returned yet. */
    private int unheardLosses;
    /** Events for grants that are still to come; at most one each for each lock in flight. */
    private final Set<Long> earlyLosses = new HashSet<>();

    private final Map<Long, Recall> earlyRecalls = new HashMap<>();
    /** What Welcome listed and nobody here knew, but a request in flight may have brought. */
    private final Map<Long, Granted> unclaimed = new HashMap<>();
    /** Re-assertions without an answer, of locks still believed in. */
    private int openReassertions;

    Holdings(Requests requests, Lease lease, Grant.Owner grantOwner, Consumer<SessionCore.Action> actions) {
        this.requests = requests;
        this.lease = lease;
        this.grantOwner = grantOwner;
        this.actions = actions;
    }

    int count() {
        return held.size();
    }

    boolean holds(Grant grant) {
        return entry(grant) != null;
    }

    boolean anythingUnheard() {
        return unheardLosses > 0;
    }

    boolean lossesOpen() {
        return !losses.isEmpty();
    }

    private @Nullable Held entry(Grant grant) {
        Held entry = held.get(grant.lockId());
        return entry != null && entry.grant.equals(grant) ? entry : null;
    }

    // What is granted.

    void acquired(Pending.Lock acquire, Answer answer) {
        switch (answer.getKindCase()) {
            case GRANTED -> {
                if (acquire.several) {
                    granted(acquire, List.of(answer.getGranted()));
                } else {
                    granted(acquire, Reply.Granted.of(acquire.id, answer.getGranted()));
                }
            }
            case GRANTED_ALL -> granted(acquire, answer.getGrantedAll().getLocksList());
            case REFUSED, DONE, VALUE, KIND_NOT_SET -> {
                if (!acquire.abandoned) {
                    Outcome.Refused refused = Outcome.Refused.of(answer);
                    if (refused.reason() == RefusalReason.UNKNOWN_OUTCOME) {
                        // It may have been granted. Cancel releases it then.
                        requests.add(new Pending.Cancellation(requests.nextId(), acquire.id));
                    }
                    requests.complete(acquire.id, refused);
                }
            }
        }
        nothingEarlyWithoutRequests();
    }

    /** The one part of the request. */
    void acquired(Pending.Lock acquire, Reply.Granted lock) {
        granted(acquire, lock);
        nothingEarlyWithoutRequests();
    }

    private void granted(Pending.Lock acquire, Reply.Granted lock) {
        long lockId = lock.lockId();
        if (!unclaimed.isEmpty()) {
            unclaimed.remove(lockId);
        }
        if (!earlyLosses.isEmpty() && earlyLosses.remove(lockId)) {
            if (!acquire.abandoned) {
                requests.refuse(acquire.id, RefusalReason.REVOKED, "lock " + lockId + " was taken back on its way");
            }
        } else if (acquire.abandoned) {
            giveBack(lockId);
        } else {
            Grant grant = hold(acquire.request.volume(), lock);
            requests.complete(acquire.id, new Outcome.Acquired(grant));
            recallEarly(lockId);
        }
    }

    private void granted(Pending.Lock acquire, List<Granted> locks) {
        boolean allThere = locks.size() == 1 + acquire.also.size();
        for (Granted lock : locks) {
            unclaimed.remove(lock.getLockId());
            allThere &= !earlyLosses.contains(lock.getLockId());
        }
        if (allThere && !acquire.abandoned) {
            List<Grant> grants = new ArrayList<>();
            for (Granted lock : locks) {
                grants.add(hold(lock.getVolume(), Reply.Granted.of(acquire.id, lock)));
            }
            requests.complete(
                    acquire.id,
                    acquire.several
                            ? new Outcome.AcquiredAll(new GrantSet(grants))
                            : new Outcome.Acquired(grants.getFirst()));
            locks.forEach(lock -> recallEarly(lock.getLockId()));
            return;
        }
        // All or none holds to the end.
        for (Granted lock : locks) {
            if (!earlyLosses.remove(lock.getLockId())) {
                giveBack(lock.getLockId());
            }
        }
        if (!acquire.abandoned) {
            requests.refuse(acquire.id, RefusalReason.REVOKED, "a part was taken back on its way");
        }
    }

    private Grant hold(String volume, Reply.Granted lock) {
        Grant.State state = new Grant.State(lock.range(), lock.mode(), lock.token());
        LockRange requested = lock.requested();
        Grant grant = new Grant(
                lock.lockId(),
                volume,
                lock.volumeUuid(),
                requested == null ? state.range() : requested,
                state,
                lease.belief(),
                grantOwner);
        held.put(lock.lockId(), new Held(grant));
        return grant;
    }

    private static Grant.State stateOf(Granted lock) {
        return new Grant.State(LockRange.of(lock.getRange()), LockMode.of(lock.getMode()), lock.getToken());
    }

    /** An answer to a request that is no longer known. What it grants is nobody's, unless it only repeats what is held. */
    void grantedUnasked(Granted lock) {
        long lockId = lock.getLockId();
        if (!held.containsKey(lockId) && !losses.containsKey(lockId) && !unclaimed.containsKey(lockId)) {
            giveBack(lockId);
        }
    }

    private void nothingEarlyWithoutRequests() {
        if (!requests.mayBringLocks()) {
            earlyLosses.clear();
            earlyRecalls.clear();
        }
    }

    // What is given back.

    void release(Grant grant, long reportId) {
        grant.markGone();
        Held entry = entry(grant);
        if (entry == null) {
            // Lost, released before, or of a session that is over: nothing is left to be given back.
            requests.complete(reportId, new Outcome.Done());
            return;
        }
        letGo(entry, RefusalReason.CANCELLED, "the lock was released");
        releasing.add(grant.lockId());
        requests.add(new Pending.Giving(reportId, grant.lockId(), reportId));
    }

    void released(Pending.Giving release, Answer answer) {
        if (answer.hasRefused() && Outcome.Refused.of(answer).reason() == RefusalReason.UNKNOWN_OUTCOME) {
            requests.retryWithNextRenewal(release);
        } else {
            // Unknown lock: it is gone, which is what was wanted.
            released(release);
        }
    }

    void released(Pending.Giving release) {
        releasing.remove(release.lockId);
        requests.released(release);
    }

    private void giveBack(long lockId) {
        if (releasing.add(lockId)) {
            requests.add(new Pending.Giving(requests.nextId(), lockId, 0));
        }
    }

    /** Nobody here holds it any more. */
    private void letGo(Held entry, RefusalReason reason, String why) {
        held.remove(entry.grant.lockId());
        settle(entry);
        List<Pending> changes = entry.changes;
        entry.changes = null;
        if (changes != null) {
            for (Pending change : changes) {
                boolean told = change instanceof Pending.Conversion c && c.abandoned
                        || change instanceof Pending.Shrinking s && s.ours;
                if (!change.finished && !told) {
                    requests.refuse(change.id, reason, why);
                }
                requests.take(change.id);
            }
        }
    }

    // What is changed.

    /** The grant is held. */
    void change(Grant grant, Pending change) {
        Held entry = entry(grant);
        if (entry != null) {
            if (entry.changes == null) {
                entry.changes = new ArrayList<>(1);
            }
            entry.changes.add(change);
        }
        requests.add(change);
    }

    void converted(Pending.Conversion conversion, Answer answer) {
        changed(conversion, conversion.grant);
        if (answer.hasGranted()) {
            Grant.State now = stateOf(answer.getGranted());
            conversion.grant.confirm(now, conversion.limit);
            if (conversion.abandoned) {
                return;
            }
            if (now.mode().covers(conversion.mode)) {
                requests.complete(conversion.id, new Outcome.Done());
            } else {
                // Sent again behind a later change of the lock, it is answered with the lock as it is.
                requests.refuse(
                        conversion.id,
                        RefusalReason.UNKNOWN_OUTCOME,
                        conversion.grant + " was not converted to " + conversion.mode + ", or has changed again since");
            }
            return;
        }
        Outcome.Refused refused = notDone(answer, conversion.grant, conversion.limit);
        if (!conversion.abandoned) {
            requests.complete(conversion.id, refused);
        }
    }

    void shrunk(Pending.Shrinking shrinking, Answer answer) {
        changed(shrinking, shrinking.grant);
        if (answer.hasGranted()) {
            shrinking.grant.confirm(stateOf(answer.getGranted()), shrinking.limit);
            if (!shrinking.ours) {
                requests.complete(shrinking.id, new Outcome.Done());
            }
            return;
        }
        Outcome.Refused refused = notDone(answer, shrinking.grant, shrinking.limit);
        if (!shrinking.ours) {
            requests.complete(shrinking.id, refused);
        }
    }

    void split(Pending.Splitting splitting, Answer answer) {
        changed(splitting, splitting.grant);
        if (answer.hasGrantedAll() && answer.getGrantedAll().getLocksCount() == 2) {
            Granted upper = answer.getGrantedAll().getLocks(1);
            unclaimed.remove(upper.getLockId());
            splitting.grant.confirm(stateOf(answer.getGrantedAll().getLocks(0)), splitting.limit);
            if (earlyLosses.remove(upper.getLockId())) {
                requests.refuse(
                        splitting.id,
                        RefusalReason.REVOKED,
                        "lock " + upper.getLockId() + " was taken back on its way");
            } else {
                Grant grant = hold(splitting.grant.volume(), Reply.Granted.of(splitting.id, upper));
                requests.complete(splitting.id, new Outcome.Acquired(grant));
                recallEarly(upper.getLockId());
            }
        } else {
            requests.complete(splitting.id, notDone(answer, splitting.grant, splitting.limit));
        }
        nothingEarlyWithoutRequests();
    }

    /** The grant is again what it was before the change, unless nobody knows whether the change was made. */
    private static Outcome.Refused notDone(Answer answer, Grant grant, Grant.Limit limit) {
        Outcome.Refused refused = Outcome.Refused.of(answer);
        if (refused.reason() != RefusalReason.UNKNOWN_OUTCOME) {
            grant.lift(limit);
        }
        return refused;
    }

    private void changed(Pending change, Grant grant) {
        Held entry = entry(grant);
        if (entry != null && entry.changes != null) {
            entry.changes.remove(change);
            if (entry.changes.isEmpty()) {
                entry.changes = null;
            }
        }
    }

    // Recalls.

    void recalled(Recall recall) {
        Held entry = held.get(recall.getLockId());
        if (entry != null) {
            progress(entry.grant, 0);
            actions.accept(new SessionCore.Notice.Recalled(entry.grant, io.terminus.lockmgr.client.Recall.of(recall)));
        } else if (requests.mayBringLocks() && !releasing.contains(recall.getLockId())) {
            earlyRecalls.put(recall.getLockId(), recall);
        }
    }

    private void recallEarly(long lockId) {
        Recall recall = earlyRecalls.isEmpty() ? null : earlyRecalls.remove(lockId);
        if (recall != null) {
            recalled(recall);
        }
    }

    /** At most one report of a grant is on its way; what is reported meanwhile follows as one. */
    void progress(Grant grant, long progress) {
        Held entry = entry(grant);
        if (entry != null) {
            entry.progress = Math.max(entry.progress, progress);
            if (!entry.reporting) {
                report(entry);
            }
        }
    }

    void progressAnswered(Pending.Progress report) {
        Held entry = report.entry;
        entry.reporting = false;
        if (entry.progress > report.progress && holds(entry.grant)) {
            report(entry);
        }
    }

    private void report(Held entry) {
        entry.reporting = true;
        requests.add(new Pending.Progress(requests.nextId(), entry));
    }

    // Losses.

    void lost(Lost lost, long nowNanos) {
        long lockId = lost.getLockId();
        Held entry = held.get(lockId);
        if (entry != null) {
            lose(entry, lost.getWhy(), false);
        } else if (!losses.containsKey(lockId)) {
            if (requests.mayBringLocks() && !releasing.contains(lockId)) {
                earlyLosses.add(lockId);
            }
            // Nobody believes in it: it is being released, or its grant is still to come and will be refused.
            losses.put(lockId, new Loss(null, true, false));
            requests.add(new Pending.LossAck(requests.nextId(), lockId));
            renewBehindAcks(nowNanos);
        }
    }

    private void lose(Held entry, String why, boolean forgotten) {
        Grant grant = entry.grant;
        grant.markGone();
        letGo(entry, RefusalReason.REVOKED, why);
        losses.put(grant.lockId(), new Loss(grant, false, forgotten));
        unheardLosses++;
        actions.accept(new SessionCore.Notice.Lost(grant, why));
    }

    /** The listener has been told of this loss and returned. */
    void heard(Grant grant, long nowNanos) {
        Loss loss = losses.get(grant.lockId());
        if (loss != null && loss.grant != null && loss.grant.equals(grant) && !loss.acknowledged) {
            unheardLosses--;
            if (loss.forgotten) {
                losses.remove(grant.lockId());
                giveBack(grant.lockId());
            } else {
                losses.put(grant.lockId(), new Loss(grant, true, false));
                requests.add(new Pending.LossAck(requests.nextId(), grant.lockId()));
            }
            renewBehindAcks(nowNanos);
        }
    }

    void lossAckAnswered(Pending.LossAck ack) {
        losses.remove(ack.lockId);
    }

    private void renewBehindAcks(long nowNanos) {
        if (unheardLosses == 0) {
            // Renewals that are under way may have come before this ack and then are never answered; one behind it is.
            lease.renewAnew(nowNanos);
        }
    }

    // After a break.

    /** What the lock manager says is held, against what is held here. */
    void compare(List<Granted> listed) {
        Map<Long, Granted> there = new HashMap<>();
        listed.forEach(granted -> there.put(granted.getLockId(), granted));
        for (Held entry : new ArrayList<>(held.values())) {
            Granted lock = there.get(entry.grant.lockId());
            if (lock != null && isOrBecame(entry, stateOf(lock))) {
                confirm(entry, stateOf(lock));
            } else if (entry.reassertion == null) {
                // If it has something else under that id, that is given back.
                lose(entry, "the lock manager no longer has it", lock != null);
            }
        }
        unclaimed.clear();
        for (Granted granted : listed) {
            // A loss whose listener is still busy must not be turned into a release.
            if (!held.containsKey(granted.getLockId())
                    && !releasing.contains(granted.getLockId())
                    && !losses.containsKey(granted.getLockId())) {
                unclaimed.put(granted.getLockId(), granted);
            }
        }
        giveBackUnclaimed();
    }

    /** It is what is believed here, or more; another token only if a conversion was sent that may have brought it. */
    private static boolean isOrBecame(Held entry, Grant.State there) {
        Grant.State here = entry.grant.state();
        boolean converting = entry.changes != null
                && entry.changes.stream().anyMatch(it -> it instanceof Pending.Conversion && it.everSent);
        return (there.token() == here.token() || converting)
                && there.range().contains(here.range())
                && there.mode().covers(here.mode());
    }

    private void confirm(Held entry, Grant.State there) {
        LockRange believed = entry.grant.range();
        entry.grant.confirm(there, null);
        if (entry.changes != null) {
            entry.changes.removeIf(change -> change.finished);
        }
        boolean changing = entry.changes != null && !entry.changes.isEmpty();
        if (!changing && !there.range().equals(believed)) {
            // A shrink or split of unknown outcome was not done. Nobody here uses the rest.
            Grant.Limit limit = entry.grant.limitTo(believed);
            change(entry.grant, new Pending.Shrinking(requests.nextId(), entry.grant, believed, limit, true));
        }
    }

    /** Gives back what nobody here knows and no request in flight can have brought. */
    void giveBackUnclaimed() {
        if (unclaimed.isEmpty()) {
            return;
        }
        Set<Shape> asked = new HashSet<>();
        for (Pending request : requests.oldestFirst()) {
            if (request instanceof Pending.Lock acquire && acquire.everSent && !acquire.abandoned) {
                asked.add(Shape.of(acquire.request));
                acquire.also.forEach(part -> asked.add(Shape.of(part)));
            } else if (request instanceof Pending.Splitting splitting && splitting.everSent) {
                asked.add(Shape.upperPart(splitting));
            }
        }
        for (Granted granted : List.copyOf(unclaimed.values())) {
            if (!asked.contains(Shape.requested(granted)) && !asked.contains(Shape.granted(granted))) {
                unclaimed.remove(granted.getLockId());
                giveBack(granted.getLockId());
            }
        }
    }

    private record Shape(String volume, LockRange range, LockMode mode) {
        static Shape of(AcquireRequest request) {
            return new Shape(request.volume(), request.range(), request.mode());
        }

        static Shape upperPart(Pending.Splitting splitting) {
            Grant.State whole = splitting.grant.confirmed();
            return new Shape(splitting.grant.volume(), new LockRange(splitting.at, splitting.end), whole.mode());
        }

        static Shape requested(Granted granted) {
            return granted.hasRequested()
                    ? new Shape(
                            granted.getVolume(), LockRange.of(granted.getRequested()), LockMode.of(granted.getMode()))
                    : granted(granted);
        }

        static Shape granted(Granted granted) {
            return new Shape(granted.getVolume(), LockRange.of(granted.getRange()), LockMode.of(granted.getMode()));
        }
    }

    // After a loss of the lock manager's memory.

    /** Says again what is held and believed in. Until {@link #reasserting()} ends, no renewal counts for it. */
    void reassert() {
        unclaimed.clear();
        for (Held entry : new ArrayList<>(held.values())) {
            if (entry.reassertion == null) {
                entry.reassertion = new Pending.Reassertion(requests.nextId(), entry.grant);
                openReassertions++;
                requests.add(entry.reassertion);
            }
        }
    }

    boolean reasserting() {
        return openReassertions > 0;
    }

    void reasserted(Pending.Reassertion reassertion, Answer answer) {
        Held entry = entry(reassertion.grant);
        if (entry == null || reassertion.abandoned || !reassertion.equals(entry.reassertion)) {
            // Released or lost meanwhile; a release is behind it, or follows when the loss was heard.
            return;
        }
        settle(entry);
        if (answer.hasGranted() && answer.getGranted().getLockId() == reassertion.grant.lockId()) {
            entry.grant.confirm(stateOf(answer.getGranted()), null);
        } else {
            lose(
                    entry,
                    "it could not be re-asserted: " + Outcome.Refused.of(answer).message(),
                    true);
        }
    }

    /** Belief ended before the lock manager had answered for these. */
    void loseWhatIsNotReasserted(String why) {
        for (Held entry : new ArrayList<>(held.values())) {
            if (entry.reassertion != null) {
                lose(entry, why, true);
            }
        }
    }

    void loseAll(String why) {
        for (Held entry : new ArrayList<>(held.values())) {
            lose(entry, why, true);
        }
    }

    private void settle(Held entry) {
        Pending.Reassertion reassertion = entry.reassertion;
        if (reassertion != null) {
            entry.reassertion = null;
            reassertion.abandoned = true;
            openReassertions--;
        }
    }

    // The end of the session.

    /** Nothing is held any more, and nothing of it is remembered. */
    List<Grant> end() {
        List<Grant> grants = new ArrayList<>();
        for (Held entry : held.values()) {
            entry.grant.markGone();
            grants.add(entry.grant);
        }
        held.clear();
        releasing.clear();
        losses.clear();
        unheardLosses = 0;
        earlyLosses.clear();
        earlyRecalls.clear();
        unclaimed.clear();
        openReassertions = 0;
        return grants;
    }
}
