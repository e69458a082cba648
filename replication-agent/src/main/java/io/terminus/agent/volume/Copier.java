package io.terminus.agent.volume;

import io.terminus.agent.volume.CopyItem.Kind;
import io.terminus.agent.volume.CopyProgress.Phase;
import io.terminus.agent.volume.PeerMarks.Marked;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Copies to one replica what is marked as missing there, for as long as its stream lasts: reads extents, hands items to
 * the stream, clears marks as the replica has them durable, and ends the copy when nothing is marked.
 *
 * <p>One item's bytes are read while apply stands still; nothing else waits. Bounds: {@link CopyItem#WINDOW_BYTES} on the
 * way, a few items ready, and what the replica syncs at once is remembered until then, an entry per item.
 */
final class Copier {

    private static final Logger LOG = LoggerFactory.getLogger(Copier.class);

    /** Zeros of one item, at most: a hole of any size is a few items. */
    private static final long MOST_ZEROES_BYTES = 1L << 30;

    /** Items ready, not yet sent; with the one being made and the one being sent they must find a buffer. */
    private static final int READY = 4;

    /** So many ranges are compared before it is judged whether that is worth while; of so many extents one is then. */
    private static final long COMPARED_AT_FIRST = 64;

    private static final long COMPARED_OF = 16;

    private static final long HORIZON_NANOS = 50_000_000;
    private static final long WAIT_NANOS = 10_000_000;
    private static final ByteBuffer ZEROS =
            ByteBuffer.allocateDirect(ExtentMap.BLOCK_BYTES).asReadOnlyBuffer();

    /** These marked blocks, of {@code extents} extents if all of each, were read at {@code position} or later. */
    private record Through(Marked first, long extents, long position, boolean compared) {
        private static final Through NOTHING = new Through(Marked.all(0), 0, 0, false);
    }

    /** Digests on their way: of what was there at {@code position}. */
    private record Asked(long sequence, long offset, long length, long position) {}

    /** On its way; when it is durable there, these extents are. */
    private record Sent(long sequence, long bytes, Through through) {}

    private final Writer writer;
    private final Replica replica;
    private final String agent;
    private final PeerMarks marks;
    private final boolean compares;
    private final CopyRate rate;
    private final Runnable pump;
    private final long appliedThere;
    private final Thread thread;
    private final @Nullable ByteBuffer[] buffers = new ByteBuffer[READY + 2];

    private volatile boolean stopped;
    private volatile boolean done;
    private volatile boolean failed;
    private volatile boolean copying;

    /** The marks of everything that became durable up to this item are cleared. */
    private volatile long marksSeen;

    // Guarded by this.
    private final ArrayDeque<CopyItem> ready = new ArrayDeque<>();
    private final ArrayDeque<Sent> unwritten = new ArrayDeque<>();
    private final ArrayDeque<Sent> undurable = new ArrayDeque<>();
    private final ArrayDeque<Asked> asked = new ArrayDeque<>();
    private long compared;
    private long differing;
    private long unwrittenBytes;
    private long endSequence = Long.MAX_VALUE;
    private long endPosition;
    private long totalBytes;
    private double bytesPerSecond;
    private long rateFromNanos = System.nanoTime();
    private long rateFromMarked;

    // The copying thread's.
    private long sequence;
    private long horizonAtNanos;
    private int nextBuffer;

    /**
     * @param compares whether the replica has anything that may be right though it counts as marked
     * @param appliedThere what the replica has applied: a copy must not be older
     */
    Copier(
            Writer writer,
            Replica replica,
            String agent,
            PeerMarks marks,
            boolean compares,
            CopyRate rate,
            Runnable pump,
            long appliedThere) {
        this.writer = writer;
        this.replica = replica;
        this.agent = agent;
        this.marks = marks;
        this.compares = compares;
        this.rate = rate;
        this.pump = pump;
        this.appliedThere = appliedThere;
        this.totalBytes = marks.markedBytes();
        this.rateFromMarked = totalBytes;
        this.thread = Thread.ofPlatform().name("copy-" + agent).daemon().unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    void stop() {
        stopped = true;
        LockSupport.unpark(thread);
    }

    /** The replica is whole, and says so. */
    boolean done() {
        return done;
    }

    // ---- the stream's side

    /** The next item to send, or null; it is the stream's to send before any record that is not published yet. */
    synchronized @Nullable CopyItem peek() {
        if (failed) {
            throw new IllegalStateException("the copy to " + agent + " has failed");
        }
        return stopped ? null : ready.peek();
    }

    synchronized void sent() {
        ready.poll();
        LockSupport.unpark(thread);
    }

    /** These blocks of that item's range differ there. The stream's thread only, before the item is acknowledged. */
    void compared(long sequence, long blocks) throws IOException {
        Asked what = null;
        synchronized (this) {
            while (!asked.isEmpty() && asked.element().sequence() <= sequence) {
                what = asked.remove();
                compared++;
            }
            if (what == null || what.sequence() != sequence) {
                return;
            }
            differing++;
        }
        marks.differ(what.offset(), what.length(), blocks, what.position());
    }

    /** Everything up to these items is in the image there, and durable there. The stream's thread only. */
    void acknowledged(long writtenThere, long durableThere) {
        List<Through> through = new ArrayList<>();
        boolean ended;
        synchronized (this) {
            while (!asked.isEmpty() && asked.element().sequence() <= writtenThere) {
                asked.remove();
                compared++;
            }
            while (!unwritten.isEmpty() && unwritten.element().sequence() <= writtenThere) {
                unwrittenBytes -= unwritten.remove().bytes();
            }
            while (!undurable.isEmpty() && undurable.element().sequence() <= durableThere) {
                through.add(undurable.remove().through());
            }
            ended = durableThere >= endSequence && !done;
        }
        // Not under the lock: who pumps looks for items, and must not wait for marks.
        for (Through t : through) {
            if (t.compared() && !stopped) {
                marks.compared(t.first(), t.position());
                continue;
            }
            for (long i = 0; i < t.extents() && !stopped; i++) {
                marks.copied(i == 0 ? t.first() : Marked.all(t.first().extent() + i), t.position());
            }
        }
        marksSeen = durableThere;
        if (ended && marks.ended(endPosition)) {
            done = true;
        }
        LockSupport.unpark(thread);
    }

    // ---- progress

    CopyProgress progress() {
        return progress(marks.markedBytes());
    }

    private synchronized CopyProgress progress(long left) {
        totalBytes = Math.max(totalBytes, left);
        long now = System.nanoTime();
        double seconds = (now - rateFromNanos) / 1e9;
        if (seconds >= 1) {
            double measured = Math.max(0, rateFromMarked - left) / seconds;
            bytesPerSecond = bytesPerSecond == 0 ? measured : bytesPerSecond * 0.7 + measured * 0.3;
            rateFromNanos = now;
            rateFromMarked = left;
        }
        return new CopyProgress(
                endSequence != Long.MAX_VALUE ? Phase.ENDING : copying ? Phase.COPYING : Phase.PREPARING,
                totalBytes - left,
                totalBytes,
                (long) bytesPerSecond);
    }

    // ---- the copying thread

    private void run() {
        rate.copying(true);
        try {
            copyAll();
        } catch (IOException e) {
            if (!stopped) {
                replica.fail("the image cannot be read: " + e.getMessage());
            }
        } catch (RuntimeException | Error e) {
            LOG.error("the copy to {} is begun anew: our own bug", agent, e);
            failed = true;
            pump.run(); // the stream finds it out, and with it everything begins anew
        } finally {
            rate.copying(false);
        }
    }

    private void copyAll() throws IOException {
        // What was applied before a restart may be in the image already, and so may be what the replica has applied.
        while (!stopped && (!writer.serving() || replica.applied() < Math.max(appliedThere, writer.termEnd()))) {
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
        copying = true;
        long extent = 0;
        while (!stopped) {
            Marked next = marks.next(extent);
            if (next != null) {
                extent = copy(next);
            } else if (!allDurable()) {
                pause(WAIT_NANOS);
            } else if (marks.isEmpty()) {
                end();
                return;
            } else if (marks.isClosed()) {
                return;
            } else {
                extent = 0;
                pause(WAIT_NANOS);
            }
        }
    }

    /** Copies the marked blocks of an extent, or, if that begins a large hole, of many; returns the next extent to look at. */
    private long copy(Marked marked) throws IOException {
        long sizeBytes = replica.image().sizeBytes(); // it may grow meanwhile
        long start = marked.extent() * ExtentMap.EXTENT_BYTES;
        int length = (int) Math.min(ExtentMap.EXTENT_BYTES, sizeBytes - start);
        if (start >= marks.wholeFrom()) {
            waitForRoom();
            long[] at = {0};
            long hole = replica.holeForCopy(start, Math.min(MOST_ZEROES_BYTES, sizeBytes - start), at);
            long behind = start + hole == sizeBytes
                    ? (sizeBytes + ExtentMap.EXTENT_BYTES - 1) / ExtentMap.EXTENT_BYTES
                    : (start + hole) / ExtentMap.EXTENT_BYTES;
            if (behind > marked.extent()) {
                long end = Math.min(behind * ExtentMap.EXTENT_BYTES, sizeBytes);
                offer(
                        new CopyItem(++sequence, Kind.ZEROES, at[0], start, end - start, null),
                        new Through(marked, behind - marked.extent(), at[0], false));
                return behind;
            }
        }
        int blocks = (length + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES;
        boolean compare = start >= marks.wholeFrom() && comparesNow(marked.extent());
        long oldest = Long.MAX_VALUE;
        for (int block = marked.next(0, blocks); block < blocks && !stopped; ) {
            int behind = block + 1;
            while (behind < blocks
                    && marked.block(behind)
                    && (behind - block) * ExtentMap.BLOCK_BYTES < CopyItem.MAX_DATA_BYTES) {
                behind++;
            }
            int from = block * ExtentMap.BLOCK_BYTES;
            int to = Math.min(behind * ExtentMap.BLOCK_BYTES, length);
            block = marked.next(behind, blocks);
            long began = System.nanoTime();
            oldest = compare
                    ? compareBlocks(marked, start + from, to - from, oldest, block == blocks)
                    : copyBlocks(marked, start + from, to - from, oldest, block == blocks);
            // After each piece: a request that meets one waits for that and no more, however rarely they come.
            rest(System.nanoTime() - began);
        }
        return marked.extent() + 1;
    }

    /** Reads once, and sends what is zeros as such; returns the oldest position at which this extent was read. */
    private long copyBlocks(Marked marked, long offset, int length, long oldest, boolean last) throws IOException {
        waitForPermits(length);
        waitForRoom();
        ByteBuffer bytes = buffer().limit(length);
        if (stopped) {
            return oldest;
        }
        long position = replica.readForCopy(offset, bytes);
        long oldestNow = Math.min(oldest, position);
        for (int at = 0; at < length; ) {
            boolean zero = isZero(bytes, at, length);
            int end = at;
            while (end < length && isZero(bytes, end, length) == zero) {
                end = Math.min(length, end + ExtentMap.BLOCK_BYTES);
            }
            waitForRoomAlone();
            CopyItem item = zero
                    ? new CopyItem(++sequence, Kind.ZEROES, position, offset + at, end - at, null)
                    : new CopyItem(++sequence, Kind.DATA, position, offset + at, end - at, bytes.slice(at, end - at));
            offer(item, last && end == length ? new Through(marked, 1, oldestNow, false) : Through.NOTHING);
            at = end;
        }
        return oldestNow;
    }

    /** Comparing costs both sides a read: where most differs, only one extent in some is looked at. */
    private synchronized boolean comparesNow(long extent) {
        return compares && (compared < COMPARED_AT_FIRST || differing * 2 < compared || extent % COMPARED_OF == 0);
    }

    /** Sends digests instead of the blocks; those that differ are marked when the replica says which, and copied later. */
    private long compareBlocks(Marked marked, long offset, int length, long oldest, boolean last) throws IOException {
        waitForPermits(length); // though little of it travels: both disks are read
        waitForRoom();
        ByteBuffer bytes = buffer().limit(length);
        if (stopped) {
            return oldest;
        }
        long position = replica.readForCopy(offset, bytes);
        long oldestNow = Math.min(oldest, position);
        ByteBuffer digests = BlockDigests.of(bytes.flip());
        synchronized (this) {
            asked.add(new Asked(sequence + 1, offset, length, position));
        }
        offer(
                new CopyItem(++sequence, Kind.DIGESTS, position, offset, length, digests),
                last ? new Through(marked, 1, oldestNow, true) : Through.NOTHING);
        return oldestNow;
    }

    private static boolean isZero(ByteBuffer bytes, int at, int length) {
        int size = Math.min(ExtentMap.BLOCK_BYTES, length - at);
        return bytes.slice(at, size).mismatch(ZEROS.slice(0, size)) < 0;
    }

    private void end() {
        waitForRoom();
        long position = replica.applied();
        synchronized (this) {
            endSequence = sequence + 1;
            endPosition = position;
        }
        offer(new CopyItem(++sequence, Kind.END, position, 0, 0, null), Through.NOTHING);
    }

    private void offer(CopyItem item, Through through) {
        synchronized (this) {
            Sent s = new Sent(item.sequence(), item.weight(), through);
            ready.add(item);
            unwritten.add(s);
            undurable.add(s);
            unwrittenBytes += s.bytes();
        }
        horizonAtNanos = System.nanoTime();
        pump.run();
    }

    private synchronized boolean allDurable() {
        return undurable.isEmpty() && marksSeen >= sequence;
    }

    private synchronized boolean room() {
        return ready.size() < READY && unwrittenBytes < CopyItem.WINDOW_BYTES;
    }

    private void waitForRoom() {
        while (!stopped && !room()) {
            pause(WAIT_NANOS);
        }
    }

    /** Between items of one read: no newer position may be told before the last of them is on its way. */
    private void waitForRoomAlone() {
        while (!stopped && !room()) {
            LockSupport.parkNanos(this, WAIT_NANOS);
        }
    }

    private void waitForPermits(long bytes) {
        long nanos = rate.reserve(bytes);
        while (!stopped && nanos < 0) {
            pause(WAIT_NANOS);
            nanos = rate.reserve(bytes);
        }
        waitFor(nanos);
    }

    private void rest(long workNanos) {
        waitFor(rate.restNanos(workNanos, System.nanoTime()));
    }

    private void waitFor(long nanos) {
        long until = System.nanoTime() + nanos;
        for (long left = nanos; left > 0 && !stopped; left = until - System.nanoTime()) {
            pause(Math.min(left, HORIZON_NANOS));
        }
    }

    /** While no copy goes out, the replica has to hear how far it may apply. */
    private void pause(long nanos) {
        long now = System.nanoTime();
        if (now - horizonAtNanos > HORIZON_NANOS) {
            horizonAtNanos = now;
            synchronized (this) {
                if (ready.size() < READY) {
                    ready.add(new CopyItem(0, Kind.HORIZON, replica.applied(), 0, 0, null));
                }
            }
            pump.run();
        }
        LockSupport.parkNanos(this, nanos);
    }

    /** One that nobody looks at any more: between it and this one more items were made than may be ready. */
    private ByteBuffer buffer() {
        int i = nextBuffer;
        nextBuffer = (i + 1) % buffers.length;
        ByteBuffer b = buffers[i];
        if (b == null) {
            b = ByteBuffer.allocateDirect(CopyItem.MAX_DATA_BYTES);
            buffers[i] = b;
        }
        return b.clear();
    }
}
