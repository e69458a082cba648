package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.terminus.lockmgr.grpc.LockLoop.Turn;
import io.terminus.lockmgr.lock.LockEvent;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.WatchMessage;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Tells the watchers of a volume what happens to its locks. An event is built as a message once, however many watch.
 *
 * <p>Events are handed over in the step that caused them, because only then it is known whether a watcher's snapshot has
 * them already; they leave at the end of the turn, when what they tell of is as durable as it must be.
 *
 * <p>Owner thread of the table only.
 */
public final class WatchDesk {

    private final int maxWatchers;
    private final Map<String, Set<Watcher>> watchers = new HashMap<>();
    private final Set<Watcher> touched = new LinkedHashSet<>();
    private final AtomicInteger count = new AtomicInteger();

    /** @param maxWatchers of all volumes together */
    public WatchDesk(int maxWatchers) {
        this.maxWatchers = maxWatchers;
    }

    /** Watchers there are now. Any thread. */
    public int count() {
        return count.get();
    }

    /** The events of one decision, in their order. {@code unixMillis} is for people. */
    public void happened(List<LockEvent> events, long unixMillis) {
        for (LockEvent event : events) {
            Set<Watcher> here = watchers.get(event.claim().volume());
            if (here == null) {
                continue;
            }
            @Nullable WatchMessage message = null;
            for (Watcher watcher : here) {
                if (!watcher.concerns(event)) {
                    continue;
                }
                if (message == null) {
                    message = Wire.watched(event, unixMillis);
                }
                watcher.add(message);
                touched.add(watcher);
            }
        }
    }

    /** Is there something to be told at the end of the turn? */
    public boolean tells() {
        return !touched.isEmpty();
    }

    /** What was handed over may be told now. */
    public void endOfTurn(LockTable table) {
        if (touched.isEmpty()) {
            return;
        }
        List<Watcher> gone = new ArrayList<>();
        for (Watcher watcher : touched) {
            watcher.release();
            if (watcher.over()) {
                gone.add(watcher);
            } else {
                watcher.askForPiece();
            }
        }
        touched.clear();
        gone.forEach(watcher -> remove(table, watcher));
    }

    /** Ends every watch, without what was not released yet. */
    public void close(String why) {
        for (Set<Watcher> here : watchers.values()) {
            for (Watcher watcher : here) {
                watcher.end(Status.UNAVAILABLE.withDescription(why).asRuntimeException());
            }
        }
        watchers.clear();
        touched.clear();
        count.set(0);
    }

    /** The first piece of the snapshot; the watcher asks for the others when it can take them. */
    void open(Turn turn, Watcher watcher) {
        String elsewhere = turn.table().share().refusal(watcher.volume());
        if (elsewhere != null) {
            watcher.end(Refusals.status(Reason.INVALID_ARGUMENT, elsewhere));
            return;
        }
        if (count.get() >= maxWatchers) {
            watcher.end(Refusals.status(Reason.LIMIT_EXCEEDED, "there are " + count + " watchers, the most allowed"));
            return;
        }
        Set<Watcher> here = watchers.computeIfAbsent(watcher.volume(), v -> new LinkedHashSet<>());
        if (here.isEmpty()) {
            turn.table().watch(watcher.volume(), true);
        }
        here.add(watcher);
        count.incrementAndGet();
        next(turn, watcher);
    }

    void next(Turn turn, Watcher watcher) {
        if (!watcher.over()) {
            watcher.nextPiece(turn.table());
            touched.add(watcher);
        }
    }

    void leave(Turn turn, Watcher watcher) {
        touched.remove(watcher);
        remove(turn.table(), watcher);
    }

    private void remove(LockTable table, Watcher watcher) {
        Set<Watcher> here = watchers.get(watcher.volume());
        if (here != null && here.remove(watcher)) {
            count.decrementAndGet();
            if (here.isEmpty()) {
                watchers.remove(watcher.volume());
                table.watch(watcher.volume(), false);
            }
        }
    }
}
