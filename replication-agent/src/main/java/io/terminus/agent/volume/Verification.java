package io.terminus.agent.volume;

import io.terminus.agent.volume.CopyItem.Kind;
import io.terminus.agent.volume.VerifyProgress.Phase;
import io.terminus.ranges.BlockRange;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Compares one whole replica with the image here, while clients write, and mends it if that was asked for.
 *
 * <p>Digests travel between the runs of the replica's stream, each of what stands here at exactly the position that is
 * applied; the replica compares when it has applied exactly that. So that it has not gone past, it first comes to a halt
 * ({@link Kind#HOLD}): from then on it applies what it is told, as while a copy is under way, until {@link Kind#RELEASE}.
 * Nothing else waits: acknowledgements need no apply. A position that both have applied leaves no room for a false alarm.
 *
 * <p>What differs is read again and sent as a copy. A stream that ends is waited for; what was compared stays compared.
 *
 * <p>Bounds: {@link CopyItem#WINDOW_BYTES} of ranges asked about and not answered, and of mends not written, together;
 * {@link #READY} items not sent, {@link #MOST_MENDS} mends not durable, as many ranges to be mended as all those can
 * hold, and {@link DifferingRanges#MOST} ranges remembered for the report.
 */
final class Verification {

    private static final Logger LOG = LoggerFactory.getLogger(Verification.class);

    private static final int READY = 4;
    private static final int MOST_MENDS = 8_192;
    private static final long HORIZON_NANOS = 50_000_000;
    private static final long WAIT_NANOS = 10_000_000;

    /** So long a replica may be away, or behind, before the comparison is given up. */
    private static final long PATIENCE_NANOS = 30_000_000_000L;

    private record Asked(long sequence, long offset, int length) {}

    /** @param sequence of the item that mends it */
    private record Mend(long sequence, long offset, int length) {}

    private final Writer writer;
    private final Replica replica;
    private final PeerCursor cursor;
    private final String agent;
    private final boolean repairs;
    private final CopyRate rate;
    private final long sizeBytes;
    private final Thread thread;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(CopyItem.MAX_DATA_BYTES);

    private volatile @Nullable String stoppedBecause;

    // Guarded by this.
    private final ArrayDeque<CopyItem> ready = new ArrayDeque<>();
    private final ArrayDeque<Asked> asked = new ArrayDeque<>();
    private final ArrayDeque<Mend> toMend = new ArrayDeque<>();
    private final ArrayDeque<Mend> mending = new ArrayDeque<>();
    private final ArrayDeque<Mend> unwritten = new ArrayDeque<>();
    private long unwrittenBytes;
    private final DifferingRanges differing = new DifferingRanges();
    private boolean streaming;
    private long streams;
    private boolean held;
    private long holdSequence;
    private long written;
    private long appliedThere;
    private long comparedTo;
    private long mendedBlocks;
    private Phase phase = Phase.WAITING;
    private String detail = "";
    private double bytesPerSecond;
    private long rateAtNanos = System.nanoTime();
    private long rateFrom;

    // The comparing thread's.
    private long stream;
    private long sequence;
    private long told;
    private long toldAtNanos;
    private long began;

    Verification(Writer writer, Replica replica, PeerCursor cursor, boolean repairs, CopyRate rate) {
        this.writer = writer;
        this.replica = replica;
        this.cursor = cursor;
        this.agent = cursor.address().agent();
        this.repairs = repairs;
        this.rate = rate;
        this.sizeBytes = replica.image().sizeBytes();
        this.thread = Thread.ofPlatform().name("verify-" + agent).daemon().unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    void stop(String why) {
        stoppedBecause = why;
        LockSupport.unpark(thread);
    }

    /** Nothing more will come of it. */
    synchronized boolean over() {
        return phase == Phase.COMPLETE || phase == Phase.GIVEN_UP;
    }

    /** The replica applies only what it is told, or is about to. */
    synchronized boolean limits() {
        return holdSequence > 0;
    }

    synchronized VerifyProgress progress() {
        long now = System.nanoTime();
        double seconds = (now - rateAtNanos) / 1e9;
        if (seconds >= 1) {
            double measured = (comparedTo - rateFrom) / seconds;
            bytesPerSecond = bytesPerSecond == 0 ? measured : bytesPerSecond * 0.7 + measured * 0.3;
            rateAtNanos = now;
            rateFrom = comparedTo;
        }
        return new VerifyProgress(
                phase,
                comparedTo,
                sizeBytes,
                over() ? 0 : (long) bytesPerSecond,
                repairs,
                differing.blocks(),
                mendedBlocks,
                differing.list(),
                detail);
    }

    // ---- the stream's side

    synchronized @Nullable CopyItem peek() {
        return ready.peek();
    }

    synchronized void sent() {
        ready.poll();
        LockSupport.unpark(thread);
    }

    /** These blocks of that item's range differ there. Before {@link #acknowledged} covers the item. */
    synchronized void compared(long which, long blocks) {
        while (!asked.isEmpty() && asked.element().sequence() <= which) {
            Asked a = asked.remove();
            comparedTo = a.offset() + a.length(); // at once, or a stream that breaks here would have it counted twice
            if (a.sequence() == which) {
                differ(a, blocks);
            }
        }
    }

    private void differ(Asked range, long blocks) {
        for (int at = 0; at < range.length(); ) {
            int end = at + ExtentMap.BLOCK_BYTES;
            if ((blocks & 1L << (at / ExtentMap.BLOCK_BYTES)) != 0) {
                while (end < range.length() && (blocks & 1L << (end / ExtentMap.BLOCK_BYTES)) != 0) {
                    end += ExtentMap.BLOCK_BYTES;
                }
                end = Math.min(end, range.length());
                if (differing.blocks() == 0) {
                    LOG.warn(
                            "volume {}: the replica at {} differs from the writer's at offset {}",
                            writer.config().name(),
                            agent,
                            range.offset() + at);
                }
                differing.add(range.offset() + at, range.offset() + end);
                if (repairs) {
                    toMend.add(new Mend(0, range.offset() + at, end - at));
                }
            }
            at = end;
        }
    }

    /** Everything up to these items was acted on there, and is durable. */
    synchronized void acknowledged(long writtenThere, long durableThere, long applied) {
        written = writtenThere;
        if (!held && holdSequence > 0 && writtenThere >= holdSequence) {
            held = true;
            appliedThere = applied;
        }
        while (!asked.isEmpty() && asked.element().sequence() <= writtenThere) {
            Asked a = asked.remove();
            comparedTo = a.offset() + a.length();
        }
        while (!unwritten.isEmpty() && unwritten.element().sequence() <= writtenThere) {
            unwrittenBytes -= unwritten.remove().length();
        }
        while (!mending.isEmpty() && mending.element().sequence() <= durableThere) {
            mendedBlocks += blocks(mending.remove().length());
        }
        LockSupport.unpark(thread);
    }

    /** A stream to the whole replica runs. */
    synchronized void streamBegins() {
        streaming = true;
        LockSupport.unpark(thread);
    }

    /** What was on its way counts for nothing; what was answered does. */
    synchronized void streamEnds() {
        streaming = false;
        streams++;
        held = false;
        holdSequence = 0;
        written = 0;
        ready.clear();
        asked.clear();
        toMend.addAll(mending);
        mending.clear();
        unwritten.clear();
        unwrittenBytes = 0;
        LockSupport.unpark(thread);
    }

    private static long blocks(int length) {
        return ((long) length + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES;
    }

    // ---- the comparing thread

    private void run() {
        rate.copying(true);
        try {
            boolean complete = false;
            while (!complete && stoppedBecause == null) {
                complete = overOneStream();
            }
            end(complete ? Phase.COMPLETE : Phase.GIVEN_UP, complete ? "" : String.valueOf(stoppedBecause));
        } catch (IOException e) {
            end(Phase.GIVEN_UP, "the image here cannot be read: " + e.getMessage());
            if (!writer.isStopped()) {
                replica.fail("the image cannot be read: " + e.getMessage());
            }
        } catch (RuntimeException | Error e) {
            LOG.error("the comparison with {} is given up: our own bug", agent, e);
            end(Phase.GIVEN_UP, "internal error: " + e);
        } finally {
            rate.copying(false);
        }
    }

    private void end(Phase how, String why) {
        synchronized (this) {
            phase = how;
            detail = why;
            ready.clear();
            asked.clear();
        }
        VerifyProgress p = progress();
        if (p.differingBlocks() > 0) {
            LOG.warn(
                    "volume {}: compared with the replica at {} up to offset {}: {} blocks differ, {} mended, at {}",
                    writer.config().name(),
                    agent,
                    p.comparedBytes(),
                    p.differingBlocks(),
                    p.mendedBlocks(),
                    p.differing());
        } else {
            LOG.info(
                    "volume {}: the replica at {} is the same up to offset {}: {} {}",
                    writer.config().name(),
                    agent,
                    p.comparedBytes(),
                    how,
                    why);
        }
    }

    /** True when all was compared, and mended if so asked. */
    private boolean overOneStream() throws IOException {
        if (!awaitWholeReplica()) {
            return false;
        }
        boolean letGo = false;
        try {
            hold();
            awaitPlace();
            while (goesOn() && (askedTo() < sizeBytes || mends())) {
                if (mends()) {
                    mend();
                } else {
                    ask();
                }
                // What differs in the last range is known only when that is answered.
                while (goesOn() && askedTo() >= sizeBytes && !mends() && !allAnswered()) {
                    pause(WAIT_NANOS);
                }
            }
            if (goesOn()) {
                say(Phase.ENDING, "");
                letGo = true;
                return release(true);
            }
            return false;
        } finally {
            if (!letGo) {
                release(false);
            }
        }
    }

    /** Its image, and the one here, may be ahead of what counts as applied after a start: not behind what was committed. */
    private boolean awaitWholeReplica() {
        long until = System.nanoTime() + PATIENCE_NANOS;
        long committed = Math.max(writer.committed(), writer.termEnd());
        while (stoppedBecause == null) {
            if (takesStream() && cursor.applied() >= committed) {
                return true;
            }
            String trouble = cursor.trouble();
            say(Phase.WAITING, trouble == null ? "waits until the replica has applied " + committed : trouble);
            if (System.nanoTime() > until) {
                stop("the replica was not there, or was behind, for " + PATIENCE_NANOS / 1_000_000_000 + " s: "
                        + detail());
            }
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
        return false;
    }

    private void hold() {
        synchronized (this) {
            if (!isLive()) {
                return;
            }
            sequence = cursor.lastSequence();
            holdSequence = ++sequence;
            ready.add(new CopyItem(sequence, Kind.HOLD, 0, 0, 0, null));
        }
        cursor.pump();
        while (goesOn() && !isHeld()) {
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
    }

    /** What is compared is of a position that the replica has not gone past. */
    private void awaitPlace() {
        synchronized (this) {
            told = appliedThere;
        }
        toldAtNanos = System.nanoTime();
        while (goesOn() && replica.applied() < Math.max(told, writer.termEnd())) {
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
        say(Phase.COMPARING, "");
    }

    private void ask() throws IOException {
        long offset = askedTo();
        int length = (int) Math.min(CopyItem.MAX_DATA_BYTES, sizeBytes - offset);
        waitForPermits(length);
        waitForRoom();
        if (!goesOn() || mends()) {
            return;
        }
        began = System.nanoTime();
        long position = replica.readForCopy(offset, buffer.clear().limit(length));
        ByteBuffer digests = BlockDigests.of(buffer.flip());
        synchronized (this) {
            if (!isLive()) {
                return;
            }
            asked.add(new Asked(++sequence, offset, length));
            ready.add(new CopyItem(sequence, Kind.DIGESTS, position, offset, length, digests));
        }
        told(position);
        rest();
    }

    private void mend() throws IOException {
        Mend next;
        synchronized (this) {
            next = toMend.peek();
        }
        if (next == null) {
            return;
        }
        waitForPermits(next.length());
        waitForRoom();
        if (!goesOn()) {
            return;
        }
        began = System.nanoTime();
        ByteBuffer bytes = ByteBuffer.allocate(next.length());
        long position = replica.readForCopy(next.offset(), bytes);
        synchronized (this) {
            if (!isLive()) {
                return;
            }
            toMend.remove();
            Mend sent = new Mend(++sequence, next.offset(), next.length());
            mending.add(sent);
            unwritten.add(sent);
            unwrittenBytes += sent.length();
            ready.add(new CopyItem(sequence, Kind.DATA, position, next.offset(), next.length(), bytes.flip()));
        }
        told(position);
        rest();
    }

    private void told(long position) {
        told = position;
        toldAtNanos = System.nanoTime();
        cursor.pump();
    }

    private void rest() {
        waitFor(rate.restNanos(System.nanoTime() - began, System.nanoTime()));
    }

    /** Whatever became of it, the replica is let go, and hears how it stands. */
    private boolean release(boolean complete) {
        long mine;
        synchronized (this) {
            if (!isLive() || holdSequence == 0) {
                return false;
            }
            if (!complete) {
                forgetUnsent();
            }
            mine = ++sequence;
            long left = differing.blocks() - (complete ? mendedBlocks + mendingBlocks() : 0);
            ready.add(new CopyItem(
                    mine, Kind.RELEASE, Math.max(told, replica.applied()), complete ? 1 : 0, Math.max(0, left), null));
        }
        cursor.pump();
        while (true) {
            synchronized (this) {
                if (!isLive() || writer.isStopped()) {
                    return false;
                }
                if (written >= mine) {
                    held = false;
                    holdSequence = 0;
                    return complete;
                }
            }
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
    }

    private void forgetUnsent() {
        for (CopyItem unsent : ready) {
            asked.removeIf(a -> a.sequence() == unsent.sequence());
            mending.removeIf(m -> m.sequence() == unsent.sequence());
        }
        ready.clear();
    }

    private long mendingBlocks() {
        return mending.stream().mapToLong(m -> blocks(m.length())).sum();
    }

    // ---- waiting

    private synchronized boolean goesOn() {
        return isLive() && stoppedBecause == null;
    }

    private synchronized boolean isHeld() {
        return held;
    }

    /** From now on it is that stream's items that count, if one runs. */
    private synchronized boolean takesStream() {
        stream = streams;
        return streaming;
    }

    private synchronized boolean isLive() {
        return streaming && stream == streams;
    }

    private synchronized boolean mends() {
        return !toMend.isEmpty();
    }

    private synchronized boolean allAnswered() {
        return asked.isEmpty();
    }

    private synchronized long askedTo() {
        Asked last = asked.peekLast();
        return last == null ? comparedTo : last.offset() + last.length();
    }

    private synchronized boolean room() {
        return ready.size() < READY
                && (long) asked.size() * CopyItem.MAX_DATA_BYTES + unwrittenBytes < CopyItem.WINDOW_BYTES
                && mending.size() < MOST_MENDS;
    }

    private void waitForRoom() {
        while (goesOn() && !room()) {
            pause(WAIT_NANOS);
        }
    }

    private void waitForPermits(long bytes) {
        long nanos = rate.reserve(bytes);
        while (goesOn() && nanos < 0) {
            pause(WAIT_NANOS);
            nanos = rate.reserve(bytes);
        }
        waitFor(nanos);
    }

    private void waitFor(long nanos) {
        long until = System.nanoTime() + nanos;
        for (long left = nanos; left > 0 && goesOn(); left = until - System.nanoTime()) {
            pause(Math.min(left, HORIZON_NANOS));
        }
    }

    /** While nothing is asked, the replica has to hear how far it may apply. */
    private void pause(long nanos) {
        long now = System.nanoTime();
        if (now - toldAtNanos > HORIZON_NANOS) {
            boolean tell;
            synchronized (this) {
                long position = replica.applied();
                tell = isLive() && held && position > told && ready.size() < READY;
                if (tell) {
                    ready.add(new CopyItem(0, Kind.HORIZON, position, 0, 0, null));
                    told = position;
                }
            }
            toldAtNanos = now;
            if (tell) {
                cursor.pump();
            }
        }
        LockSupport.parkNanos(this, nanos);
    }

    private synchronized void say(Phase now, String why) {
        phase = now;
        detail = why;
    }

    private synchronized String detail() {
        return detail;
    }

    /** Ranges that differ: all are counted, the first ones remembered, neighbours as one. */
    static final class DifferingRanges {

        static final int MOST = 64;

        private final ArrayDeque<BlockRange> first = new ArrayDeque<>();
        private long blocks;

        void add(long start, long end) {
            blocks += (end - start + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES;
            BlockRange last = first.peekLast();
            if (last != null && last.end() == start) {
                first.removeLast();
                first.add(new BlockRange(last.start(), end));
            } else if (first.size() < MOST) {
                first.add(new BlockRange(start, end));
            }
        }

        long blocks() {
            return blocks;
        }

        List<VerifyProgress.Range> list() {
            return first.stream()
                    .map(r -> new VerifyProgress.Range(r.start(), r.lengthBytes()))
                    .toList();
        }
    }
}
