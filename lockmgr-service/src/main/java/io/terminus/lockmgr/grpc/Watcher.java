package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.terminus.lockmgr.lock.ClaimView;
import io.terminus.lockmgr.lock.ClaimView.LockView;
import io.terminus.lockmgr.lock.ClaimView.WaiterView;
import io.terminus.lockmgr.lock.LockEvent;
import io.terminus.lockmgr.lock.LockQuery;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.proto.lock.v1.Snapshot;
import io.terminus.proto.lock.v1.WatchMessage;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/**
 * One watcher of one volume: first a snapshot in pieces of at most {@value #PIECE} locks, then events.
 *
 * <p>The table goes on between the pieces, so the snapshot has to be made exact while it is taken. Locks are read in the
 * order of (start, id), then waiters in theirs. What happens behind the place that was reached is kept, and told after the
 * last piece; what happens ahead of it is not told, because a later piece shows its outcome. A claim that moved on from
 * behind to ahead (it was shrunk) is known by its id, and is neither shown twice nor forgotten. So pieces and events
 * together are what a snapshot at the moment of the last piece would have been. A volume with no more than one piece of
 * locks and one of waiters is read in one step.
 *
 * <p>Messages wait here while the client does not read; a client that leaves more than the backlog is cut off.
 */
final class Watcher {

    static final int PIECE = 1000;

    private final String volume;
    private final int backlog;
    private final ServerCallStreamObserver<WatchMessage> out;
    private final Consumer<Watcher> pieceWanted;

    private enum Reading {
        LOCKS,
        WAITERS,
        NOTHING
    }

    // Owner thread
    private Reading reading = Reading.LOCKS;
    private String pageToken = "";
    private long reachedStart = -1;
    private long reachedId;
    private Set<Long> shown = new HashSet<>();
    private final List<WatchMessage> told = new ArrayList<>();
    private final ArrayDeque<WatchMessage> held = new ArrayDeque<>();

    private final ArrayDeque<WatchMessage> queue = new ArrayDeque<>(); // guarded by this
    private boolean morePieces = true; // guarded by this
    private boolean askedForPiece = true; // guarded by this
    private volatile boolean over; // written under this

    /** @param pieceWanted is to have {@link #nextPiece} called, and must not wait for it */
    Watcher(String volume, int backlog, ServerCallStreamObserver<WatchMessage> out, Consumer<Watcher> pieceWanted) {
        this.volume = volume;
        this.backlog = backlog;
        this.out = out;
        this.pieceWanted = pieceWanted;
    }

    String volume() {
        return volume;
    }

    boolean over() {
        return over;
    }

    /** Must this watcher be told, or does its snapshot have it or get it? */
    boolean concerns(LockEvent event) {
        if (reading == Reading.NOTHING || event.kind() == LockEvent.Kind.VALUE_PUT) {
            return true;
        }
        ClaimView claim = event.claim();
        boolean ofWhatIsRead = switch (claim) {
            case LockView lock -> reading == Reading.LOCKS;
            case WaiterView waiter -> reading == Reading.WAITERS;
        };
        if (!ofWhatIsRead) {
            return reading == Reading.WAITERS; // locks are read already, waiters are still to come
        }
        if (shown.contains(claim.id())) {
            return true;
        }
        boolean behind = isBehind(claim);
        if (behind) {
            shown.add(claim.id());
        }
        return behind;
    }

    private boolean isBehind(ClaimView claim) {
        return claim.start() < reachedStart || claim.start() == reachedStart && claim.id() <= reachedId;
    }

    void add(WatchMessage message) {
        if (reading == Reading.NOTHING) {
            told.add(message);
        } else if (held.size() < backlog) {
            held.add(message);
        } else {
            cutOff();
        }
    }

    void nextPiece(LockTable table) {
        Snapshot.Builder piece = Snapshot.newBuilder();
        if (reading == Reading.LOCKS) {
            LockQuery.Page<LockView> page = table.locks(query());
            for (LockView lock : page.items()) {
                if (shows(lock)) {
                    piece.addHeld(Wire.info(lock));
                }
            }
            reached(page, Reading.WAITERS);
        }
        if (reading == Reading.WAITERS && piece.getHeldCount() < PIECE) {
            LockQuery.Page<WaiterView> page = table.waiters(query());
            for (WaiterView waiter : page.items()) {
                if (shows(waiter)) {
                    piece.addWaiting(Wire.info(waiter));
                }
            }
            reached(page, Reading.NOTHING);
        }
        boolean complete = reading == Reading.NOTHING;
        told.add(WatchMessage.newBuilder()
                .setSnapshot(piece.setComplete(complete))
                .build());
        if (complete) {
            told.addAll(held);
            held.clear();
            shown = Set.of();
        }
        synchronized (this) {
            morePieces = !complete;
            askedForPiece = false;
        }
    }

    private LockQuery query() {
        return new LockQuery(volume, 0, 0, null, "", pageToken, PIECE);
    }

    private boolean shows(ClaimView claim) {
        return shown.add(claim.id());
    }

    private void reached(LockQuery.Page<? extends ClaimView> page, Reading next) {
        pageToken = page.next();
        if (pageToken.isEmpty()) {
            reading = next;
            shown.clear();
            reachedStart = -1;
        } else if (!page.items().isEmpty()) {
            ClaimView last = page.items().getLast();
            reachedStart = last.start();
            reachedId = last.id();
        }
    }

    /** What was added may leave. */
    synchronized void release() {
        if (!over) {
            queue.addAll(told);
            send();
            if (queue.size() > backlog) {
                cutOff();
            }
        }
        told.clear();
    }

    /** Hands gRPC what it is ready to take. Any thread. */
    synchronized void send() {
        while (!over && out.isReady() && !queue.isEmpty()) {
            out.onNext(queue.remove());
        }
    }

    /** Asks for the next piece if the client can take it now, once for each piece. Any thread. */
    synchronized void askForPiece() {
        if (!over && morePieces && !askedForPiece && queue.isEmpty() && out.isReady()) {
            askedForPiece = true;
            pieceWanted.accept(this);
        }
    }

    private void cutOff() {
        end(Status.RESOURCE_EXHAUSTED
                .withDescription("the watcher left more than " + backlog + " events unread; watch anew")
                .asRuntimeException());
    }

    synchronized void end(StatusRuntimeException status) {
        if (!over) {
            over = true;
            queue.clear();
            out.onError(status);
        }
    }

    /** The client has gone. */
    synchronized void gone() {
        over = true;
        queue.clear();
    }
}
