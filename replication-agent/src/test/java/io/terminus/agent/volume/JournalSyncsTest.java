package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalSpec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalSyncsTest {

    private final class Heard implements JournalSyncs.Events {
        private final AtomicInteger synced = new AtomicInteger();
        private volatile boolean over;

        @Override
        public void synced() {
            synced.incrementAndGet();
        }

        @Override
        public void mayApply() {}

        @Override
        public boolean isOver() {
            return over;
        }

        @Override
        public void failed(IOException e) {
            throw new AssertionError(e);
        }

        @Override
        public void ourOwnBug(Throwable e) {
            throw new AssertionError(e);
        }
    }

    @TempDir
    private Path dir;

    private final Heard heard = new Heard();
    private Journal journal;
    private JournalSyncs syncs;

    @BeforeEach
    void aJournal() throws IOException {
        journal = Journal.create(dir.resolve("journal"), new JournalSpec(new UUID(1, 2), 1 << 20, 4, "a"), 0);
        journal.openTerm(1, "a", 10, 0);
        syncs = new JournalSyncs("v", journal, new VolumeMeasures(), heard);
    }

    @AfterEach
    void close() throws Exception {
        syncs.close();
        journal.close();
    }

    @Test
    void whatIsAskedForBecomesDurableAndWhatIsPublishedByAndBy() throws IOException {
        syncs.start();
        long asked = write();
        syncs.request(asked);
        await().until(() -> journal.durable() >= asked);

        long published = write();
        syncs.published();

        await().until(() -> journal.durable() >= published);
        assertThat(heard.synced.get()).isPositive();
    }

    @Test
    void whoWaitsDoesItWithoutTheThreadAndOnlyOnce() throws IOException {
        long end = write();

        syncs.syncHere(end);
        syncs.syncHere(end);

        assertThat(journal.durable()).isEqualTo(end);
        assertThat(heard.synced).hasValue(1);
    }

    @Test
    void nothingIsSyncedWhereItIsOver() throws IOException {
        heard.over = true;
        long before = journal.durable();

        syncs.syncHere(write());

        assertThat(journal.durable()).isEqualTo(before);
        assertThat(heard.synced).hasValue(0);
    }

    @Test
    void aThreadThatFindsTheJournalClosedEnds() throws Exception {
        syncs.start();
        syncs.request(write());
        journal.close();

        syncs.close();

        assertThat(heard.synced.get()).isLessThanOrEqualTo(1);
    }

    private long write() throws IOException {
        return journal.write(0, ByteBuffer.wrap(new byte[4_096]), 0, 10, 0);
    }
}
