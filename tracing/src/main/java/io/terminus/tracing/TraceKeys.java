package io.terminus.tracing;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanId;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceId;
import io.opentelemetry.api.trace.TraceState;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * The ids of the traces of one volume. They follow from what every process knows of a write, so that each can add its spans to the same
 * trace, and nothing travels for it: neither the journal's bytes nor the lock protocol know of traces.
 *
 * <pre>
 *   write   (volume's name, fencing token, position behind its record)
 *   grant   (volume's name, fencing token)
 * </pre>
 *
 * A token is granted once for a volume, and no position is written twice under it, so two writes never share an id. Whether a write is
 * traced follows from them too: agents that are set to the same share of writes choose the same ones. Any thread.
 */
public final class TraceKeys {

    /** Golden ratios: what is added before each mixing makes different things of the same numbers. */
    private static final long TRACE_HIGH = 0x9e3779b97f4a7c15L;

    private static final long TRACE_LOW = 0xc2b2ae3d27d4eb4fL;
    private static final long SPAN = 0x165667b19e3779f9L;
    private static final long CHOICE = 0x27d4eb2f165667c5L;

    /** No record ends there. */
    private static final long NO_POSITION = -1;

    private final long high;
    private final long low;

    public TraceKeys(String volume) {
        try {
            ByteBuffer digest =
                    ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(volume.getBytes(UTF_8)));
            high = digest.getLong();
            low = digest.getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    /** Whether a write is among the share of them that is traced: a multiplication or two for each. */
    public boolean chooses(long token, long position, double share) {
        // 53 bits, as many as a double tells apart.
        return (hash(token, position, CHOICE) >>> 11) * 0x1p-53 < share;
    }

    /** The same of grants that are not of a whole volume: of those there may be many thousands a second. */
    public boolean choosesGrant(long token, double share) {
        return chooses(token, NO_POSITION, share);
    }

    /** The first span of a write, from its coming to its answer. */
    public SpanContext write(long token, long position) {
        return context(token, position);
    }

    /** The span of a grant, which is a trace of its own: many writes link to it. */
    public SpanContext grant(long token) {
        return context(token, NO_POSITION);
    }

    private SpanContext context(long token, long position) {
        return SpanContext.createFromRemoteParent(
                TraceId.fromLongs(hash(token, position, TRACE_HIGH), hash(token, position, TRACE_LOW) | 1),
                SpanId.fromLong(hash(token, position, SPAN) | 1), // an id of zeros is none
                TraceFlags.getSampled(),
                TraceState.getDefault());
    }

    private long hash(long token, long position, long salt) {
        return mix(mix(mix(high + salt) ^ token) + position ^ low);
    }

    /** The finalizer of MurmurHash3. */
    private static long mix(long x) {
        x = (x ^ x >>> 33) * 0xff51afd7ed558ccdL;
        x = (x ^ x >>> 33) * 0xc4ceb9fe1a85ec53L;
        return x ^ x >>> 33;
    }
}
