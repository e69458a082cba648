package io.terminus.lockmgr.store;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.lock.Change.LockGone;
import io.terminus.lockmgr.lock.Change.LockPut;
import io.terminus.lockmgr.lock.Change.SessionClosed;
import io.terminus.lockmgr.lock.Change.SessionOpened;
import io.terminus.lockmgr.lock.Change.ValuePut;
import io.terminus.lockmgr.lock.Change.VolumeGone;
import io.terminus.lockmgr.lock.Change.VolumePut;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What the items of the log add up to, but for locks: everything that must outlive a power loss. Some hundred bytes of heap
 * for a session, and the value block of each volume. One thread at a time.
 */
final class Remembered {

    private final Map<String, SessionOpened> sessions = new LinkedHashMap<>();
    private final Map<String, VolumePut> volumes = new LinkedHashMap<>();
    private final Map<String, ValuePut> values = new LinkedHashMap<>();
    private LogItem.@Nullable Opening opening;

    void take(LogItem item) {
        switch (item) {
            case LogItem.Opening o -> {
                if (o.forgets()) {
                    sessions.clear();
                }
                opening = o;
            }
            case LogItem.RecoveryOver r -> {
                LogItem.Opening o = opening();
                opening = new LogItem.Opening(o.epoch(), o.bootId(), o.maxTtlNanos(), o.forgets(), false);
            }
            case LogItem.Through t -> {}
            case LogItem.Renewed r -> {} // a restart gives every session one full ttl
            case LogItem.Changed c -> take(c.change());
        }
    }

    private void take(Change change) {
        switch (change) {
            case SessionOpened s -> sessions.put(s.sessionId(), s);
            case SessionClosed s -> sessions.remove(s.sessionId());
            case VolumePut v -> volumes.put(v.volume(), v);
            case VolumeGone v -> volumes.remove(v.volume());
            case ValuePut v -> values.put(v.volume(), v);
            case LockPut l -> {} // locks are in the map
            case LockGone l -> {}
        }
    }

    boolean hasOpening() {
        return opening != null;
    }

    /** The last start. */
    LogItem.Opening opening() {
        if (opening == null) {
            throw new IllegalStateException("the log names no epoch");
        }
        return opening;
    }

    /** In an order in which each finds what it refers to. */
    Stream<Change> changes() {
        return Stream.of(sessions.values(), volumes.values(), values.values()).flatMap(Remembered::stream);
    }

    private static Stream<Change> stream(java.util.Collection<? extends Change> changes) {
        return changes.stream().map(Change.class::cast);
    }

    /** Everything, as items from which {@link #take} makes the same again. */
    void writeTo(DecisionLog log) throws IOException {
        for (Iterable<? extends Change> changes : List.of(sessions.values(), volumes.values(), values.values())) {
            for (Change change : changes) {
                log.append(new LogItem.Changed(change));
            }
        }
    }

    /** An opening that goes on with the last one, for the head of a file. */
    LogItem.Opening head() {
        LogItem.Opening o = opening();
        return new LogItem.Opening(o.epoch(), o.bootId(), o.maxTtlNanos(), false, o.recovering());
    }
}
