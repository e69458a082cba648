package io.terminus.lockmgr.grpc;

import com.google.protobuf.UnsafeByteOperations;
import io.terminus.lockmgr.lock.ClaimView;
import io.terminus.lockmgr.lock.LockEvent;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Reason;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Done;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.Granted;
import io.terminus.proto.lock.v1.GrantedAll;
import io.terminus.proto.lock.v1.LockInfo;
import io.terminus.proto.lock.v1.Lost;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Recall;
import io.terminus.proto.lock.v1.Refused;
import io.terminus.proto.lock.v1.ValueBlock;
import io.terminus.proto.lock.v1.WatchMessage;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The words of the table as messages, and back. */
final class Wire {

    private Wire() {}

    static Answer answer(Notice.Answer answer, LockTable table) {
        Answer.Builder to = Answer.newBuilder().setRequestId(answer.requestId());
        switch (answer) {
            case Notice.Granted granted -> to.setGranted(granted(granted));
            case Notice.GrantedAll all -> {
                GrantedAll.Builder locks = GrantedAll.newBuilder();
                all.locks().forEach(lock -> locks.addLocks(granted(lock)));
                to.setGrantedAll(locks);
            }
            case Notice.Done done -> to.setDone(Done.getDefaultInstance());
            case Notice.ValueStored stored ->
                to.setValue(ValueBlock.newBuilder()
                        .setVolume(stored.volume())
                        .setVolumeUuid(stored.volumeUuid())
                        .setVersion(stored.version())
                        .setValue(UnsafeByteOperations.unsafeWrap(stored.value())));
            case Notice.Refused refused -> {
                Refused.Builder why = Refused.newBuilder()
                        .setReason(Refusals.toProto(refused.reason()))
                        .setMessage(refused.message());
                if (refused.reason() == Reason.VERSION_MISMATCH) {
                    why.setCurrent(value(table, refused.volume()));
                }
                to.setRefused(why);
            }
        }
        return to.build();
    }

    static Granted granted(Notice.Granted granted) {
        Granted.Builder to = Granted.newBuilder()
                .setLockId(granted.lockId())
                .setVolume(granted.volume())
                .setVolumeUuid(granted.volumeUuid())
                .setRange(range(granted.start(), granted.end()))
                .setMode(mode(granted.mode()))
                .setToken(granted.token());
        if (granted.requestedStart() != granted.start() || granted.requestedEnd() != granted.end()) {
            to.setRequested(range(granted.requestedStart(), granted.requestedEnd()));
        }
        return to.build();
    }

    static LockInfo info(ClaimView claim) {
        LockInfo.Builder to = LockInfo.newBuilder()
                .setId(claim.id())
                .setVolume(claim.volume())
                .setRange(range(claim.start(), claim.end()))
                .setMode(mode(claim.mode()))
                .setSessionId(claim.sessionId())
                .setOwner(claim.owner())
                .setRequestId(claim.requestId());
        switch (claim) {
            case ClaimView.LockView lock -> {
                to.setToken(lock.token())
                        .setRevoked(lock.revoked())
                        .setRecalled(lock.recalled())
                        .setDelayed(lock.delayed());
                if (lock.requestedStart() != lock.start() || lock.requestedEnd() != lock.end()) {
                    to.setRequested(range(lock.requestedStart(), lock.requestedEnd()));
                }
            }
            case ClaimView.WaiterView waiter ->
                to.setStandby(waiter.standby())
                        .setConvertsLockId(waiter.convertsLockId())
                        .addAllBlockedBy(waiter.blockedBy());
        }
        return to.build();
    }

    static WatchMessage watched(LockEvent event, long unixMillis) {
        return WatchMessage.newBuilder()
                .setEvent(io.terminus.proto.lock.v1.LockEvent.newBuilder()
                        .setKind(kind(event.kind()))
                        .setLock(info(event.claim()))
                        .setWhy(event.why())
                        .setValueVersion(event.valueVersion())
                        .setTimeUnixMillis(unixMillis))
                .build();
    }

    static io.terminus.proto.lock.v1.LockEvent.Kind kind(LockEvent.Kind kind) {
        return switch (kind) {
            case GRANTED -> io.terminus.proto.lock.v1.LockEvent.Kind.GRANTED;
            case CHANGED -> io.terminus.proto.lock.v1.LockEvent.Kind.CHANGED;
            case RELEASED -> io.terminus.proto.lock.v1.LockEvent.Kind.RELEASED;
            case EXPIRED -> io.terminus.proto.lock.v1.LockEvent.Kind.EXPIRED;
            case REVOKED -> io.terminus.proto.lock.v1.LockEvent.Kind.REVOKED;
            case WAITING -> io.terminus.proto.lock.v1.LockEvent.Kind.WAITING;
            case GAVE_UP -> io.terminus.proto.lock.v1.LockEvent.Kind.GAVE_UP;
            case RECALLED -> io.terminus.proto.lock.v1.LockEvent.Kind.RECALLED;
            case VALUE_PUT -> io.terminus.proto.lock.v1.LockEvent.Kind.VALUE_PUT;
        };
    }

    static Event event(Notice.Recall recall, long nowNanos) {
        // The client has another clock: it is told how long, not until when.
        long leftNanos = Math.max(0, recall.deadlineNanos() - nowNanos);
        Recall.Builder to = Recall.newBuilder()
                .setLockId(recall.lockId())
                .setNeeded(range(recall.neededStart(), recall.neededEnd()))
                .setWanted(mode(recall.wanted()))
                .setDeadlineMillis(TimeUnit.NANOSECONDS.toMillis(leftNanos));
        if (recall.keepEnd() > 0) {
            to.setKeep(range(recall.keepStart(), recall.keepEnd()));
        }
        return Event.newBuilder().setRecall(to).build();
    }

    static Event event(Notice.Lost lost) {
        return Event.newBuilder()
                .setLost(Lost.newBuilder()
                        .setLockId(lost.lockId())
                        .setVolume(lost.volume())
                        .setRange(range(lost.start(), lost.end()))
                        .setWhy(lost.why()))
                .build();
    }

    /** Version 0 for a volume that is not known: nothing was ever written there. */
    static ValueBlock value(LockTable table, String volume) {
        return table.value(volume)
                .map(value -> ValueBlock.newBuilder()
                        .setVolume(value.volume())
                        .setVolumeUuid(value.volumeUuid())
                        .setVersion(value.version())
                        .setValue(UnsafeByteOperations.unsafeWrap(value.value()))
                        .build())
                .orElseGet(() -> ValueBlock.newBuilder().setVolume(volume).build());
    }

    static Answer refusal(long requestId, Reason reason, String message) {
        return Answer.newBuilder()
                .setRequestId(requestId)
                .setRefused(
                        Refused.newBuilder().setReason(Refusals.toProto(reason)).setMessage(message))
                .build();
    }

    static Range range(long start, long end) {
        return Range.newBuilder().setStart(start).setEnd(end).build();
    }

    static io.terminus.proto.lock.v1.Mode mode(Mode mode) {
        return switch (mode) {
            case NL -> io.terminus.proto.lock.v1.Mode.MODE_NL;
            case CR -> io.terminus.proto.lock.v1.Mode.MODE_CR;
            case CW -> io.terminus.proto.lock.v1.Mode.MODE_CW;
            case PR -> io.terminus.proto.lock.v1.Mode.MODE_PR;
            case PW -> io.terminus.proto.lock.v1.Mode.MODE_PW;
            case EX -> io.terminus.proto.lock.v1.Mode.MODE_EX;
        };
    }

    /** Null for what is not a mode. */
    static @Nullable Mode mode(io.terminus.proto.lock.v1.@Nullable Mode mode) {
        return switch (mode) {
            case null -> null;
            case MODE_NL -> Mode.NL;
            case MODE_CR -> Mode.CR;
            case MODE_CW -> Mode.CW;
            case MODE_PR -> Mode.PR;
            case MODE_PW -> Mode.PW;
            case MODE_EX -> Mode.EX;
            case MODE_UNSPECIFIED, UNRECOGNIZED -> null;
        };
    }

    static String notAMode(int value) {
        return "mode " + value + " is not one of 1 (NL) to 6 (EX)";
    }

    /** Durations too long for nanoseconds become the longest there is, which the table's own limits then judge. */
    static long nanos(long millis) {
        return millis == -1 ? -1 : TimeUnit.MILLISECONDS.toNanos(millis);
    }
}
