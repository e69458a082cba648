package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.terminus.agent.journal.Recovery.Clean;
import io.terminus.agent.journal.Recovery.Corrupt;
import io.terminus.agent.journal.Recovery.TornTail;
import io.terminus.agent.journal.Recovery.Verdict;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a start makes of a journal after a crash. Captures fill their places in parallel and the disk writes pages in any order, so a
 * crash may leave any set of filled records, and any set of their pages. All of them are tried, with everything that may be known to be
 * safe; an oracle that knows what reached the disk says what the start has to find.
 */
class CrashScanTest {

    private static final int PAGE = 4096;

    /** A page and a quarter: most records lie in two pages, most pages hold two records. */
    private static final int RECORD = 5 * PAGE / 4;

    /** Nothing a record says about commits or syncs tells of anything here. */
    private static final int SILENT = 99;

    @TempDir
    Path directory;

    /** What stood in the place of the records before they were written. */
    private enum Before {
        ZEROS,
        /** Genuine records of this journal, of the segment's last lap. */
        EARLIER_LAP,
        /** Genuine records of an earlier term at these very positions, which claim that much is safe: cut off once. */
        EARLIER_TERM,
        /** Headers of that term's PADs, each over everything that follows it. */
        PADS_OF_EARLIER_TERM;

        private boolean earlierTerm() {
            return this == EARLIER_TERM || this == PADS_OF_EARLIER_TERM;
        }
    }

    /** One record, or a PAD, which is written together with the record behind it and of which only the header counts. */
    private record Unit(long start, long end, long checkedEnd, int fill, long claims, boolean ofNewTerm) {}

    /**
     * @param bytes of two segments as they are when everything is there
     * @param from where the records under way begin, a page's start
     * @param term in force before them
     */
    private record Scene(byte[] bytes, long from, long to, List<Unit> units, int fills, Lineage before) {}

    private interface Captures {
        void into(Journal journal, int lag) throws IOException;
    }

    @Test
    void everySetOfFilledRecordsAndPersistedPagesIsJudgedAsTheOracleSays() throws IOException {
        Captures inTheMiddle = (journal, lag) -> writes(journal, 5, lag);
        long tried = 0;
        for (int lag : new int[] {1, 3, SILENT}) {
            tried += judgeAll(scene("middle" + lag, 16 * PAGE, lag, inTheMiddle));
        }
        assertThat(tried).isGreaterThan(10_000);
    }

    @Test
    void theSameWhereARecordDidNotFitIntoItsSegment() throws IOException {
        // Three records, a PAD of the rest of the segment, two records.
        long from = Given.SEGMENT - 4 * PAGE;
        for (int lag : new int[] {1, SILENT}) {
            judgeAll(scene("end" + lag, from, lag, (journal, l) -> writes(journal, 5, l)));
        }
    }

    @Test
    void theSameWhereATermBeganAmongThem() throws IOException {
        Captures twoTerms = (journal, lag) -> {
            writes(journal, 2, lag);
            journal.closeTerm();
            journal.openTerm(6, "b", 2, 0);
            writes(journal, 2, lag);
        };
        for (int lag : new int[] {1, SILENT}) {
            judgeAll(scene("term" + lag, 16 * PAGE, lag, twoTerms));
        }
    }

    private static void writes(Journal journal, int count, int lag) throws IOException {
        for (int i = 0; i < count; i++) {
            long claims = lag == SILENT ? 0 : Math.max(0, journal.end() - (lag - 1L) * RECORD);
            journal.write(0, Given.payload(journal.end(), RECORD - RecordFormat.HEADER_BYTES), 0, 1, claims);
        }
    }

    private Scene scene(String name, long from, int lag, Captures captures) throws IOException {
        Path own = directory.resolve(name);
        long start = from - 8 * PAGE;
        List<Unit> units = new ArrayList<>();
        int[] fills = {0};
        Lineage before;
        long to;
        try (Journal journal = Journal.create(own, Given.SPEC, start, Given.HASTY, () -> 0, Given.WAIT_NANOS)) {
            journal.openTerm(4, "z", 1, 0);
            journal.closeTerm();
            journal.openTerm(5, "a", 1, 0);
            journal.write(0, Given.payload(1, (int) (from - journal.end()) - RecordFormat.HEADER_BYTES), 0, 1, 0);
            assertThat(journal.end()).isEqualTo(from);
            before = journal.lineage();
            captures.into(journal, lag);
            to = journal.end();
            journal.forEach(from, to, r -> {
                boolean pad = r.kind() == RecordKind.PAD;
                long checkedEnd = pad ? r.position() + RecordFormat.HEADER_BYTES : r.endPosition();
                long claims = Math.max(r.committed(), r.synced());
                units.add(new Unit(r.position(), r.endPosition(), checkedEnd, fills[0], claims, r.term() > 5));
                fills[0] += pad ? 0 : 1;
                return true;
            });
        }
        byte[] bytes = new byte[2 * Given.SEGMENT];
        for (int segment = 0; segment < 2; segment++) {
            if (Files.exists(Given.segmentFile(own, segment))) {
                byte[] file = Files.readAllBytes(Given.segmentFile(own, segment));
                System.arraycopy(file, 0, bytes, segment * Given.SEGMENT, Given.SEGMENT);
            }
        }
        return new Scene(bytes, from, to, units, fills[0], before);
    }

    private static long judgeAll(Scene scene) throws IOException {
        int firstPage = (int) (scene.from / PAGE);
        int pages = (int) ((scene.to + PAGE - 1) / PAGE) - firstPage;
        boolean silent = scene.units.stream().noneMatch(unit -> unit.claims > scene.from - PAGE);
        long tried = 0;
        for (Before before : Before.values()) {
            byte[] old = old(scene, before);
            byte[] disk = old.clone();
            List<ByteBuffer> segments = segments(disk).subList(0, scene.to > Given.SEGMENT ? 2 : 1);
            for (int filled = 0; filled < 1 << scene.fills; filled++) {
                byte[] written = written(scene, old, filled);
                int touched = touched(scene, filled, firstPage);
                for (int persisted = 0; persisted < 1 << pages; persisted++) {
                    if ((persisted & ~touched) != 0) {
                        continue; // a page that nothing was written to is the same either way
                    }
                    for (int page = 0; page < pages; page++) {
                        int at = (firstPage + page) * PAGE;
                        System.arraycopy((persisted >> page & 1) != 0 ? written : old, at, disk, at, PAGE);
                    }
                    for (long known : known(scene, silent)) {
                        judge(scene, before, filled, persisted, firstPage, known, segments);
                        tried++;
                    }
                }
            }
        }
        return tried;
    }

    /** Every record boundary if records claim nothing themselves; else nothing, and the middle. */
    private static List<Long> known(Scene scene, boolean silent) {
        List<Long> known = new ArrayList<>(List.of(0L));
        if (silent) {
            scene.units.forEach(unit -> known.add(unit.end));
        } else {
            known.add(scene.units.get(2).end);
        }
        return known;
    }

    private static void judge(
            Scene scene, Before before, int filled, int persisted, int firstPage, long known, List<ByteBuffer> disk)
            throws IOException {
        RecoveryScan scan = new RecoveryScan(
                Given.VOLUME,
                Given.SEGMENT,
                number -> number < disk.size() ? disk.get((int) number) : null,
                scene.before);
        scan.run(scene.from, known);

        Recovery found = scan.result();
        if (!found.verdict().equals(oracle(scene, before, filled, persisted, firstPage, known))) {
            assertThat(found.verdict())
                    .as(
                            "of %s at %d over %s: filled %s, pages %s, known to be safe %d",
                            scene.units,
                            scene.from,
                            before,
                            Integer.toBinaryString(filled),
                            Integer.toBinaryString(persisted),
                            known)
                    .isEqualTo(oracle(scene, before, filled, persisted, firstPage, known));
        }
        long end = end(scene, filled, persisted, firstPage);
        if (found.end() != end || found.lineage().lastTerm() != (endsInNewTerm(scene, end) ? 6 : 5)) {
            assertThat(found.end()).as("end of %s", found).isEqualTo(end);
            assertThat(found.lineage().lastTerm()).isEqualTo(endsInNewTerm(scene, end) ? 6 : 5);
        }
    }

    /** Is all of it there that is checked? */
    private static boolean there(Unit unit, int filled, int persisted, int firstPage) {
        int first = (int) (unit.start / PAGE) - firstPage;
        int last = (int) ((unit.checkedEnd - 1) / PAGE) - firstPage;
        int needed = (1 << last + 1) - (1 << first);
        return (filled >> unit.fill & 1) != 0 && (persisted & needed) == needed;
    }

    private static long end(Scene scene, int filled, int persisted, int firstPage) {
        long end = scene.from;
        for (Unit unit : scene.units) {
            if (!there(unit, filled, persisted, firstPage)) {
                return end;
            }
            end = unit.end;
        }
        return end;
    }

    private static boolean endsInNewTerm(Scene scene, long end) {
        return scene.units.stream().anyMatch(unit -> unit.ofNewTerm && unit.end <= end);
    }

    private static Verdict oracle(Scene scene, Before before, int filled, int persisted, int firstPage, long known) {
        long end = end(scene, filled, persisted, firstPage);
        // The first unit of a new term is its TERM record: without it nothing tells that the others are of this
        // journal.
        boolean termTold = true;
        boolean beyond = false;
        long safe = known;
        for (Unit unit : scene.units) {
            boolean opens = unit.ofNewTerm && !endsInNewTerm(scene, unit.start);
            boolean there = there(unit, filled, persisted, firstPage);
            termTold &= !opens || there;
            if (there && termTold) {
                safe = Math.max(safe, unit.claims);
                beyond |= unit.start >= end;
            }
        }
        boolean begun = end < scene.to && (before.earlierTerm() || headerThere(scene, end, filled, persisted));
        return end < safe ? new Corrupt(end, safe) : begun || beyond ? new TornTail(end) : new Clean();
    }

    private static boolean headerThere(Scene scene, long at, int filled, int persisted) {
        int page = (int) ((at - scene.from) / PAGE);
        return scene.units.stream()
                .anyMatch(unit -> unit.start == at && (filled >> unit.fill & 1) != 0 && (persisted >> page & 1) != 0);
    }

    private static byte[] old(Scene scene, Before before) {
        byte[] old = scene.bytes.clone();
        Arrays.fill(old, (int) scene.from, old.length, (byte) 0);
        for (long at = scene.from; before == Before.EARLIER_LAP && at < scene.to; at += RECORD) {
            ByteBuffer payload = Given.payload(7, RECORD - RecordFormat.HEADER_BYTES);
            long earlier = at + 8L * Given.SEGMENT;
            byte[] record = Given.record(Given.VOLUME, "a", 5, earlier, RecordKind.WRITE, payload, earlier);
            System.arraycopy(record, 0, old, (int) at, RECORD);
        }
        for (Unit unit : scene.units) {
            int at = (int) unit.start;
            if (before == Before.EARLIER_TERM) {
                ByteBuffer payload = Given.payload(7, (int) (unit.end - unit.start) - RecordFormat.HEADER_BYTES);
                byte[] record = Given.record(Given.VOLUME, "z", 4, at, RecordKind.WRITE, payload, at);
                System.arraycopy(record, 0, old, at, record.length);
            } else if (before == Before.PADS_OF_EARLIER_TERM) {
                byte[] pad = Given.pad("z", 4, at, Given.SEGMENT - at % Given.SEGMENT);
                System.arraycopy(pad, 0, old, at, RecordFormat.HEADER_BYTES);
            }
        }
        return old;
    }

    private static byte[] written(Scene scene, byte[] old, int filled) {
        byte[] written = old.clone();
        for (Unit unit : scene.units) {
            if ((filled >> unit.fill & 1) != 0) {
                int count = (int) (unit.checkedEnd - unit.start);
                System.arraycopy(scene.bytes, (int) unit.start, written, (int) unit.start, count);
            }
        }
        return written;
    }

    /** The pages that these records are written to. */
    private static int touched(Scene scene, int filled, int firstPage) {
        int touched = 0;
        for (Unit unit : scene.units) {
            if ((filled >> unit.fill & 1) != 0) {
                for (long page = unit.start / PAGE; page <= (unit.checkedEnd - 1) / PAGE; page++) {
                    touched |= 1 << page - firstPage;
                }
            }
        }
        return touched;
    }

    /**
     * Segments are recycled between laps and, by a careless hand, between directories: two whole ones, full of another life's genuine
     * records, moved by every number of bytes within an alignment and by some that are multiples of it.
     */
    @Test
    void aRecycledSegmentFullOfAnotherLifeIsNoPartOfTheJournalAtAnyAlignment() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        long end = 3 * PAGE + 1024;
        Lineage lineage = new Lineage(List.of(new TermStart(4, "z", 0), new TermStart(5, "a", 2 * PAGE)));
        UUID other = new UUID(Given.VOLUME.getMostSignificantBits(), 1);
        List<byte[]> lives = List.of(
                life(random, other, "a", 5, 0),
                life(random, Given.VOLUME, "b", 5, 0),
                life(random, Given.VOLUME, "z", 4, 0),
                life(random, Given.VOLUME, "a", 5, 2L * Given.SEGMENT),
                life(random, Given.VOLUME, "a", 5, 1L << 40),
                life(random, Given.VOLUME, "c", 6, 0),
                life(random, Given.VOLUME, "c", 3, 6L * Given.SEGMENT));
        Set<Integer> shifts = new HashSet<>();
        for (int shift = 0; shift < RecordFormat.ALIGNMENT; shift++) {
            shifts.add(shift);
            shifts.add(RecordFormat.ALIGNMENT * random.nextInt(2 * Given.SEGMENT / RecordFormat.ALIGNMENT));
        }
        for (int life = 0; life < lives.size(); life++) {
            for (int shift : shifts) {
                byte[] bytes = rotated(lives.get(life), shift);

                Recovery found = recover(bytes, end, lineage);

                String which = "seed %d life %d moved by %d".formatted(seed, life, shift);
                assertThat(found.end()).as(which).isEqualTo(end);
                assertThat(found.knownSafe()).as(which).isZero();
                assertThat(found.strayEnd()).as(which).isEqualTo(end);
                assertThat(found.lineage()).as(which).isEqualTo(lineage);
            }
        }
    }

    /** Moved by anything that is not nothing, even this journal's own records are strangers. */
    @Test
    void theJournalsOwnRecordsAreStrangersInEveryOtherPlace() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        byte[] own = life(new Random(seed), Given.VOLUME, "a", 5, 0);
        Lineage lineage = new Lineage(List.of(new TermStart(5, "a", 0)));
        int payload = ByteBuffer.wrap(own).order(ByteOrder.LITTLE_ENDIAN).getInt(RecordFormat.PAYLOAD_LENGTH_AT);
        long from = RecordFormat.recordBytes(payload);
        assertThat(recover(own, from, lineage).end()).as("seed %d", seed).isEqualTo(own.length);
        for (int shift = 1; shift < 2 * PAGE; shift += shift < 256 ? 1 : 128) {
            Recovery found = recover(rotated(own, shift), from, lineage);

            assertThat(found.end()).as("seed %d moved by %d", seed, shift).isEqualTo(from);
            assertThat(found.strayEnd()).as("seed %d moved by %d", seed, shift).isEqualTo(from);
        }
    }

    /** Two segments without a gap of records of one life, each of which claims that everything before it is safe. */
    private static byte[] life(Random random, UUID volume, String agent, long term, long shift) {
        byte[] bytes = new byte[2 * Given.SEGMENT];
        for (int at = 0; at < bytes.length; ) {
            int rest = Given.SEGMENT - at % Given.SEGMENT;
            int length = Math.min(1 + random.nextInt(20_000), rest - RecordFormat.HEADER_BYTES);
            long position = at + shift;
            RecordKind kind = length == 0 ? RecordKind.PAD : RecordKind.WRITE;
            byte[] record = Given.record(
                    volume, agent, term, position, kind, Given.payload(random.nextInt(), length), position);
            System.arraycopy(record, 0, bytes, at, record.length);
            at += record.length;
        }
        return bytes;
    }

    private static byte[] rotated(byte[] bytes, int by) {
        byte[] rotated = new byte[bytes.length];
        System.arraycopy(bytes, 0, rotated, by, bytes.length - by);
        System.arraycopy(bytes, bytes.length - by, rotated, 0, by);
        return rotated;
    }

    private static Recovery recover(byte[] twoSegments, long from, Lineage known) throws IOException {
        List<ByteBuffer> disk = segments(twoSegments);
        RecoveryScan scan = new RecoveryScan(
                Given.VOLUME, Given.SEGMENT, number -> number < disk.size() ? disk.get((int) number) : null, known);
        scan.run(from, 0);
        return scan.result();
    }

    private static List<ByteBuffer> segments(byte[] two) {
        ByteBuffer bytes = ByteBuffer.wrap(two);
        return List.of(
                bytes.slice(0, Given.SEGMENT).order(ByteOrder.LITTLE_ENDIAN),
                bytes.slice(Given.SEGMENT, Given.SEGMENT).order(ByteOrder.LITTLE_ENDIAN));
    }

    @Test
    void aSegmentFileOfAnyOtherLengthIsRefusedByName() throws IOException {
        Given.journal(directory).close();
        Path file = Given.segmentFile(directory, 0);
        byte[] whole = Files.readAllBytes(file);
        for (int length : new int[] {0, 1, 4096, whole.length - 1, whole.length + 1, 2 * whole.length}) {
            Files.write(file, Arrays.copyOf(whole, length));

            assertThatExceptionOfType(IOException.class)
                    .isThrownBy(() -> Given.reopened(directory).close())
                    .withMessageContaining(file + " has " + length + " bytes")
                    .withMessageContaining("a segment of this volume has " + whole.length);
            assertThat(file).hasSize(length);
        }
    }

    @Test
    void aSegmentThatIsMissingEndsTheJournalAndIsMissedIfItWasKnown() throws IOException {
        long end;
        try (Journal journal = Given.journal(directory)) {
            journal.openTerm(1, "a", 1, 0);
            while (journal.end() < 2L * Given.SEGMENT + PAGE) {
                journal.write(0, Given.payload(1, journal.maxPayloadBytes()), 0, 1, journal.end());
            }
            end = journal.end();
        }
        Files.delete(Given.segmentFile(directory, 1));

        try (Journal journal = Journal.open(directory, Given.SPEC, 0, 0, Lineage.EMPTY, end)) {
            assertThat(journal.recovery().verdict()).isEqualTo(new Corrupt(Given.SEGMENT, end));
        }
    }

    /** Cutting it off as a torn tail would destroy what a newer program had promised. */
    @Test
    void aRecordOfAnUnknownVersionIsNeitherReadNorCutOff() throws IOException {
        long first;
        long second;
        try (Journal journal = Given.journal(directory)) {
            first = journal.openTerm(1, "a", 1, 0);
            second = journal.write(0, Given.payload(1, 5000), 0, 1, 0);
            journal.write(0, Given.payload(2, 5000), 0, 1, 0);
        }
        byte[] untouched = Files.readAllBytes(Given.segmentFile(directory, 0));
        for (long at : new long[] {first, second}) {
            byte[] header = Given.read(directory, at, RecordFormat.HEADER_BYTES);
            Given.overwrite(directory, at, ofVersion(header, (byte) 2));
            byte[] newer = Files.readAllBytes(Given.segmentFile(directory, 0));

            assertThatExceptionOfType(UnknownVersionException.class)
                    .isThrownBy(() -> Given.reopened(directory).close())
                    .withMessageContaining("the record at position " + at + " is of version 2")
                    .withMessageContaining("reads version 1 only");
            assertThat(Files.readAllBytes(Given.segmentFile(directory, 0))).isEqualTo(newer);
            Given.overwrite(directory, at, header);
        }
        // Also where a bad record of our own version comes first.
        byte[] header = Given.read(directory, second, RecordFormat.HEADER_BYTES);
        Given.overwrite(directory, second, ofVersion(header, (byte) 200));
        Given.overwrite(directory, first + 1000, new byte[] {1, 2, 3});
        assertThatExceptionOfType(UnknownVersionException.class)
                .isThrownBy(() -> Given.reopened(directory).close())
                .withMessageContaining("version 200");
        Files.write(Given.segmentFile(directory, 0), untouched);
        Given.reopened(directory).close();
    }

    private static byte[] ofVersion(byte[] header, byte version) {
        byte[] newer = header.clone();
        newer[RecordFormat.VERSION_AT] = version;
        CRC32C crc = new CRC32C();
        crc.update(ByteBuffer.allocate(16)
                .putLong(Given.VOLUME.getMostSignificantBits())
                .putLong(Given.VOLUME.getLeastSignificantBits())
                .flip());
        crc.update(newer, RecordFormat.ORIGIN_AT, 8);
        crc.update(newer, RecordFormat.TERM_AT, 8);
        crc.update(newer, 0, RecordFormat.HEADER_CHECKSUM_AT);
        ByteBuffer.wrap(newer).order(ByteOrder.LITTLE_ENDIAN).putInt(RecordFormat.HEADER_CHECKSUM_AT, (int)
                crc.getValue());
        return newer;
    }
}
