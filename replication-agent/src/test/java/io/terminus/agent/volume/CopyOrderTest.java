package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.volume.CopyItem.Kind;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two real replicas and a link that the test drives step by step: records and copies, sent, delivered, acknowledged in any
 * interleaving, with breaks, kills of the receiving replica, and a journal that is released under it.
 *
 * <p>The rule under test: a replica whose image is said to be whole has exactly the state of the position it has applied.
 */
@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class CopyOrderTest {

    private static final int SEGMENT = 1 << 20;
    private static final int VOLUME_BYTES = (2 << 20) + (12 << 10);
    private static final int STEPS = 900;
    private static final VolumeConfig CONFIG = new VolumeConfig(
            new UUID(1, 2),
            "v",
            VOLUME_BYTES,
            SEGMENT,
            1,
            "a",
            List.of(new Member("a", "boot")),
            List.of(),
            AckLevel.RECEIVED,
            0,
            1,
            Lineage.EMPTY,
            Failover.MANUAL,
            List.of(new Address("a", "h:1", "h:2"), new Address("b", "h:3", "h:4")),
            VolumeConfig.Fork.NONE);

    /** A write as the writer captured it; its record ends at {@code end}. */
    private record Written(long end, int offset, byte[] bytes) {}

    private sealed interface Wire {
        record Run(long from, byte[] bytes) implements Wire {}

        record Copy(CopyItem item) implements Wire {}
    }

    private record Through(long sequence, PeerMarks.Marked marked, long position, boolean compared) {}

    private record Asked(long sequence, long offset, long position) {}

    private record Differing(long sequence, long blocks) {}

    @TempDir
    private Path temp;

    private final List<Replica> open = new ArrayList<>();
    private final List<Written> history = new ArrayList<>();
    private final ArrayDeque<Wire> wire = new ArrayDeque<>();
    private final ArrayDeque<Through> through = new ArrayDeque<>();
    private final ArrayDeque<Asked> asked = new ArrayDeque<>();
    private final Queue<Differing> differing = new ConcurrentLinkedQueue<>();
    private Random random = new Random();
    private long seed;
    private int kills;

    // The link; there is none while inbound is null.
    private @Nullable Inbound inbound;
    private boolean copying;
    private long sentTo;
    private long sequence;
    private long endSequence;
    private long endPosition;
    private long nextExtent;
    private long horizon;

    @AfterEach
    void closeAll() {
        open.forEach(Replica::close);
    }

    @RepeatedTest(12)
    void aReplicaThatIsSaidToBeWholeHasExactlyTheStateOfItsPosition() throws Exception {
        seed = Long.getLong("terminus.seed", 1);
        random = new Random(seed);
        Replica a = created("a");
        Replica b = created("b");
        a.journal().openTerm(1, "a", 10, 0);
        a.serveReads();
        a.marks().keepFor(Set.of("b"));
        commit(a);

        for (int step = 0; step < STEPS; step++) {
            switch (random.nextInt(20)) {
                case 0, 1, 2, 3, 4 -> write(a);
                case 5, 6, 7, 8 -> sendRun(a);
                case 9, 10 -> sendCopy(a);
                case 11, 12, 13, 14 -> deliver(a);
                case 15 -> acknowledge(a, b);
                case 16 -> release(a);
                case 17 -> connect(a, b);
                case 18 -> {
                    if (random.nextInt(8) == 0) {
                        cut(a);
                    }
                }
                default -> {
                    if (random.nextInt(12) == 0) {
                        cut(a);
                        b = killed(b);
                    } else {
                        checkIfWhole(b);
                    }
                }
            }
        }
        bringTogether(a, b);

        checkIfWhole(b);
        assertThat(image(b)).as("seed %d", seed).isEqualTo(image(a));
    }

    // ---- steps

    private void write(Replica a) throws IOException {
        byte[] bytes = new byte[1 + random.nextInt(60_000)];
        if (random.nextInt(5) > 0) {
            random.nextBytes(bytes);
        }
        boolean hot = random.nextBoolean();
        int offset = random.nextInt((hot ? 200_000 : VOLUME_BYTES) - bytes.length);
        long end = a.journal().write(offset, ByteBuffer.wrap(bytes), 0, 10, a.committed());
        history.add(new Written(end, offset, bytes));
        commit(a);
        release(a);
    }

    private void commit(Replica a) {
        long end = a.journal().end();
        a.commit(end);
        a.requestSync(end);
    }

    /** The budget: what is older than two segments goes, whoever is behind. */
    private void release(Replica a) throws IOException {
        long keep = Math.max(0, a.journal().end() - 2 * SEGMENT) / SEGMENT * SEGMENT;
        a.retain(Math.max(a.journal().oldest(), keep));
        a.releaseSegments();
    }

    private void connect(Replica a, Replica b) throws IOException {
        cut(a);
        Journal here = a.journal();
        PeerMarks marks = marks(a);
        long common =
                b.journal().lineage().commonEnd(here.lineage(), b.journal().end(), here.end());
        boolean reached = common >= here.oldest();
        if (!reached && b.applied() < common) {
            b.applyAllTo(common);
            awaitTrue(() -> b.applied() >= common);
        }
        Superblock.Rebuild rebuild = b.superblock().rebuild();
        sequence = 0;
        endSequence = Long.MAX_VALUE;
        nextExtent = 0;
        copying = !reached || rebuild.underWay();
        if (!copying) {
            b.cut(common);
            sentTo = common;
            a.marks()
                    .complete(
                            "b",
                            Math.max(here.oldest(), Math.min(common, b.journal().durable())));
        } else {
            long since = rebuild.underWay() ? rebuild.since() : common;
            boolean resumes = rebuild.underWay() && marks.reaches(common, rebuild.copy());
            boolean marked = resumes || marks.reaches(since, "");
            if (!marked) {
                marks.markAll();
            }
            boolean goesOn = reached && common >= here.oldest();
            long at = goesOn ? common : a.checkpoint();
            if (!goesOn && b.applied() < common && marked) {
                return; // asked again
            }
            if (!goesOn) {
                marks.cover(here, at);
            }
            String copy = resumes ? rebuild.copy() : UUID.randomUUID().toString();
            if (goesOn) {
                b.cut(common);
                b.goOn(copy, marked ? since : -1, here.end());
            } else {
                b.startOver(copy, marked ? since : -1, common, at, here.lineage());
            }
            differing.clear(); // what the copy before asked is not answered any more
            if (random.nextInt(6) == 0) {
                return; // the answer is lost
            }
            if (!copy.equals(marks.copyUnderWay())) {
                marks.begin(copy, Math.min(at, Math.max(b.journal().durable(), here.oldest())));
            }
            sentTo = at;
        }
        marks.following(true);
        inbound = new Inbound(new Object(), b, 1, "a", () -> false);
        long appliedThere = b.applied();
        horizon = appliedThere;
        awaitTrue(() -> a.applied() >= Math.min(appliedThere, a.journal().end()));
    }

    private void cut(Replica a) {
        wire.clear();
        through.clear();
        asked.clear();
        inbound = null;
        marks(a).following(false);
    }

    private boolean sendRun(Replica a) {
        Journal journal = a.journal();
        if (inbound == null || sentTo >= journal.end()) {
            return false;
        }
        if (sentTo < journal.oldest()) {
            cut(a);
            return false;
        }
        long to = Math.min(Math.min(journal.end(), journal.segmentEnd(sentTo)), sentTo + 1 + random.nextInt(80_000));
        ByteBuffer run = journal.bytes(sentTo, to);
        byte[] bytes = new byte[run.remaining()];
        run.get(bytes);
        wire.add(new Wire.Run(sentTo, bytes));
        sentTo = to;
        return true;
    }

    private void sendCopy(Replica a) throws IOException {
        Inbound in = inbound;
        if (in == null || !copying || endSequence != Long.MAX_VALUE) {
            return;
        }
        if ((sequence - in.progress().copiesWritten()) * ExtentMap.BLOCK_BYTES > CopyItem.WINDOW_BYTES) {
            return; // as a writer would
        }
        PeerMarks marks = marks(a);
        PeerMarks.Marked next = marks.next(nextExtent);
        if (next == null) {
            nextExtent = 0;
            long position = a.applied();
            if (!through.isEmpty() || !sentUpTo(a, position)) {
                return;
            }
            if (marks.isEmpty()) {
                endSequence = ++sequence;
                endPosition = position;
                wire.add(new Wire.Copy(new CopyItem(sequence, Kind.END, position, 0, 0, null)));
            }
            return;
        }
        nextExtent = next.extent() + 1;
        long start = next.extent() * ExtentMap.EXTENT_BYTES;
        int blocks = (int) ((Math.min(ExtentMap.EXTENT_BYTES, VOLUME_BYTES - start) + ExtentMap.BLOCK_BYTES - 1)
                / ExtentMap.BLOCK_BYTES);
        long oldest = Long.MAX_VALUE;
        boolean compare = start >= marks.wholeFrom() && random.nextBoolean();
        for (int block = next.next(0, blocks); block < blocks; block = next.next(block + 1, blocks)) {
            ByteBuffer bytes = ByteBuffer.allocate(ExtentMap.BLOCK_BYTES);
            long position = a.readForCopy(start + block * (long) ExtentMap.BLOCK_BYTES, bytes);
            oldest = Math.min(oldest, position);
            if (!sentUpTo(a, position)) {
                return;
            }
            if (compare) {
                asked.add(new Asked(sequence + 1, start + block * (long) ExtentMap.BLOCK_BYTES, position));
            }
            wire.add(new Wire.Copy(new CopyItem(
                    ++sequence,
                    compare ? Kind.DIGESTS : Kind.DATA,
                    position,
                    start + block * (long) ExtentMap.BLOCK_BYTES,
                    ExtentMap.BLOCK_BYTES,
                    compare ? BlockDigests.of(bytes.flip()) : bytes.flip())));
            if (random.nextInt(40) == 0) {
                write(a); // while the extent is being read
            }
        }
        through.add(new Through(sequence, next, oldest, compare));
    }

    private boolean sentUpTo(Replica a, long position) {
        while (sentTo < position) {
            if (!sendRun(a)) {
                return false;
            }
        }
        return inbound != null;
    }

    private void deliver(Replica a) throws Exception {
        Inbound in = inbound;
        Wire next = in == null ? null : wire.poll();
        if (in == null || next == null) {
            return;
        }
        switch (next) {
            case Wire.Run run -> {
                for (int done = 0; done < run.bytes().length; ) {
                    ByteBuffer to = in.landing(run.from() + done, run.bytes().length - done);
                    int count = Math.min(to.remaining(), run.bytes().length - done);
                    to.put(run.bytes(), done, count);
                    in.landed(count);
                    done += count;
                }
            }
            case Wire.Copy copy -> {
                horizon = copy.item().position();
                in.copy(copy.item());
            }
        }
        // What the writer knows to be committed, and that nothing older will be copied.
        in.told(a.committed(), a.journal().oldest());
        if (copying && wire.isEmpty() && endSequence == Long.MAX_VALUE) {
            horizon = Math.max(horizon, Math.min(in.progress().received(), a.applied()));
            in.copy(new CopyItem(0, Kind.HORIZON, horizon, 0, 0, null));
        }
    }

    private void acknowledge(Replica a, Replica b) throws IOException {
        Inbound in = inbound;
        if (in == null) {
            return;
        }
        PeerMarks marks = marks(a);
        long durable = b.copiesDurable();
        for (Differing d = differing.poll(); d != null; d = differing.poll()) {
            while (!asked.isEmpty() && asked.element().sequence() < d.sequence()) {
                asked.remove();
            }
            Asked what = asked.remove();
            assertThat(what.sequence()).as("seed %d", seed).isEqualTo(d.sequence());
            marks.differ(what.offset(), ExtentMap.BLOCK_BYTES, d.blocks(), what.position());
        }
        while (!through.isEmpty() && through.element().sequence() <= durable) {
            Through t = through.remove();
            if (t.compared()) {
                marks.compared(t.marked(), t.position());
            } else {
                marks.copied(t.marked(), t.position());
            }
        }
        marks.held(in.progress().durable());
        if (copying && durable >= endSequence) {
            marks.ended(endPosition);
            copying = false;
        }
    }

    private Replica killed(Replica b) throws IOException {
        Path copy = temp.resolve("b" + ++kills);
        CrashCopy.of(directory(b), copy);
        b.close();
        open.remove(b);
        return opened(copy);
    }

    private void bringTogether(Replica a, Replica b) throws Exception {
        awaitTrue(() -> {
            if (inbound == null) {
                connect(a, b);
            }
            sendRun(a);
            sendCopy(a);
            while (!wire.isEmpty()) {
                deliver(a);
            }
            Inbound in = inbound;
            if (in != null) {
                in.told(a.committed(), a.journal().oldest());
                in.syncUpTo(a.journal().end(), false);
            }
            acknowledge(a, b);
            return !copying
                    && b.applied() == a.journal().end()
                    && a.applied() == a.journal().end();
        });
    }

    // ---- checks

    private void checkIfWhole(Replica b) throws IOException {
        if (b.rebuilding()) {
            return;
        }
        b.requestSync(b.journal().end());
        awaitTrue(() -> b.applied() >= Math.min(b.committed(), b.journal().end()));
        if (b.applied() < b.imageReach()) {
            return; // after a kill: the image may be ahead of what is known to be committed
        }
        byte[] expected = new byte[VOLUME_BYTES];
        for (Written w : history) {
            if (w.end() <= b.applied()) {
                System.arraycopy(w.bytes(), 0, expected, w.offset(), w.bytes().length);
            }
        }
        assertThat(Arrays.mismatch(image(b), expected))
                .as("first difference at position %d, seed %d", b.applied(), seed)
                .isEqualTo(-1);
    }

    // ---- givens

    private Replica created(String name) throws IOException {
        Path dir = temp.resolve(name);
        Replica.create(dir, CONFIG, 6, name, "boot");
        return opened(dir);
    }

    private Replica opened(Path dir) throws IOException {
        Replica replica = Replica.open(dir, CONFIG, 6, dir.getFileName().toString(), "boot");
        open.add(replica);
        replica.start(new Replica.Observer() {
            @Override
            public void synced() {}

            @Override
            public void applied() {}

            @Override
            public void compared(long sequenceThere, long blocks) {
                differing.add(new Differing(sequenceThere, blocks));
            }

            @Override
            public void failed(String why) {
                throw new AssertionError(why);
            }
        });
        return replica;
    }

    private static PeerMarks marks(Replica a) {
        return Objects.requireNonNull(a.marks().of("b"));
    }

    private static Path directory(Replica replica) {
        return Objects.requireNonNull(replica.imagePath().getParent());
    }

    private static byte[] image(Replica replica) throws IOException {
        return Files.readAllBytes(replica.imagePath());
    }

    private static void awaitTrue(Callable<Boolean> condition) {
        await().pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(1))
                .atMost(Duration.ofSeconds(60))
                .until(condition);
    }
}
