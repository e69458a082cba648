package io.terminus.agent.volume;

import io.terminus.agent.image.Image;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalSpec;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.MissingBytes;
import io.terminus.agent.journal.Recovery;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files of a replica: how they are made, and what a start concludes from how it finds them. Everything that it concludes is in the
 * superblock before the replica is used, so that a start that ends half way leaves nothing to be believed that was not so.
 */
final class ReplicaFiles {

    private static final Logger LOG = LoggerFactory.getLogger(ReplicaFiles.class);

    static final String IMAGE = "image.raw";
    static final String JOURNAL_DIR = "journal";
    static final String RESCUED_DIR = "rescued";
    static final String MARKS_DIR = "marks";

    private ReplicaFiles() {}

    /** @param superblock as its file has it now */
    record Opened(Superblock superblock, Journal journal, ImageReach reach) {}

    /** Makes those of a new, empty replica, in a directory of its own. */
    static void create(Path dir, VolumeConfig config, int journalSegments, String self, Superblock.Life life)
            throws IOException {
        Files.createDirectories(dir);
        long reach;
        try (Journal made = Journal.create(dir.resolve(JOURNAL_DIR), spec(config, journalSegments, self), 0);
                Image image = Image.open(dir.resolve(IMAGE), config.sizeBytes())) {
            made.sync();
            reach = made.readyEnd();
            image.sync();
        }
        new Superblock(
                        new Superblock.Seen(config.encode(), 0),
                        new Superblock.Fence(0, 0),
                        new Superblock.Checkpoint(0, 0, Lineage.EMPTY, 0),
                        life,
                        Superblock.Rebuild.NONE)
                .reaching(reach)
                .write(dir);
    }

    /** Of one that nobody has reason to doubt. */
    static Superblock.Life first(String bootId) {
        return new Superblock.Life(bootId, bootId, true, false, false, "");
    }

    /** Of one in the place of another that was thrown away: under a name that no set knows, and vouching for nothing. */
    static Superblock.Life anew(String bootId) {
        return new Superblock.Life(bootId, bootId + "/" + UUID.randomUUID(), true, true, true, "");
    }

    /** Opens journal and superblock: replays nothing yet, decides nothing about the tail. */
    static Opened open(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        Superblock superblock = Superblock.read(dir);
        Superblock.Checkpoint from = superblock.checkpoint();
        boolean journalGoes = superblock.rebuild().journalGoes();
        MissingBytes missing = MissingBytes.find(
                dir.resolve(JOURNAL_DIR), config.segmentBytes(), from.position(), journalGoes ? 0 : superblock.reach());
        if (!missing.nothing()) {
            // Behind the mending nothing shows it any more, and this start may end there.
            SuperblockFile.write(superblock.opened(bootId, true), dir);
        }
        missing.mend();
        Journal journal = Journal.open(
                dir.resolve(JOURNAL_DIR),
                spec(config, journalSegments, self),
                from.oldest(),
                from.position(),
                from.lineage(),
                Math.max(from.position(), from.committed()));
        try {
            return judged(dir, config, superblock, bootId, journal, missing);
        } catch (IOException | RuntimeException e) {
            journal.close();
            throw e;
        }
    }

    private static Opened judged(
            Path dir, VolumeConfig config, Superblock before, String bootId, Journal journal, MissingBytes missing)
            throws IOException {
        Superblock superblock = before;
        boolean damaged = false;
        if (superblock.rebuild().journalGoes()) {
            journal.reset(
                    superblock.checkpoint().position(), superblock.checkpoint().lineage(), Image::empty);
            Superblock.Rebuild rebuild = superblock.rebuild();
            superblock = superblock
                    .with(new Superblock.Rebuild(rebuild.copy(), rebuild.since(), false))
                    .reaching(0);
        } else {
            damaged = lostBytes(config, journal, missing) | isCorrupt(config, before, bootId, journal);
        }
        // Where it ended before is as unknown of a journal that lost its end with the memory.
        boolean endUnknown = damaged || journal.recovery().verdict() instanceof Recovery.Corrupt;
        ImageReach reach = imageReach(superblock, journal, endUnknown);
        superblock = superblock.opened(bootId, damaged).reaching(journal.readyEnd());
        // Also on a full disk: or this replica would stay away after there is space again.
        SuperblockFile.write(superblock, dir);
        return new Opened(superblock, journal, reach);
    }

    private static JournalSpec spec(VolumeConfig config, int journalSegments, String self) {
        return new JournalSpec(config.uuid(), config.segmentBytes(), journalSegments, self);
    }

    private static boolean lostBytes(VolumeConfig config, Journal journal, MissingBytes missing) {
        boolean lost = false;
        for (long position : missing.positions()) {
            LOG.error(
                    "volume {}: of the file of the journal's segment {} everything from position {} on was gone",
                    config.name(),
                    position / config.segmentBytes(),
                    position);
            lost |= journal.mayHaveReached(position);
        }
        return lost;
    }

    private static boolean isCorrupt(VolumeConfig config, Superblock before, String bootId, Journal journal) {
        return switch (journal.recovery().verdict()) {
            case Recovery.Clean clean -> false;
            case Recovery.TornTail torn -> {
                LOG.info(
                        "volume {}: the journal ends at {}; what was begun behind it was not acknowledged alone",
                        config.name(),
                        torn.at());
                yield false;
            }
            case Recovery.Corrupt corrupt -> {
                boolean damaged = corrupt.at() < promisedHere(config, before, bootId, journal);
                if (damaged) {
                    LOG.error(
                            "volume {}: the journal is damaged at position {}, below {} which was known to be safe; what"
                                    + " follows has to come from another replica",
                            config.name(),
                            corrupt.at(),
                            corrupt.knownSafe());
                } else {
                    LOG.warn(
                            "volume {}: the journal ends at {}: what followed was lost with the machine's memory; others"
                                    + " may hold it, up to {} it was relied on",
                            config.name(),
                            corrupt.at(),
                            corrupt.knownSafe());
                }
                yield damaged;
            }
        };
    }

    /**
     * Where the journal may end on this disk without being damaged. With the memory of the machine goes what was not synced, a
     * record here and there; a later one that was not lost may tell that members had received it, or that another agent, which
     * wrote it, had synced it. Neither says that it was on this disk, but at the level that acknowledges nothing else.
     */
    private static long promisedHere(VolumeConfig config, Superblock before, String bootId, Journal journal) {
        boolean memoryLost = before.opened(bootId, false).life().memoryLost();
        return memoryLost && config.ackLevel() != AckLevel.DURABLE
                ? Math.max(before.checkpoint().position(), journal.syncedHere())
                : journal.recovery().knownSafe();
    }

    /** Of a journal that lost its end nobody knows how far it went, but in no segment that it did not have. */
    private static ImageReach imageReach(Superblock before, Journal journal, boolean endUnknown) {
        ImageReach reach = new ImageReach(before.checkpoint().position());
        if (!before.life().clean()) {
            reach.mayHold(Math.max(journal.end(), journal.recovery().knownSafe()));
            reach.mayHold(endUnknown || before.life().damaged() ? before.reach() : 0);
        }
        if (journal.lineage().lastTerm() == 0) {
            reach.nothingIsKnown(); // a new replica's zeros are what the volume held once, at best
        }
        return reach;
    }
}
