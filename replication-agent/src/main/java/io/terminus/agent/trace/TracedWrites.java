package io.terminus.agent.trace;

import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.terminus.tracing.TraceKeys;
import io.terminus.tracing.Tracing;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Traces of one writer's term. The share of its writes that is traced is remembered from the capture on: where a peer acknowledges one, or
 * its client is answered, a span is made.
 *
 * <pre>
 *   write        from the coming of its batch to its answer; linked to the grant of the lock under whose token it was written
 *     capture    until it is in the journal here
 *     replicate  one for each peer: from there until the peer says that it has it
 * </pre>
 *
 * A write longer than a record is traced by its last one, with which it is answered. While nothing is traced each call is one look at a
 * final field. Any thread.
 */
public final class TracedWrites {

    /** More are not followed at a time: a peer that is away must not have all of them kept for it. */
    private static final int MOST = 256;

    /** One that is captured, and not forgotten yet. */
    public static final class Traced {
        private final SpanContext id;
        private final long position;
        private final long beganNanos;
        private final long capturedNanos;
        private final Attributes attributes;
        private final Set<String> peers = ConcurrentHashMap.newKeySet();

        private Traced(SpanContext id, long position, long beganNanos, long capturedNanos, Attributes attributes) {
            this.id = id;
            this.position = position;
            this.beganNanos = beganNanos;
            this.capturedNanos = capturedNanos;
            this.attributes = attributes;
        }
    }

    private final @Nullable Tracing tracing;
    private final TraceKeys keys;
    private final String volume;
    private final long term;
    private final long token;
    private final ConcurrentLinkedQueue<Traced> followed = new ConcurrentLinkedQueue<>();
    private final AtomicInteger count = new AtomicInteger();

    /** Another client's thread may have sent a write, and a peer acknowledged it, before its own comes to {@link #captured}. */
    private final Map<String, Long> receivedBy = new ConcurrentHashMap<>();

    public TracedWrites(String volume, long term, long token) {
        this.tracing = Tracing.current();
        this.keys = new TraceKeys(volume);
        this.volume = volume;
        this.term = term;
        this.token = token;
    }

    /**
     * A record of a client's is in the journal, and with it the last of its request.
     *
     * @param position behind the record
     * @param beganNanos when its batch came
     * @return to be given to {@link #answered}; null: this one is not traced
     */
    public @Nullable Traced captured(long position, long beganNanos, long offset, long length, boolean durable) {
        Tracing to = tracing;
        if (to == null || !keys.chooses(token, position, to.share())) {
            return null;
        }
        Traced write = new Traced(
                keys.write(token, position),
                position,
                beganNanos,
                System.nanoTime(),
                Attribute.of(volume, term, token, position, offset, length).toBuilder()
                        .put(Attribute.DURABLE, durable)
                        .build());
        to.below(write.id, "capture", SpanKind.INTERNAL, beganNanos, write.capturedNanos, write.attributes);
        followed.add(write);
        if (count.incrementAndGet() > MOST && followed.poll() != null) {
            count.decrementAndGet();
        }
        receivedBy.forEach((peer, received) -> replicated(to, write, peer, received, write.capturedNanos));
        return write;
    }

    /** A peer has everything before {@code received}. */
    public void acknowledged(String peer, long received, long nowNanos) {
        Tracing to = tracing;
        if (to != null) {
            receivedBy.merge(peer, received, Math::max);
            followed.forEach(write -> replicated(to, write, peer, received, nowNanos));
        }
    }

    private static void replicated(Tracing to, Traced write, String peer, long received, long nowNanos) {
        if (write.position <= received && write.peers.add(peer)) {
            to.below(
                    write.id,
                    "replicate",
                    SpanKind.PRODUCER,
                    write.capturedNanos,
                    nowNanos,
                    write.attributes.toBuilder().put(Attribute.PEER, peer).build());
        }
    }

    /** Its client was answered. It is followed further: peers may acknowledge it later. */
    public void answered(@Nullable Traced write, long nowNanos) {
        Tracing to = tracing;
        if (to != null && write != null) {
            to.first("write", write.id, keys.grant(token), write.beganNanos, nowNanos, write.attributes);
        }
    }
}
