package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.cli.acceptance.Oracle.Kind;
import io.terminus.cli.acceptance.Oracle.Read;
import io.terminus.cli.acceptance.Oracle.Violation;
import io.terminus.cli.acceptance.Oracle.Write;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The oracle beside a volume in memory that is right, and beside volumes that are each wrong in one way: the first is never
 * blamed, the others are.
 */
class OracleTest {

    private static final int RUNS = 200;
    private static final int STEPS = 400;

    /** One way each in which a volume can be wrong. */
    enum Wrong {
        NOTHING,
        FORGETS_WHAT_IT_ACKNOWLEDGED,
        FORGETS_A_SECTOR_OF_WHAT_IT_ACKNOWLEDGED,
        ACKNOWLEDGES_BEFORE_IT_WRITES,
        READS_WHAT_WAS_THERE_BEFORE,
        READS_WHAT_NOBODY_WROTE,
        WRITES_BESIDE_THE_PLACE,
        BRINGS_BACK_WHAT_AN_AUDIT_DID_NOT_FIND,
        LOSES_WHAT_WAS_FLUSHED
    }

    @Test
    void rightVolumeIsNeverBlamed() {
        for (long seed = 0; seed < RUNS; seed++) {
            assertThat(new Run(Wrong.NOTHING, seed).violations())
                    .as("seed %d", seed)
                    .isEmpty();
        }
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NOTHING")
    void wrongVolumeIsFound(Wrong wrong) {
        int found = 0;
        for (long seed = 0; seed < RUNS; seed++) {
            found += new Run(wrong, seed).violations().isEmpty() ? 0 : 1;
        }

        assertThat(found).as("of %d runs", RUNS).isGreaterThan(RUNS / 20);
    }

    @Test
    void unknownWriteMayComeLateAndOnlyOnce() {
        Oracle oracle = new Oracle(1);
        Write late = oracle.issue(1, Kind.DATA, false, 0, 1);
        oracle.unknown(late, "it broke");
        Write next = oracle.issue(1, Kind.DATA, false, 0, 1);
        oracle.acknowledged(next);

        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {next.id})).isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {late.id})).isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {next.id})).hasSize(1);
    }

    @Test
    void whatAnAuditDidNotFindDoesNotComeAnyMore() {
        Oracle oracle = new Oracle(1);
        Write lost = oracle.issue(1, Kind.DATA, false, 0, 1);
        oracle.unknown(lost, "it broke");

        assertThat(oracle.audit(oracle.beginRead(0, 1), new long[] {Stamp.ZEROS}))
                .isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {lost.id})).hasSize(1);
    }

    @Test
    void writesUnderWayAreSeenInEitherOrderAndNotBackAndForth() {
        Oracle oracle = new Oracle(1);
        Write one = oracle.issue(1, Kind.DATA, false, 0, 1);
        Write other = oracle.issue(2, Kind.DATA, false, 0, 1);

        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {other.id})).isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {one.id})).isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {other.id})).hasSize(1);
    }

    @Test
    void powerLossTakesWhatWasNotFlushedAndNothingElse() {
        Oracle oracle = new Oracle(2);
        Write flushed = oracle.issue(1, Kind.DATA, false, 0, 2);
        oracle.acknowledged(flushed);
        oracle.flushed(oracle.issueFlush());
        Write unflushed = oracle.issue(1, Kind.DATA, false, 0, 1);
        oracle.acknowledged(unflushed);
        Write through = oracle.issue(1, Kind.DATA, true, 1, 1);
        oracle.acknowledged(through);
        oracle.powerLoss();

        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {flushed.id}))
                .isEmpty();
        assertThat(oracle.ended(oracle.beginRead(0, 1), new long[] {unflushed.id}))
                .hasSize(1);
        assertThat(oracle.ended(oracle.beginRead(1, 1), new long[] {flushed.id}))
                .hasSize(1);
        assertThat(oracle.ended(oracle.beginRead(1, 1), new long[] {through.id}))
                .isEmpty();
    }

    @Test
    void blameSaysWhatHappenedToTheSector() {
        Oracle oracle = new Oracle(8);
        Write first = oracle.issue(1, Kind.DATA, false, 0, 8);
        oracle.acknowledged(first);
        Write second = oracle.issue(2, Kind.DATA, true, 3, 1);
        oracle.acknowledged(second);

        List<Violation> violations = oracle.ended(oracle.beginRead(3, 1), new long[] {first.id});

        assertThat(violations).singleElement().asString().contains("sector 3", "client 1", "client 2 writes through");
    }

    @Test
    void stampsTellEverySectorAndEveryBit() {
        Stamp stamp = new Stamp(42);
        byte[] bytes = stamp.payload(7, 100, 4);
        assertThat(stamp.read(bytes, 100)).containsExactly(7, 7, 7, 7);
        assertThat(new Stamp(43).read(bytes, 100)).containsOnly(Stamp.FOREIGN);
        assertThat(stamp.read(bytes, 101)).containsOnly(Stamp.FOREIGN);
        assertThat(stamp.read(new byte[1024], 5)).containsOnly(Stamp.ZEROS);

        for (int bit = 0; bit < Stamp.SECTOR_BYTES * 8; bit++) {
            bytes[bit / 8] ^= (byte) (1 << bit % 8);
            assertThat(stamp.read(bytes, 100)).containsExactly(Stamp.FOREIGN, 7, 7, 7);
            bytes[bit / 8] ^= (byte) (1 << bit % 8);
        }
    }

    /** A volume in memory, its clients, and chance. */
    private static final class Run {

        private static final int SECTORS = 6;

        private final class Request {
            final @Nullable Write write;
            final @Nullable Read read;
            final Oracle.@Nullable Flush flush;
            final long[] seen;
            final boolean[] done;

            Request(@Nullable Write write, @Nullable Read read, Oracle.@Nullable Flush flush) {
                this.write = write;
                this.read = read;
                this.flush = flush;
                this.done = new boolean[write == null ? 1 : write.sectors];
                this.seen = read == null ? new long[0] : new long[read.sectors];
            }

            boolean allDone() {
                boolean all = true;
                for (boolean one : done) {
                    all &= one;
                }
                return all;
            }
        }

        private final Wrong wrong;
        private final Random chance;
        private final Oracle oracle = new Oracle(SECTORS);
        private final List<Violation> violations = new ArrayList<>();

        /** What each sector has held since the last flush, oldest first. */
        private final List<List<Long>> held = new ArrayList<>();

        private final List<Request> underWay = new ArrayList<>();
        /** What clients gave up, and the volume may still do. */
        private final List<Write> late = new ArrayList<>();

        private final List<Write> dead = new ArrayList<>();

        Run(Wrong wrong, long seed) {
            this.wrong = wrong;
            this.chance = new Random(seed);
            for (int i = 0; i < SECTORS; i++) {
                held.add(new ArrayList<>(List.of(Stamp.ZEROS)));
            }
        }

        List<Violation> violations() {
            for (int step = 0; step < STEPS; step++) {
                switch (chance.nextInt(12)) {
                    case 0, 1, 2, 3 -> issue();
                    case 4, 5, 6, 7 -> work();
                    case 8, 9 -> answer();
                    case 10 -> doSomethingLate();
                    default -> {
                        if (chance.nextInt(6) == 0) {
                            crash();
                        }
                    }
                }
            }
            crash();
            return violations;
        }

        private void issue() {
            if (underWay.size() > 6) {
                return;
            }
            int first = chance.nextInt(SECTORS);
            int sectors = 1 + chance.nextInt(SECTORS - first);
            switch (chance.nextInt(8)) {
                case 0, 1, 2 -> underWay.add(new Request(null, oracle.beginRead(first, sectors), null));
                case 3 -> underWay.add(new Request(null, null, oracle.issueFlush()));
                case 4 -> underWay.add(new Request(oracle.issue(1, Kind.ZEROS, false, first, sectors), null, null));
                default -> underWay.add(new Request(oracle.issue(1, Kind.DATA, false, first, sectors), null, null));
            }
        }

        private void work() {
            if (underWay.isEmpty()) {
                return;
            }
            Request request = underWay.get(chance.nextInt(underWay.size()));
            if (request.write != null) {
                for (int i = 0; i < request.done.length; i++) {
                    if (!request.done[i] && chance.nextBoolean()) {
                        request.done[i] = true;
                        put(request.write, i, wrong == Wrong.WRITES_BESIDE_THE_PLACE && chance.nextInt(8) == 0);
                    }
                }
            } else if (request.read != null && !request.done[0]) {
                request.done[0] = true;
                sample(request.read, request.seen);
            } else if (request.flush != null && !request.done[0]) {
                request.done[0] = true;
                if (wrong != Wrong.LOSES_WHAT_WAS_FLUSHED || chance.nextBoolean()) {
                    held.forEach(values -> values.subList(0, values.size() - 1).clear());
                }
            }
        }

        private void put(Write write, int i, boolean beside) {
            if (wrong == Wrong.FORGETS_A_SECTOR_OF_WHAT_IT_ACKNOWLEDGED && chance.nextInt(20) == 0) {
                return;
            }
            int at = beside ? (write.first + i + 1) % SECTORS : write.first + i;
            held.get(at).add(write.kind == Kind.ZEROS ? Stamp.ZEROS : write.id);
        }

        private void sample(Read read, long[] seen) {
            for (int i = 0; i < read.sectors; i++) {
                List<Long> values = held.get(read.first + i);
                seen[i] = values.getLast();
                if (wrong == Wrong.READS_WHAT_WAS_THERE_BEFORE && values.size() > 1 && chance.nextInt(10) == 0) {
                    seen[i] = values.get(values.size() - 2);
                }
                if (wrong == Wrong.READS_WHAT_NOBODY_WROTE && chance.nextInt(40) == 0) {
                    seen[i] = chance.nextBoolean() ? Stamp.FOREIGN : seen[i] + 1_000;
                }
            }
        }

        private void answer() {
            if (underWay.isEmpty()) {
                return;
            }
            Request request = underWay.get(chance.nextInt(underWay.size()));
            boolean early = request.write != null
                    && (wrong == Wrong.FORGETS_WHAT_IT_ACKNOWLEDGED || wrong == Wrong.ACKNOWLEDGES_BEFORE_IT_WRITES)
                    && chance.nextInt(6) == 0;
            if (!request.allDone() && !early) {
                return;
            }
            underWay.remove(request);
            if (request.write != null) {
                oracle.acknowledged(request.write);
                if (!request.allDone() && wrong == Wrong.ACKNOWLEDGES_BEFORE_IT_WRITES) {
                    late.add(request.write);
                }
            } else if (request.read != null) {
                violations.addAll(oracle.ended(request.read, request.seen));
            } else if (request.flush != null) {
                oracle.flushed(request.flush);
            }
        }

        private void doSomethingLate() {
            if (!late.isEmpty()) {
                Write write = late.remove(chance.nextInt(late.size()));
                for (int i = 0; i < write.sectors; i++) {
                    put(write, i, false);
                }
            }
            if (wrong == Wrong.BRINGS_BACK_WHAT_AN_AUDIT_DID_NOT_FIND && !dead.isEmpty()) {
                Write write = dead.removeLast();
                for (int i = 0; i < write.sectors; i++) {
                    put(write, i, false);
                }
            }
        }

        /** Of the processes, or of all memory; what was under way happens in part, late, or not at all. */
        private void crash() {
            for (Request request : underWay) {
                if (request.write != null) {
                    boolean untouched = true;
                    for (boolean done : request.done) {
                        untouched &= !done;
                    }
                    oracle.unknown(request.write, "crash");
                    if (untouched) {
                        late.add(request.write);
                    }
                } else if (request.read != null) {
                    oracle.giveUp(request.read);
                }
            }
            underWay.clear();
            if (chance.nextBoolean() || wrong == Wrong.LOSES_WHAT_WAS_FLUSHED) {
                oracle.powerLoss();
                dead.addAll(late);
                late.clear();
                for (List<Long> values : held) {
                    long kept = values.get(chance.nextInt(values.size()));
                    values.clear();
                    values.add(kept);
                }
            } else if (chance.nextBoolean()) {
                return;
            }
            while (!late.isEmpty() && wrong != Wrong.BRINGS_BACK_WHAT_AN_AUDIT_DID_NOT_FIND) {
                doSomethingLate();
            }
            dead.addAll(late);
            late.clear();
            oracle.flushed(oracle.issueFlush());
            held.forEach(values -> values.subList(0, values.size() - 1).clear());
            long[] seen = new long[SECTORS];
            Read read = oracle.beginRead(0, SECTORS);
            ToLongFunction<List<Long>> newest = List::getLast;
            for (int i = 0; i < SECTORS; i++) {
                seen[i] = newest.applyAsLong(held.get(i));
            }
            violations.addAll(oracle.audit(read, seen));
        }
    }
}
