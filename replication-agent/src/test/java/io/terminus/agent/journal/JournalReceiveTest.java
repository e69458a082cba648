package io.terminus.agent.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.terminus.agent.journal.BadRecordException.Rule;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalReceiveTest {

    private static final Lineage TERM_3 = Lineage.EMPTY.plus(new TermStart(3, "a", 0));
    private static final long BEGUN = 256;

    @TempDir
    Path directory;

    private Path own = Path.of("");

    @BeforeEach
    void nameTheReplica() {
        own = directory.resolve("replica");
    }

    @Test
    void aRunCutAtEveryByteIsPublishedRecordByRecord() throws IOException {
        byte[] run = run();
        List<Long> ends = List.of(0L, 256L, 512L, 1408L, 1536L, 1920L, 2176L);
        for (int cut = 0; cut <= run.length; cut++) {
            try (Journal replica = fresh()) {
                int split = cut;
                land(replica, run, 0, split);
                assertThat(replica.end())
                        .as("cut at %d", split)
                        .isEqualTo(ends.stream().filter(end -> end <= split).reduce(0L, Math::max));
                assertThat(replica.landed()).isEqualTo(split);

                land(replica, run, split, run.length);

                assertThat(replica.end()).isEqualTo(run.length);
                assertThat(replica.lineage().starts())
                        .containsExactly(new TermStart(3, "a", 0), new TermStart(8, "b", 1920));
            }
        }
    }

    @Test
    void aRunInAnyPiecesIsTheSameJournal() throws IOException {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        byte[] run = run();
        for (int round = 0; round < 200; round++) {
            try (Journal replica = fresh()) {
                for (int at = 0; at < run.length; ) {
                    int next = Math.min(run.length, at + 1 + random.nextInt(300));
                    land(replica, run, at, next);
                    at = next;
                    if (random.nextInt(10) == 0) {
                        // The connection breaks: what made no record is sent again.
                        at = (int) replica.end();
                        land(replica, run, at, at);
                    }
                }
                assertThat(replica.end()).as("seed %d", seed).isEqualTo(run.length);
                assertThat(Given.read(own, 0, run.length)).isEqualTo(run);
            }
        }
    }

    /** Two terms, all kinds of records. */
    private byte[] run() throws IOException {
        Path other = directory.resolve("writer" + System.nanoTime());
        try (Journal writer = Given.journal(other)) {
            writer.openTerm(3, "a", 1, 0);
            writer.write(0, Given.payload(1, 100), 0, 1, 0);
            writer.write(4096, Given.payload(2, 700), Journal.FUA, 1, 256);
            writer.zeroes(0, 65536, 0, 1, 0);
            writer.write(4096, Given.payload(3, 200), 0, 1, 256);
            writer.closeTerm();
            writer.openTerm(8, "b", 1, 0);
            return Given.read(other, 0, (int) writer.end());
        }
    }

    @Test
    void everyBrokenRuleIsNamedAndNothingOfTheRecordIsPublished() throws IOException {
        UUID otherVolume = new UUID(1, 2);
        ByteBuffer payload = Given.payload(1, 100);
        byte[] good = Given.write("a", 3, BEGUN, 100);

        refuses(Rule.MAGIC, new byte[256]);
        refuses(Rule.VERSION, changed(good, 4, 9));
        refuses(Rule.POSITION, Given.write("a", 3, BEGUN + 128, 100));
        refuses(Rule.POSITION, Given.write("a", 3, BEGUN + Given.SEGMENT, 100));
        refuses(Rule.HEADER_CHECKSUM, changed(good, 40, 1));
        refuses(Rule.HEADER_CHECKSUM, Given.record(otherVolume, "a", 3, BEGUN, RecordKind.WRITE, payload, 0));
        refuses(Rule.PAYLOAD_CHECKSUM, changed(good, 130, 77));
        refuses(Rule.CLAIMS, Given.record(Given.VOLUME, "a", 3, BEGUN, RecordKind.WRITE, payload, BEGUN + 128));
        refuses(Rule.LENGTH, Given.record(Given.VOLUME, "a", 3, BEGUN, RecordKind.WRITE_ZEROES, payload, 0));
        refuses(Rule.LENGTH, Given.record(Given.VOLUME, "a", 3, BEGUN, RecordKind.PAD, payload, 0));
        refuses(Rule.TERM, Given.write("a", 2, BEGUN, 100));
        refuses(Rule.TERM, Given.write("a", 4, BEGUN, 100));
        refuses(Rule.TERM, Given.write("b", 3, BEGUN, 100));
        refuses(Rule.TERM, Given.pad("b", 4, BEGUN, 256));
        refuses(Rule.TERM, Given.term(TERM_3, BEGUN));
        refuses(Rule.LINEAGE, Given.term(TERM_3.plus(new TermStart(4, "b", BEGUN + 128)), BEGUN));
        refuses(Rule.LINEAGE, Given.term(new Lineage(List.of(new TermStart(4, "b", BEGUN))), BEGUN));
        refuses(
                Rule.LINEAGE,
                Given.term(new Lineage(List.of(new TermStart(2, "a", 0), new TermStart(4, "b", BEGUN))), BEGUN));
        refuses(Rule.LINEAGE, Given.record(Given.VOLUME, "c", 5, BEGUN, RecordKind.TERM, TERM_3.encode(), 0));
        refuses(Rule.LINEAGE, Given.record(Given.VOLUME, "c", 5, BEGUN, RecordKind.TERM, payload, 0));
    }

    private void refuses(Rule rule, byte[] record) throws IOException {
        try (Journal replica = fresh()) {
            byte[] begun = Given.term(TERM_3, 0);
            byte[] both = new byte[begun.length + record.length];
            System.arraycopy(begun, 0, both, 0, begun.length);
            System.arraycopy(record, 0, both, begun.length, record.length);

            assertThatExceptionOfType(BadRecordException.class)
                    .isThrownBy(() -> land(replica, both, 0, both.length))
                    .satisfies(refused -> assertThat(refused.rule()).isEqualTo(rule))
                    .satisfies(refused -> assertThat(refused.position()).isEqualTo(BEGUN));

            assertThat(replica.end()).isEqualTo(BEGUN);
            assertThat(replica.landed()).isEqualTo(BEGUN);
            byte[] good = Given.write("a", 3, BEGUN, 100);
            replica.landing(BEGUN, good.length).put(good);
            assertThat(replica.publish(good.length)).isEqualTo(BEGUN + good.length);
        }
    }

    private static byte[] changed(byte[] record, int at, int value) {
        byte[] other = record.clone();
        other[at] = (byte) value;
        return other;
    }

    @Test
    void everyBitFlipInARunIsRefused() throws IOException {
        byte[] begun = Given.term(TERM_3, 0);
        byte[] good = Given.write("a", 3, BEGUN, 90);
        try (Journal replica = fresh()) {
            land(replica, begun, 0, begun.length);
            for (int bit = 0; bit < (128 + 90) * 8; bit++) {
                byte[] flipped = good.clone();
                flipped[bit / 8] ^= (byte) (1 << bit % 8);
                replica.landing(BEGUN, flipped.length).put(flipped);

                assertThatExceptionOfType(BadRecordException.class)
                        .as("bit %d", bit)
                        .isThrownBy(() -> replica.publish(flipped.length));
                assertThat(replica.end()).isEqualTo(BEGUN);
            }
        }
    }

    @Test
    void thePadOfANewTermIsPublishedWithItsTermRecord() throws IOException {
        long start = Given.SEGMENT - 384L;
        Path other = directory.resolve("writer");
        try (Journal writer = Given.journal(other, Given.SPEC, start);
                Journal replica = Given.journal(own, Given.SPEC, start)) {
            writer.openTerm(1, "a", 1, 0);
            writer.closeTerm();
            writer.openTerm(2, "b", 1, 0);

            send(writer, replica, start, Given.SEGMENT);
            assertThat(replica.end()).isEqualTo(Given.SEGMENT - 128L);
            assertThat(replica.landed()).isEqualTo(Given.SEGMENT);
            assertThat(replica.lineage().lastTerm()).isEqualTo(1);
            send(writer, replica, Given.SEGMENT, writer.end());

            assertThat(replica.end()).isEqualTo(writer.end());
            assertThat(replica.lineage()).isEqualTo(writer.lineage());
        }
    }

    @Test
    void whatAWriterSendsIsWhatAReplicaHolds() throws IOException {
        Path other = directory.resolve("writer");
        try (Journal writer = Given.journal(other);
                Journal replica = fresh()) {
            writer.openTerm(1, "a", 1, 0);
            for (int i = 0; i < 40; i++) {
                writer.write(i, Given.payload(i, 90_000), 0, 1, 0);
            }
            while (replica.end() < writer.end()) {
                send(writer, replica, replica.landed(), writer.end());
            }

            assertThat(Given.boundaries(replica)).isEqualTo(Given.boundaries(writer));
            for (long position : Given.boundaries(writer).subList(0, 41)) {
                assertThat(replica.payload(position)).isEqualTo(writer.payload(position));
            }
        }
    }

    @Test
    void aReplicaBecomesAWriterAndAWriterAReplica() throws IOException {
        Path other = directory.resolve("writer");
        try (Journal first = Given.journal(other);
                Journal second = fresh()) {
            first.openTerm(1, "a", 1, 0);
            send(first, second, 0, first.end());
            byte[] partial = Given.write("a", 1, second.end(), 100);
            second.landing(second.end(), 200).put(partial, 0, 200);
            second.publish(200);
            first.closeTerm();

            second.openTerm(2, "b", 1, 0);
            long end = second.write(0, Given.payload(3, 300), 0, 1, 0);
            send(second, first, first.end(), end);

            assertThat(first.end()).isEqualTo(end);
            assertThat(first.lineage()).isEqualTo(second.lineage());
            assertThatExceptionOfType(IllegalStateException.class).isThrownBy(() -> second.landing(end, 100));
        }
    }

    @Test
    void landingGoesOnWhereItStopped() throws IOException {
        try (Journal replica = fresh()) {
            assertThatIllegalArgumentException().isThrownBy(() -> replica.landing(128, 100));
            assertThat(replica.landing(0, Integer.MAX_VALUE).remaining()).isEqualTo(Given.SEGMENT);
            assertThatIllegalArgumentException().isThrownBy(() -> replica.publish(Given.SEGMENT + 1));
            assertThat(replica.readyEnd()).isGreaterThanOrEqualTo(Given.SEGMENT);
        }
    }

    private Journal fresh() throws IOException {
        own = directory.resolve("replica" + System.nanoTime());
        return Journal.create(own, Given.SPEC, 0, Given.HASTY, () -> Given.TIME_NANOS, Given.WAIT_NANOS);
    }

    private static void land(Journal replica, byte[] run, int from, int to) throws IOException {
        if (from == to) {
            replica.landing(from, 1);
            return;
        }
        replica.landing(from, to - from).put(run, from, to - from);
        replica.publish(to - from);
    }

    private void send(Journal from, Journal to, long start, long end) throws IOException {
        Path wire = directory.resolve("wire");
        try (FileChannel channel = FileChannel.open(
                wire,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
            WritableByteChannel out = channel;
            int sent = (int) from.send(start, end, out);
            assertThat(sent).isEqualTo((int) (Math.min(end, from.segmentEnd(start)) - start));
            channel.position(0);
            ByteBuffer landing = to.landing(start, sent);
            while (landing.hasRemaining() && channel.read(landing) >= 0) {}
            to.publish(landing.position());
        }
    }
}
