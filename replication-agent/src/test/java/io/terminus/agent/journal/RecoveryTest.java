package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.journal.Recovery.Clean;
import io.terminus.agent.journal.Recovery.Corrupt;
import io.terminus.agent.journal.Recovery.TornTail;
import io.terminus.agent.journal.Recovery.Verdict;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RecoveryTest {

    private static final int PAGE = 4096;

    @TempDir
    Path directory;

    @Test
    void openingFindsWhatWasWrittenAndChangesNoFile() throws IOException {
        Lineage lineage;
        long end;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            long first = journal.write(0, Given.payload(1, 5000), 0, 1, 0);
            journal.sync();
            journal.write(0, Given.payload(2, 5000), 0, 1, first);
            journal.closeTerm();
            journal.openTerm(9, "b", 1, first);
            end = journal.zeroes(0, 4096, 0, 1, first);
            lineage = journal.lineage();
        }
        byte[] before = Files.readAllBytes(Given.segmentFile(directory, 0));
        String[] names = directory.toFile().list();

        try (Journal journal = Given.reopened(directory)) {
            assertThat(journal.recovery()).isEqualTo(new Recovery(end, lineage, 5504, 5504, 5504, end, new Clean()));
            assertThat(journal.end()).isEqualTo(end);
            assertThat(journal.lineage()).isEqualTo(lineage);
            assertThat(journal.durable()).isZero();
        }

        assertThat(Files.readAllBytes(Given.segmentFile(directory, 0))).isEqualTo(before);
        assertThat(directory.toFile().list()).containsExactlyInAnyOrder(names);
    }

    @Test
    void openingStartsAtACheckpointInTheMiddle() throws IOException {
        long checkpoint;
        long end;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            checkpoint = journal.write(0, Given.payload(1, 5000), 0, 1, 0);
            end = journal.write(0, Given.payload(2, 5000), 0, 1, 0);
        }
        Given.overwrite(directory, 0, new byte[256]);

        Lineage known = new Lineage(List.of(new TermStart(1, "a", 0), new TermStart(2, "b", end + 1024)));
        try (Journal journal = Journal.open(directory, Given.SPEC, checkpoint, checkpoint, known, checkpoint)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Clean());
            assertThat(journal.end()).isEqualTo(end);
            assertThat(journal.oldest()).isEqualTo(checkpoint);
            assertThat(journal.lineage().starts()).containsExactly(new TermStart(1, "a", 0));
        }
    }

    @Test
    void aMissingTailThatWasKnownToBeSafeIsCorruption() throws IOException {
        long end;
        try (Journal journal = Given.journal(directory)) {
            end = journal.openTerm(1, "a", 1, 0);
        }

        try (Journal journal = Journal.open(directory, Given.SPEC, 0, 0, Lineage.EMPTY, end + 128)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Corrupt(end, end + 128));
        }
    }

    @Test
    void aTailTornAtEveryByteOfTheLastRecordEndsBeforeIt() throws IOException {
        long start;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            start = journal.write(0, Given.payload(1, 777), 0, 1, 0);
            journal.write(0, Given.payload(2, 700), 0, 1, 0);
        }
        byte[] whole = Given.read(directory, start, 896);
        byte[] earlierLap = Given.write("a", 1, start + 8L * Given.SEGMENT, 700);
        for (byte[] old : List.of(new byte[896], earlierLap)) {
            for (int written = 0; written <= 896; written++) {
                byte[] torn = Arrays.copyOf(old, 896);
                System.arraycopy(whole, 0, torn, 0, written);
                Given.overwrite(directory, start, torn);

                try (Journal journal = Given.reopened(directory)) {
                    boolean begun = Arrays.equals(torn, 0, 4, whole, 0, 4) && Arrays.equals(torn, 8, 16, whole, 8, 16);
                    boolean complete = Arrays.equals(torn, 0, 828, whole, 0, 828);
                    assertThat(journal.end()).as("torn at %d", written).isEqualTo(complete ? start + 896 : start);
                    Verdict verdict = journal.recovery().verdict();
                    assertThat(verdict).isIn(new Clean(), new TornTail(start));
                    assertThat(verdict instanceof TornTail)
                            .as("torn at %d", written)
                            .isEqualTo(begun && !complete);
                }
            }
        }
    }

    @Test
    void everyBitFlipEndsTheChainBeforeTheRecord() throws IOException {
        long start;
        long behind;
        long end;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            start = journal.write(0, Given.payload(1, 300), 0, 1, 0);
            behind = journal.write(0, Given.payload(2, 90), 0, 1, start);
            end = journal.write(0, Given.payload(3, 300), 0, 1, 0);
        }
        byte[] whole = Given.read(directory, start, (int) (behind - start));
        for (int bit = 0; bit < (128 + 90) * 8; bit++) {
            byte[] flipped = whole.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            Given.overwrite(directory, start, flipped);

            try (Journal journal = Given.reopened(directory)) {
                Recovery recovery = journal.recovery();
                assertThat(recovery.end()).as("bit %d", bit).isEqualTo(start);
                assertThat(recovery.strayEnd()).isEqualTo(end);
                assertThat(recovery.verdict()).isEqualTo(new TornTail(start));
            }
            try (Journal journal = Journal.open(directory, Given.SPEC, 0, 0, Lineage.EMPTY, behind)) {
                assertThat(journal.recovery().verdict()).isEqualTo(new Corrupt(start, behind));
            }
        }
    }

    /**
     * A process dies or the power fails while eight records are under way: any set of their pages may have reached the disk. The oracle
     * knows only which pages did.
     */
    @Test
    void theVerdictOnEverySetOfPersistedPagesIsTheOracles() throws IOException {
        int recordBytes = 5 * PAGE / 4;
        int window = 8 * recordBytes;
        for (int lag : new int[] {1, 3, 99}) {
            Path own = directory.resolve("lag" + lag);
            long[] claims = new long[8];
            try (Journal journal = Given.journal(own)) {
                journal.openTerm(1, "a", 1, 0);
                journal.write(0, Given.payload(0, PAGE - 256 - 128), 0, 1, 0);
                for (int i = 0; i < 8; i++) {
                    claims[i] = i + 1 - lag < 0 ? 0 : PAGE + (long) (i + 1 - lag) * recordBytes;
                    journal.write(0, Given.payload(i + 1, recordBytes - 128), 0, 1, claims[i]);
                }
                assertThat(journal.end()).isEqualTo(PAGE + window);
            }
            byte[] full = Given.read(own, PAGE, window);
            byte[] old = new byte[window];
            for (int at = 0; at < window; at += recordBytes) {
                System.arraycopy(
                        Given.write("a", 1, PAGE + at + 4L * Given.SEGMENT, recordBytes - 128),
                        0,
                        old,
                        at,
                        recordBytes);
            }
            for (int pages = 0; pages < 1 << window / PAGE; pages++) {
                byte[] found = old.clone();
                for (int page = 0; page < window / PAGE; page++) {
                    if ((pages >> page & 1) != 0) {
                        System.arraycopy(full, page * PAGE, found, page * PAGE, PAGE);
                    }
                }
                Given.overwrite(own, PAGE, found);
                long known = pages % 5 == 0 ? PAGE + 4L * recordBytes : 0;

                try (Journal journal = Journal.open(own, Given.SPEC, 0, 0, Lineage.EMPTY, known)) {
                    assertThat(journal.recovery().verdict())
                            .as("pages %s lag %d known %d", Integer.toBinaryString(pages), lag, known)
                            .isEqualTo(oracle(pages, recordBytes, claims, known));
                }
            }
        }
    }

    private static Verdict oracle(int pages, int recordBytes, long[] claims, long known) {
        int intact = 0;
        int firstBad = 8;
        long safe = known;
        for (int i = 7; i >= 0; i--) {
            int from = i * recordBytes / PAGE;
            int to = ((i + 1) * recordBytes - 1) / PAGE;
            int needed = (1 << to + 1) - (1 << from);
            if ((pages & needed) == needed) {
                intact |= 1 << i;
                safe = Math.max(safe, claims[i]);
            } else {
                firstBad = i;
            }
        }
        long at = PAGE + (long) firstBad * recordBytes;
        if (at < safe) {
            return new Corrupt(at, safe);
        }
        boolean headerThere = firstBad < 8 && (pages >> firstBad * recordBytes / PAGE & 1) != 0;
        boolean laterOnes = firstBad < 8 && intact >> firstBad != 0;
        return headerThere || laterOnes ? new TornTail(at) : new Clean();
    }

    /** Genuine records, checksums and all, that belong elsewhere: at every aligned place behind the end of a journal. */
    @Test
    void noGenuineRecordOfAnotherLapTermVolumeOrPlaceIsEverAccepted() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        long end;
        Lineage lineage;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(4, "z", 1, 0);
            journal.closeTerm();
            journal.openTerm(5, "a", 1, 0);
            end = journal.write(0, Given.payload(1, 5000), 0, 1, 0);
            lineage = journal.lineage();
        }
        UUID otherVolume = new UUID(Given.VOLUME.getMostSignificantBits(), 1);
        int window = 64 << 10;
        for (int round = 0; round < 300; round++) {
            byte[] debris = new byte[window];
            for (int at = 0; at < window; ) {
                byte[] record = stranger(random, otherVolume, end + at);
                int fits = Math.min(record.length, window - at);
                System.arraycopy(record, 0, debris, at, fits);
                at += random.nextBoolean() ? (fits + 127) / 128 * 128 : 128 * (1 + random.nextInt(12));
            }
            Given.overwrite(directory, end, debris);

            try (Journal journal = Given.reopened(directory)) {
                Recovery found = journal.recovery();
                assertThat(found)
                        .as("seed %d round %d", seed, round)
                        .isEqualTo(new Recovery(end, lineage, 0, 0, 0, end, found.verdict()));
                assertThat(found.verdict()).isIn(new Clean(), new TornTail(end));
            }
        }
    }

    /** A record for {@code position} that is right in everything but one; it claims to know much to be committed. */
    private static byte[] stranger(Random random, UUID otherVolume, long position) {
        ByteBuffer payload = Given.payload(random.nextInt(), 1 + random.nextInt(3000));
        long lap = position + Given.SEGMENT * (1L + random.nextInt(5));
        long shifted = position + 128L * (1 + random.nextInt(100));
        RecordKind kind = RecordKind.WRITE;
        return switch (random.nextInt(8)) {
            case 0 -> Given.record(Given.VOLUME, "a", 5, lap, kind, payload, lap);
            case 1 -> Given.record(Given.VOLUME, "a", 5, shifted, kind, payload, shifted);
            case 2 -> Given.record(otherVolume, "a", 5, position, kind, payload, position);
            case 3 -> Given.record(Given.VOLUME, "z", 4, position, kind, payload, position);
            case 4 -> Given.record(Given.VOLUME, "b", 5, position, kind, payload, position);
            case 5 -> Given.record(Given.VOLUME, "b", 6, position, kind, payload, position);
            case 6 -> {
                // An earlier term's TERM record, and one that contradicts the lineage.
                long term = random.nextBoolean() ? 4 : 7;
                Lineage named = new Lineage(List.of(new TermStart(3, "c", 0), new TermStart(term, "c", position)));
                yield Given.record(Given.VOLUME, "c", term, position, RecordKind.TERM, named.encode(), position);
            }
            default -> Given.record(Given.VOLUME, "a", 5, position, RecordKind.TERM, ByteBuffer.allocate(40), position);
        };
    }

    @Test
    void claimsBeyondABadTermRecordCountIfTheTermIsKnown() throws IOException {
        long fork;
        long end;
        try (Journal journal = Given.journal(directory)) {
            fork = journal.openTerm(1, "a", 1, 0);
            journal.closeTerm();
            long began = journal.openTerm(2, "b", 1, 0);
            end = journal.write(0, Given.payload(1, 500), 0, 1, began);
        }
        Given.overwrite(directory, fork + 130, new byte[] {1, 2, 3});
        Lineage known = new Lineage(List.of(new TermStart(1, "a", 0), new TermStart(2, "b", fork)));

        try (Journal journal = Given.reopened(directory)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new TornTail(fork));
            assertThat(journal.recovery().strayEnd()).isEqualTo(fork);
        }
        try (Journal journal = Journal.open(directory, Given.SPEC, 0, 0, known, 0)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Corrupt(fork, 512));
            assertThat(journal.recovery().strayEnd()).isEqualTo(end);
        }
    }

    @Test
    void thePadOfANewTermCountsOnlyWithItsTermRecord() throws IOException {
        long start = Given.SEGMENT - 384L;
        long fork = Given.SEGMENT - 128L;
        try (Journal journal = Given.journal(directory, Given.SPEC, start)) {
            journal.openTerm(1, "a", 1, 0);
            journal.closeTerm();
            journal.openTerm(2, "b", 1, 0);
        }
        Given.overwrite(directory, Given.SEGMENT, new byte[256]);

        try (Journal journal = Journal.open(directory, Given.SPEC, start, start, Lineage.EMPTY, 0)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new TornTail(fork));
            assertThat(journal.lineage().lastTerm()).isEqualTo(1);
        }
    }

    @Test
    void aJournalOfAnotherSegmentSizeIsRefused() throws IOException {
        Given.journal(directory).close();
        JournalSpec other = new JournalSpec(Given.VOLUME, 2 * Given.SEGMENT, 4, "a");

        assertThat(org.assertj.core.api.Assertions.catchThrowable(
                        () -> Journal.open(directory, other, 0, 0, Lineage.EMPTY, 0)))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("a segment of this volume has 2097152");
    }
}
