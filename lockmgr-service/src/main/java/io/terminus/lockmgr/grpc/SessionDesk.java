package io.terminus.lockmgr.grpc;

import io.grpc.Status;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Reason;
import io.terminus.proto.lock.v1.Refused;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Knows who is to hear a notice: the unary call that waits for this answer, else the stream of the session, else nobody.
 * What nobody hears is not lost: a client that attaches again learns what it holds, and sends its open requests again.
 *
 * <p>Owner thread of the table only.
 */
public final class SessionDesk {

    /** Whose operations count: the stream that attached last, from the step in which it did. */
    private final Map<String, SessionStream> claims = new HashMap<>();

    /** Who hears: the same, from the moment when its welcome is said. */
    private final Map<String, SessionStream> streams = new HashMap<>();

    private final Map<String, Map<Long, Caller>> callers = new HashMap<>();

    /** Streams that have something to send at the end of the turn, by session. */
    private final Map<String, SessionStream> touched = new LinkedHashMap<>();

    /** The stream found last in this turn, because what one message asked for is answered in a row. */
    private @Nullable SessionStream spokeLast;

    private String spokeLastTo = "";

    /** A unary call that waits for one answer. */
    interface Caller {
        void answered(Answer answer);

        /** No answer will come. */
        void failed(Reason reason, String message);
    }

    /** Waits for an answer so that nobody else gets it. */
    static final Caller NOBODY = new Caller() {
        @Override
        public void answered(Answer answer) {}

        @Override
        public void failed(Reason reason, String message) {}
    };

    /** Takes one notice; streams get it at {@link #endOfTurn}. */
    public void deliver(Notice notice, LockTable table, long nowNanos) {
        switch (notice) {
            case Notice.Answer answer -> {
                Caller caller = forget(answer.sessionId(), answer.requestId());
                if (caller != null) {
                    caller.answered(Wire.answer(answer, table));
                    return;
                }
                SessionStream stream = stream(answer.sessionId());
                if (stream != null) {
                    stream.add(answer, table);
                }
            }
            case Notice.Recall recall -> {
                SessionStream stream = stream(recall.sessionId());
                if (stream != null) {
                    stream.add(Wire.event(recall, nowNanos));
                }
            }
            case Notice.Lost lost -> {
                SessionStream stream = stream(lost.sessionId());
                if (stream != null) {
                    stream.add(Wire.event(lost));
                }
            }
            case Notice.RenewalAnswered renewal -> {
                SessionStream stream = stream(renewal.sessionId());
                if (stream != null) {
                    stream.addRenewal(renewal.sequence());
                }
            }
            case Notice.SessionEnded ended -> end(ended.sessionId(), ended.why());
        }
    }

    public void endOfTurn() {
        touched.forEach((sessionId, stream) -> {
            stream.send();
            if (stream.over()) {
                detach(sessionId, stream); // cut off, or gone meanwhile
            }
        });
        touched.clear();
        spokeLastTo = "";
        spokeLast = null;
    }

    /** The store failed: whether what this answers was done is not known. */
    public void unknownOutcome(Notice.Answer answer) {
        answer(
                answer.sessionId(),
                Answer.newBuilder()
                        .setRequestId(answer.requestId())
                        .setRefused(Refused.newBuilder()
                                .setReason(Reason.UNKNOWN_OUTCOME)
                                .setMessage("the store failed; whether this was done is not known"))
                        .build());
    }

    /** Ends every stream and call. Sessions live on in the table. */
    public void close(Reason reason, String why) {
        for (SessionStream stream : streams.values()) {
            stream.end(Status.UNAVAILABLE.withDescription(why).asRuntimeException());
        }
        spokeLast = null;
        streams.clear();
        claims.clear();
        touched.clear();
        for (Map<Long, Caller> ofSession : callers.values()) {
            ofSession.values().forEach(caller -> caller.failed(reason, why));
        }
        callers.clear();
    }

    public boolean attached(String sessionId) {
        return streams.containsKey(sessionId);
    }

    /**
     * From this step on only this stream may speak for the session. A renewal that comes late out of an older stream would
     * be answered on the newer one, where its sequence means another, later renewal.
     */
    void claim(String sessionId, SessionStream stream) {
        claims.put(sessionId, stream);
    }

    boolean speaksFor(String sessionId, SessionStream stream) {
        return claims.get(sessionId) == stream;
    }

    /**
     * From now on the stream hears what the session is told; another one before it is ended.
     *
     * @param welcome an encoded ServerMessage
     */
    void attach(String sessionId, SessionStream stream, byte[] welcome) {
        spokeLast = null;
        SessionStream before = streams.put(sessionId, stream);
        if (before != null) {
            touched.remove(sessionId);
            before.end(Status.ABORTED
                    .withDescription("another stream attached to session " + sessionId)
                    .asRuntimeException());
        }
        if (stream.over()) {
            streams.remove(sessionId);
            return;
        }
        stream.welcome(welcome);
        touched.put(sessionId, stream);
    }

    void detach(String sessionId, SessionStream stream) {
        spokeLast = null;
        streams.remove(sessionId, stream);
        claims.remove(sessionId, stream);
    }

    /** An answer that is not from the table, in its place among those that are. */
    void answer(String sessionId, Answer answer) {
        Caller caller = forget(sessionId, answer.getRequestId());
        if (caller != null) {
            caller.answered(answer);
            return;
        }
        SessionStream stream = stream(sessionId);
        if (stream != null) {
            stream.add(answer);
        }
    }

    /** The next answer to this request goes to the caller. A caller that waits for it already is sent away. */
    void expect(String sessionId, long requestId, Caller caller) {
        Caller before = callers.computeIfAbsent(sessionId, s -> new HashMap<>()).put(requestId, caller);
        if (before != null) {
            before.failed(Reason.CANCELLED, "request " + requestId + " was sent again by another call");
        }
    }

    /** Returns the caller that waited; null if it has its answer. */
    private @Nullable Caller forget(String sessionId, long requestId) {
        Map<Long, Caller> ofSession = callers.isEmpty() ? null : callers.get(sessionId);
        if (ofSession == null) {
            return null;
        }
        Caller caller = ofSession.remove(requestId);
        if (ofSession.isEmpty()) {
            callers.remove(sessionId);
        }
        return caller;
    }

    @Nullable
    Caller expected(String sessionId, long requestId) {
        Map<Long, Caller> ofSession = callers.get(sessionId);
        return ofSession == null ? null : ofSession.get(requestId);
    }

    private @Nullable SessionStream stream(String sessionId) {
        SessionStream last = spokeLast;
        if (last != null && spokeLastTo.equals(sessionId) && !last.over()) {
            return last;
        }
        SessionStream stream = streams.get(sessionId);
        if (stream == null) {
            return null;
        }
        if (stream.over()) {
            streams.remove(sessionId);
            return null;
        }
        touched.put(sessionId, stream);
        spokeLast = stream;
        spokeLastTo = sessionId;
        return stream;
    }

    private void end(String sessionId, String why) {
        String sentence = "session " + sessionId + " is over: " + why;
        claims.remove(sessionId);
        spokeLast = null;
        SessionStream stream = streams.remove(sessionId);
        if (stream != null) {
            touched.remove(sessionId);
            stream.end(Refusals.status(Reason.UNKNOWN_SESSION, sentence));
        }
        Map<Long, Caller> waiting = callers.remove(sessionId);
        if (waiting != null) {
            List<Caller> all = new ArrayList<>(waiting.values());
            all.forEach(caller -> caller.failed(Reason.UNKNOWN_SESSION, sentence));
        }
    }
}
