package io.terminus.lockmgr.app;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.tracing.TraceKeys;
import io.terminus.tracing.Tracing;
import org.jspecify.annotations.Nullable;

/**
 * The lock manager's part of the traces: a span "grant" from when a lock was asked for until it was granted, under ids that follow from
 * volume and token. The writes under that token link to it: the lock manager is no part of a write.
 *
 * <p>Of a whole volume every grant is traced, for that is how an agent becomes a writer and its writes link to it; of ranges a share. While
 * nothing is traced a grant costs one look at a final field. The thread that has the table.
 */
final class GrantTraces {

    private static final AttributeKey<String> VOLUME = AttributeKey.stringKey("terminus.volume");
    private static final AttributeKey<Long> TOKEN = AttributeKey.longKey("terminus.token");
    private static final AttributeKey<Long> START = AttributeKey.longKey("terminus.start_bytes");
    private static final AttributeKey<Long> END = AttributeKey.longKey("terminus.end_bytes");
    private static final AttributeKey<String> MODE = AttributeKey.stringKey("terminus.mode");
    private static final AttributeKey<Boolean> WAITED = AttributeKey.booleanKey("terminus.waited");

    private final @Nullable Tracing tracing = Tracing.current();

    /**
     * @param turnNanos when the turn began in which it is granted, as System.nanoTime has it
     * @param waitedNanos before that turn; 0: it did not wait
     */
    void granted(Notice.Granted grant, long turnNanos, long waitedNanos) {
        Tracing to = tracing;
        if (to == null) {
            return;
        }
        TraceKeys keys = new TraceKeys(grant.volume());
        boolean whole = grant.start() == 0 && grant.end() == Long.MAX_VALUE;
        if (whole || keys.choosesGrant(grant.token(), to.share())) {
            to.first(
                    "grant",
                    keys.grant(grant.token()),
                    null,
                    turnNanos - waitedNanos,
                    System.nanoTime(),
                    Attributes.builder()
                            .put(VOLUME, grant.volume())
                            .put(TOKEN, grant.token())
                            .put(START, grant.start())
                            .put(END, grant.end())
                            .put(MODE, grant.mode().name())
                            .put(WAITED, waitedNanos > 0)
                            .build());
        }
    }
}
