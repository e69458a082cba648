package io.terminus.agent.volume;

import io.terminus.agent.image.Image;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.volume.AllocationVisitor.Holds;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * The committed state of a volume at its writer: the image, and through an {@link Overlay} the records that are committed and not applied
 * yet. Any thread. Which position is committed is said by the caller, and only rises.
 */
final class CommittedReads {

    /** Records not applied yet that one question about a range looks at. */
    private static final int MOST_SHOWN = 4096;

    private final Journal journal;
    private final Image image;
    private final Overlay overlay;

    CommittedReads(Journal journal, Image image) {
        this.journal = journal;
        this.image = image;
        this.overlay = new Overlay(new Overlay.Records() {
            @Override
            public void show(long from, long to) throws IOException {
                addToOverlay(from, to);
            }

            @Override
            public ByteBuffer payload(long position) throws IOException {
                return journal.payload(position);
            }
        });
    }

    private void addToOverlay(long from, long to) throws IOException {
        journal.forEach(from, to, r -> {
            if (r.kind() == RecordKind.WRITE || r.kind() == RecordKind.WRITE_ZEROES) {
                overlay.add(r.offset(), r.length(), r.position(), r.kind() == RecordKind.WRITE_ZEROES);
            }
            return true;
        });
    }

    /** From now on it is read, the image having everything before {@code applied}. Returns what {@link #end} is told. */
    long begin(long applied) {
        return overlay.begin(applied);
    }

    /** If others began since, they go on. */
    void end(long begun) {
        overlay.end(begun);
    }

    /** The image has everything before it. */
    void applied(long position) {
        overlay.applied(position);
    }

    /** Fills {@code into}. What is committed or applied meanwhile may be in it. */
    void read(long offset, ByteBuffer into, long committed) throws IOException {
        overlay.showTo(committed);
        overlay.read(offset, into, image::read);
    }

    /**
     * Fills {@code into} while nothing is applied: all of it is of one position, which is returned.
     *
     * @param applied the image has everything before it
     */
    long readAtOnce(long offset, ByteBuffer into, long committed, long applied) throws IOException {
        overlay.showTo(committed);
        return overlay.readAtOnce(offset, into, image::read, applied);
    }

    /**
     * What the committed state holds, extent by extent, as far as the visitor wants; a part of the range if very many
     * records in it are not applied. Those are looked at first and the image afterwards, as {@link Overlay} says, so that
     * data is never called a hole.
     */
    void allocation(long offset, long length, long committed, AllocationVisitor visitor) throws IOException {
        long end = offset + length;
        overlay.showTo(committed);
        List<Overlay.Shown> shown = overlay.shown(offset, end, MOST_SHOWN);
        if (shown.size() == MOST_SHOWN) {
            end = shown.getLast().end();
        }
        boolean[] more = {true};
        long at = offset;
        for (Overlay.Shown record : shown) {
            if (at < record.start()) {
                imageHolds(at, record.start(), visitor, more);
            }
            if (!more[0]) {
                return;
            }
            Holds holds = record.zeroes() ? Holds.ZEROS : Holds.DATA;
            more[0] = visitor.extent(record.end() - record.start(), holds);
            at = record.end();
        }
        if (at < end && more[0]) {
            imageHolds(at, end, visitor, more);
        }
    }

    private void imageHolds(long from, long to, AllocationVisitor visitor, boolean[] more) throws IOException {
        image.space(from, to - from, (at, count, space) -> {
            more[0] = visitor.extent(
                    count,
                    switch (space) {
                        case DATA -> Holds.DATA;
                        case ALLOCATED -> Holds.ZEROS;
                        case HOLE -> Holds.NOTHING;
                    });
            return more[0];
        });
    }
}
