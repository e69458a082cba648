package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.RenewalAnswer;
import io.terminus.proto.lock.v1.ServerMessage;
import java.util.ArrayDeque;

/**
 * The way to one client. What a turn has for it travels in as few messages as its order allows: a client takes the events of
 * a message before the answers and those before the renewal, so what comes out of that order begins a new message.
 *
 * <p>gRPC itself buffers without a bound, so messages wait here until it is ready, at most {@code limit} items of them. A
 * client that does not read that many is cut off; its session stays, and it may come back.
 *
 * <p>The adding verbs and {@link #send} belong to the owner of the turn; gRPC's threads call {@link #drain}.
 */
final class SessionStream {

    /** Ranks of what a message holds, in the order in which the client takes it. */
    private static final int EVENTS = 1;

    private static final int ANSWERS = 2;
    private static final int RENEWAL = 3;

    /** So large a message is sent although more would fit its order: far below the 4 MiB that gRPC clients take. */
    static final int MESSAGE_BYTES = 1 << 20;

    private final ServerCallStreamObserver<byte[]> out;
    private final int limit;

    private final ServerMessageWriter building = new ServerMessageWriter();
    private int buildingRank;
    private int buildingItems;

    private final ArrayDeque<Queued> queue = new ArrayDeque<>(); // guarded by this
    private int queuedItems; // guarded by this
    private volatile boolean over; // written under this

    private record Queued(byte[] message, int items) {}

    SessionStream(ServerCallStreamObserver<byte[]> out, int limit) {
        this.out = out;
        this.limit = limit;
    }

    /** @param welcome an encoded ServerMessage */
    void welcome(byte[] welcome) {
        cut();
        enqueue(new Queued(welcome, 1));
    }

    void add(Event event) {
        order(EVENTS);
        building.field(ServerMessage.EVENTS_FIELD_NUMBER, event);
        added(EVENTS);
    }

    void add(Answer answer) {
        order(ANSWERS);
        building.field(ServerMessage.ANSWERS_FIELD_NUMBER, answer);
        added(ANSWERS);
    }

    void add(Notice.Answer answer, LockTable table) {
        order(ANSWERS);
        switch (answer) {
            case Notice.Granted granted -> building.granted(granted);
            case Notice.Done done -> building.done(done.requestId());
            case Notice.GrantedAll a -> building.field(ServerMessage.ANSWERS_FIELD_NUMBER, Wire.answer(a, table));
            case Notice.ValueStored a -> building.field(ServerMessage.ANSWERS_FIELD_NUMBER, Wire.answer(a, table));
            case Notice.Refused a -> building.field(ServerMessage.ANSWERS_FIELD_NUMBER, Wire.answer(a, table));
        }
        added(ANSWERS);
    }

    void addRenewal(long sequence) {
        if (buildingRank == RENEWAL) {
            cut();
        }
        building.field(
                ServerMessage.RENEWAL_FIELD_NUMBER,
                RenewalAnswer.newBuilder().setSequence(sequence).build());
        added(RENEWAL);
    }

    /** Ends a turn. */
    void send() {
        cut();
        drain();
    }

    /** Hands gRPC what it is ready to take. */
    synchronized void drain() {
        while (!over && out.isReady() && !queue.isEmpty()) {
            next();
        }
    }

    /** Says all that waits, then ends the stream. */
    void end(StatusRuntimeException status) {
        cut();
        synchronized (this) {
            while (!over && !queue.isEmpty()) {
                next();
            }
            stop(status);
        }
    }

    /** Ends the stream without what still waits. Any thread. */
    synchronized void abort(StatusRuntimeException status) {
        stop(status);
    }

    /** The client has gone, or has said all it had to say. */
    synchronized void gone(boolean complete) {
        if (!over && complete) {
            out.onCompleted();
        }
        over = true;
        queue.clear();
    }

    boolean over() {
        return over;
    }

    /** So many more messages may come in. */
    void readOn(int messages) {
        if (!over()) {
            out.request(messages);
        }
    }

    private void order(int rank) {
        if (buildingRank > rank) {
            cut();
        }
    }

    private void added(int rank) {
        buildingRank = Math.max(buildingRank, rank);
        buildingItems++;
        if (building.length() > MESSAGE_BYTES) {
            cut();
        }
    }

    private void cut() {
        if (buildingItems > 0) {
            Queued message = new Queued(building.take(), buildingItems);
            buildingRank = 0;
            buildingItems = 0;
            enqueue(message);
        }
    }

    private synchronized void enqueue(Queued message) {
        if (over) {
            return;
        }
        queue.add(message);
        queuedItems += message.items();
        // One message always fits, however large the turn was.
        if (queuedItems > limit && queue.size() > 1) {
            drain();
        }
        if (queuedItems > limit && queue.size() > 1) {
            stop(Status.RESOURCE_EXHAUSTED
                    .withDescription("the client left more than " + limit
                            + " answers and events unread; the session lives on, attach to it again")
                    .asRuntimeException());
        }
    }

    private void next() {
        Queued message = queue.remove();
        queuedItems -= message.items();
        out.onNext(message.message());
    }

    private void stop(StatusRuntimeException status) {
        if (!over) {
            over = true;
            queue.clear();
            out.onError(status);
        }
    }
}
