package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalSpec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DirtyMarksTest {

    private static final int SEGMENT_BYTES = 1 << 20;
    private static final int VOLUME_BYTES = 4 << 20;
    private static final int PIECE_BYTES = 64 << 10;
    private static final int PIECES = 8;

    @TempDir
    private Path dir;

    private Journal journal;
    private DirtyMarks marks;

    @BeforeEach
    void marksOfAJournal() throws IOException {
        journal = Journal.create(dir.resolve("journal"), new JournalSpec(new UUID(1, 2), SEGMENT_BYTES, 4, "a"), 0);
        journal.openTerm(1, "a", 10, 0);
        marks = new DirtyMarks(dir.resolve("marks"), "v", VOLUME_BYTES, journal);
    }

    @AfterEach
    void close() throws IOException {
        marks.close();
        journal.close();
    }

    @Test
    void aSegmentStaysUntilWhatItHoldsIsMarkedForWhoIsAway() throws IOException {
        // given
        marks.keepFor(Set.of("b"));
        long end = fillASegment();

        // when
        marks.release(end);
        long oldestUnmarked = journal.oldest();
        marks.start(() -> end, () -> end, () -> marks.release(end));
        await().until(() -> journal.oldest() == end);

        // then
        assertThat(oldestUnmarked).isZero();
        assertThat(Objects.requireNonNull(marks.of("b")).markedBytes())
                .as("what was written, and not the whole volume because the journal had it no more")
                .isEqualTo(PIECES * PIECE_BYTES);
    }

    @Test
    void aSegmentGoesAtOnceWhereNobodyIsAway() throws IOException {
        // given
        marks.keepFor(Set.of());
        long end = fillASegment();

        // when
        marks.release(end);

        // then
        assertThat(journal.oldest()).isEqualTo(end);
    }

    /** The same pieces over and over, until the journal is in its second segment. */
    private long fillASegment() throws IOException {
        for (int i = 0; journal.end() < SEGMENT_BYTES + PIECE_BYTES; i++) {
            journal.write((long) i % PIECES * PIECE_BYTES, ByteBuffer.allocate(PIECE_BYTES), 0, 10, 0);
        }
        journal.sync();
        return journal.end();
    }
}
