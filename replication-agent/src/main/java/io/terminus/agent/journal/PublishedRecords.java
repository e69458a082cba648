package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/** Reading and sending what is published, and not released. Any thread; see {@link Journal}, which shows all of it. */
final class PublishedRecords {

    private final Contents contents;

    PublishedRecords(Contents contents) {
        this.contents = contents;
    }

    /** As {@link Journal#send}. */
    long send(long from, long to, WritableByteChannel target) throws IOException {
        contents.requireReadable(from, to);
        if (from == to) {
            return 0;
        }
        int count = (int) (Math.min(to, contents.segmentEnd(from)) - from);
        return contents.segment(from).send(contents.at(from), count, target);
    }

    /** As {@link Journal#bytes}. */
    ByteBuffer bytes(long from, long to) {
        contents.requireReadable(from, to);
        return contents.segment(from)
                .bytes
                .slice(contents.at(from), (int) (to - from))
                .asReadOnlyBuffer();
    }

    /** As {@link Journal#forEach}. */
    <X extends Exception> long forEach(long from, long to, RecordVisitor<X> visitor) throws JournalException, X {
        contents.requireReadable(from, to);
        RecordView view = new RecordView(contents.spec.volume());
        long position = from;
        boolean more = true;
        while (more && position < to) {
            moveTo(view, position);
            position = view.endPosition();
            more = visitor.visit(view);
        }
        return position;
    }

    /** As {@link Journal#firstDamaged}. */
    long firstDamaged(long from, long to) throws JournalException {
        long[] damaged = {-1};
        try {
            forEach(from, to, view -> {
                if (!view.payloadIntact()) {
                    damaged[0] = view.position();
                }
                return damaged[0] < 0;
            });
            return damaged[0];
        } catch (BadRecordException e) {
            return e.position();
        }
    }

    /** As {@link Journal#payload}. */
    ByteBuffer payload(long position) throws JournalException {
        contents.requireReadable(position, contents.end);
        RecordView view = new RecordView(contents.spec.volume());
        moveTo(view, position);
        return view.payload();
    }

    /** Refuses a position that cuts a record, or the PAD that begins a term off its TERM record. */
    void requireBoundary(long position) throws JournalException {
        contents.requireReadable(position, contents.end);
        if (position < contents.checkedFrom()) {
            return; // what lies there may be damaged, and is needed for nothing here: the image has it
        }
        long start =
                Math.max(Math.max(contents.oldest, contents.checkedFrom()), position & -(long) contents.segmentBytes);
        long boundary = forEach(start, position, view -> true);
        if (boundary != position) {
            throw new IllegalArgumentException("position " + position + " lies within a record");
        }
        if (position < contents.end) {
            RecordView view = new RecordView(contents.spec.volume());
            moveTo(view, position);
            if (view.kind() == RecordKind.TERM
                    && Lineage.decode(view.payload()).last().firstPosition() != position) {
                throw new IllegalArgumentException(
                        "position " + position + " lies between the PAD that begins a term and its TERM record");
            }
        }
    }

    private void moveTo(RecordView view, long position) throws JournalException {
        try {
            view.moveTo(contents.segment(position).bytes, contents.at(position), position);
        } catch (InternalError e) {
            throw contents.health.fail("a page of the journal cannot be read", e);
        }
    }
}
