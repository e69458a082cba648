package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Cuts a journal's end off, into a file that is kept for the operator: {@code term-T-from-P.records}, T being the last term of the journal
 * and P the position of the cut. A file that is there already is never replaced. One caller at a time.
 */
final class RescuedTails {

    private final Path replica;
    private final Path dir;
    private final Journal journal;

    /** @param replica its directory; there is one for cuts in it when there is a cut */
    RescuedTails(Path replica, Journal journal) {
        this.replica = replica;
        this.dir = replica.resolve(ReplicaFiles.RESCUED_DIR);
        this.journal = journal;
    }

    /** A cut, and what it saved. */
    record Cut(Path file, long savedBytes) {}

    /**
     * @throws DiskFullException there is no space for the file; the journal is as it was
     */
    Cut cut(long position) throws IOException {
        Path file = fileOf(position);
        try {
            Files.createDirectories(dir);
            return new Cut(file, journal.cut(position, file));
        } catch (JournalException e) {
            throw e;
        } catch (IOException e) {
            Files.deleteIfExists(file); // what it holds is still in the journal
            throw SuperblockFile.isFull(e, replica) ? new DiskFullException(e) : e;
        }
    }

    private Path fileOf(long position) {
        String name = "term-" + journal.lineage().lastTerm() + "-from-" + position;
        Path file = dir.resolve(name + ".records");
        for (int i = 2; Files.exists(file); i++) {
            file = dir.resolve(name + "-" + i + ".records");
        }
        return file;
    }
}
