package io.terminus.agent.volume;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import io.terminus.agent.image.Image;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * What a writer's stream brings besides journal bytes: blocks for an image that is a mixture, and digests for it or for one that is whole. Each
 * item is of a position, and is written to the image, or compared with it, when exactly that is applied. So items and records land in the
 * order of their positions, and {@link #limit} holds apply back for what may still come.
 *
 * <p>Items come from one thread, the link's reader. Everything that touches the image is done under the apply lock, which the caller has:
 * the apply thread, and whoever begins or ends a stream.
 */
final class IncomingCopies {

    /** The replica around it. Called with the apply lock, except where it says otherwise. */
    interface Base {
        /** The image has everything before it, and nothing of what lies behind, if it {@link #isWhole}. */
        long applied();

        boolean isWhole();

        /** What was written to the image before becomes durable. Also without the lock, while more is written. */
        void syncImage() throws IOException;

        /** The last block is there: the image is whole, which is noted durably. */
        void copied() throws IOException;

        /** More is durable, and there may be room for more to be written. Without the lock. */
        void progressed();

        /** The image cannot be synced. Without the lock. */
        void failed(IOException e);

        /** Without the lock. */
        void ourOwnBug(Throwable e);

        void compared(long sequence, long blocks);

        void doubted();
    }

    /** Copied bytes after which the image is synced, so that the writer may forget them; more are written meanwhile. */
    private static final long SYNC_BYTES = 32L << 20;

    /** But no more than these: the rest waits, and with it the writer. */
    static final long MOST_UNSYNCED_BYTES = 256L << 20;

    /** With no more copies coming, what there is gets synced after this time. */
    static final long SYNC_NANOS = 20_000_000;

    private final String volume;
    private final Image image;
    private final SuperblockFile superblock;
    private final ReentrantLock applyLock;
    private final Base base;

    /** Those that wait for their position, which it guards; bounded by the sender, see {@link CopyItem#WINDOW_BYTES}. */
    private final ArrayDeque<CopyItem> waiting = new ArrayDeque<>();

    @GuardedBy("waiting")
    private long waitingBytes;

    /** Nothing beyond this is applied: an item of that position may still come. MAX_VALUE: none will. */
    private volatile long limit = Long.MAX_VALUE;

    /** A whole replica is compared: apply stands where the writer said last. */
    private volatile boolean held;

    private volatile long written;
    private volatile long durable;

    /** Ever: what {@link #written} and {@link #durable} are in bytes, though streams begin anew. */
    private volatile long writtenBytes;

    private volatile long syncedBytes;
    private volatile boolean syncing;
    private volatile @Nullable Thread syncThread;

    // From here on under the apply lock.

    /**
     * Blocks of the image that the copy under way has brought, or found to be right: they are as new as what is applied. A bit for each
     * block, up to 8 TiB; what lies behind counts as missing. In memory only.
     */
    private final BitSet brought = new BitSet();

    /** How often the items were counted anew. */
    private long streams;

    private long writtenAtNanos;

    /** What is compared with digests is read into it. */
    private @Nullable ByteBuffer comparing;

    IncomingCopies(String volume, Image image, SuperblockFile superblock, ReentrantLock applyLock, Base base) {
        this.volume = volume;
        this.image = image;
        this.superblock = superblock;
        this.applyLock = applyLock;
        this.base = base;
    }

    // ---- streams

    /** A copy that was under way before a restart: nothing is applied until a writer says how far it copies. */
    void awaited(long applied) {
        limit = applied;
    }

    /** A copy begins, of an image that is a mixture from now on and was noted to be one. */
    void begin(long applied) {
        drop();
        brought.clear();
        held = false;
        limit = applied;
        countAnew();
    }

    /** A stream begins at a whole replica: its items are counted anew, and nothing is compared yet. */
    void streamBegins() {
        streamEnds();
        countAnew();
    }

    /** A sync that is under way says nothing of the new items. */
    private void countAnew() {
        streams++;
        written = 0;
        durable = 0;
    }

    /** The stream has ended, and with it a comparison, if there was one. What a copy brought will come again. */
    void streamEnds() {
        if (!isMixture()) {
            drop();
            held = false;
            limit = Long.MAX_VALUE;
        }
    }

    /** Whether {@link #streamEnds} changes anything. Any thread. */
    boolean holdsAnything() {
        return held || next() != null;
    }

    private void drop() {
        synchronized (waiting) {
            waiting.clear();
            waitingBytes = 0;
        }
    }

    /** Up to there may be applied, though no copy of that position is to come. */
    void allow(long position) {
        limit = Math.max(limit, position);
    }

    /** An item came in. Returns what is wrong with it, or null. */
    @Nullable
    String take(CopyItem item) {
        boolean mixture = isMixture();
        boolean expected = switch (item.kind()) {
            case HOLD -> !held && !mixture;
            case RELEASE -> held;
            case DATA, DIGESTS, HORIZON -> held || mixture;
            case ZEROES, END -> mixture;
        };
        if (!expected) {
            return item.kind() + ", but this replica is "
                    + (mixture ? "a mixture" : held ? "whole, and is compared" : "whole");
        }
        if (item.kind() != CopyItem.Kind.HOLD && item.position() < limit) {
            return "a copy of position " + item.position() + " behind one of " + limit;
        }
        if (item.kind() != CopyItem.Kind.HORIZON) {
            synchronized (waiting) {
                if (waitingBytes > 2 * CopyItem.WINDOW_BYTES) {
                    return "more than " + 2 * CopyItem.WINDOW_BYTES + " bytes of copies at once";
                }
                waiting.add(item);
                waitingBytes += item.weight();
            }
        }
        if (item.kind() != CopyItem.Kind.HOLD) {
            limit = item.position();
        }
        return null;
    }

    // ---- progress; any thread

    /** Up to this one they are in the image. */
    long written() {
        return written;
    }

    /** Up to this one they are in the image, and durable there. */
    long durable() {
        return durable;
    }

    /** How far may be applied of what might be up to {@code position}. */
    long limit(long position) {
        long may = Math.min(position, limit);
        CopyItem next = limit == Long.MAX_VALUE ? null : next();
        return next == null ? may : Math.min(may, next.position());
    }

    boolean isAnyWaiting() {
        return next() != null;
    }

    boolean isOneDue() {
        CopyItem next = next();
        return next != null && isDue(next);
    }

    private @Nullable CopyItem next() {
        synchronized (waiting) {
            return waiting.peek();
        }
    }

    /**
     * An image that is to stand still has to be the volume at some position first: nothing is applied from then on. One that is a mixture
     * anyway is not waited for: what a step left half done is applied anew behind the copy.
     */
    private boolean isDue(CopyItem item) {
        if (item.kind() == CopyItem.Kind.HOLD) {
            return base.isWhole();
        }
        return item.position() <= base.applied() && (held || isMixture()) && hasRoomFor(item);
    }

    /** The last one of a copy or comparison brings no bytes, and syncs by itself. */
    private boolean hasRoomFor(CopyItem item) {
        return isLast(item) || unsyncedBytes() < MOST_UNSYNCED_BYTES;
    }

    private static boolean isLast(CopyItem item) {
        return item.kind() == CopyItem.Kind.END || item.kind() == CopyItem.Kind.RELEASE;
    }

    private long unsyncedBytes() {
        return writtenBytes - syncedBytes;
    }

    private boolean isMixture() {
        return superblock.get().rebuild().underWay();
    }

    // ---- the image; with the apply lock

    /** Writes those of the position that is applied. Returns whether there were any. */
    boolean writeDue() throws IOException {
        boolean any = false;
        for (CopyItem next = next(); next != null && isDue(next); next = next()) {
            if (next.position() < base.applied() && next.kind() != CopyItem.Kind.HOLD) {
                throw new IllegalStateException("a copy of position " + next.position() + " at " + base.applied());
            }
            write(next);
            any = true;
            synchronized (waiting) {
                waiting.remove();
                waitingBytes -= next.weight();
            }
            written = next.sequence();
            writtenAtNanos = System.nanoTime();
            if (isLast(next)) {
                durable = written;
                syncedBytes = writtenBytes;
            } else if (isMixture() || next.kind() == CopyItem.Kind.DATA) {
                long bytes = writtenBytes + next.weight();
                writtenBytes = bytes;
            }
            if (unsyncedBytes() >= SYNC_BYTES) {
                beginSync();
            }
        }
        return any;
    }

    private void write(CopyItem item) throws IOException {
        switch (item.kind()) {
            case DATA -> {
                ByteBuffer bytes = item.bytes();
                if (bytes != null) {
                    image.write(bytes.duplicate(), item.offset());
                    brought(item.offset(), item.offset() + item.length());
                }
            }
            case ZEROES -> {
                image.zero(item.offset(), item.length(), true);
                brought(item.offset(), item.offset() + item.length());
            }
            case DIGESTS -> compare(item);
            case END -> {
                base.copied();
                limit = Long.MAX_VALUE;
            }
            case HORIZON -> {}
            case HOLD -> {
                limit = base.applied();
                held = true;
            }
            case RELEASE -> {
                if (unsyncedBytes() > 0) {
                    base.syncImage(); // what was mended, before anybody says that it is; also behind a sync under way
                }
                boolean all = item.offset() == 1;
                long left = all
                        ? item.length()
                        : Math.max(item.length(), superblock.get().doubt().blocks());
                doubt(left == 0 ? Superblock.Doubt.NONE : new Superblock.Doubt(left, base.applied()));
                held = false;
                limit = Long.MAX_VALUE;
            }
        }
    }

    private void doubt(Superblock.Doubt now) throws IOException {
        if (!now.equals(superblock.get().doubt())) {
            superblock.update(s -> s.with(now));
            base.doubted();
        }
    }

    private void compare(CopyItem item) throws IOException {
        ByteBuffer digests = item.bytes();
        if (digests == null) {
            return;
        }
        ByteBuffer here = comparing;
        if (here == null) {
            here = ByteBuffer.allocateDirect(CopyItem.MAX_DATA_BYTES);
            comparing = here;
        }
        image.read(item.offset(), here.clear().limit((int) item.length()));
        long blocks = BlockDigests.differing(digests, BlockDigests.of(here.flip()));
        for (long at = item.offset(), bit = 1; at < item.offset() + item.length(); at += ExtentMap.BLOCK_BYTES) {
            if ((blocks & bit) == 0) {
                brought(at, Math.min(at + ExtentMap.BLOCK_BYTES, item.offset() + item.length()));
            }
            bit <<= 1;
        }
        if (blocks != 0) {
            if (held && superblock.get().doubt().blocks() == 0) {
                // Whatever becomes of the comparison.
                doubt(new Superblock.Doubt(Long.bitCount(blocks), base.applied()));
            }
            base.compared(item.sequence(), blocks);
        }
    }

    /** Whole blocks only; the volume's last one may be shorter. */
    private void brought(long from, long to) {
        if (isMixture()) {
            long first = (from + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES;
            long behind = to == image.sizeBytes()
                    ? (to + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES
                    : to / ExtentMap.BLOCK_BYTES;
            if (first < behind && behind <= Integer.MAX_VALUE) {
                brought.set((int) first, (int) behind);
            }
        }
    }

    /** Whether the image has all blocks of a range, which is not empty: always, if it is no mixture. */
    boolean has(long offset, int length) {
        if (!isMixture()) {
            return true;
        }
        long first = offset / ExtentMap.BLOCK_BYTES;
        long last = (offset + length - 1) / ExtentMap.BLOCK_BYTES;
        return last < Integer.MAX_VALUE && brought.nextClearBit((int) first) > last;
    }

    /** How long what is written may rest until it is to be synced, if nothing more comes; MAX_VALUE: there is nothing to sync. */
    long syncInNanos(long nowNanos) {
        return unsyncedBytes() > 0 && !syncing ? Math.max(0, writtenAtNanos + SYNC_NANOS - nowNanos) : Long.MAX_VALUE;
    }

    /** Has what is written synced, unless a sync is under way. Apply's thread, which goes on meanwhile. */
    void beginSync() {
        if (syncing) {
            return;
        }
        long upTo = written;
        long upToBytes = writtenBytes;
        long stream = streams;
        syncing = true;
        syncThread =
                Thread.ofPlatform().name("copy-sync-" + volume).daemon().start(() -> sync(upTo, upToBytes, stream));
    }

    /** What was written up to then, and no more: whatever is written since may be on the disk or not. */
    private void sync(long upTo, long upToBytes, long stream) {
        try {
            base.syncImage();
            applyLock.lock();
            try {
                syncedBytes = Math.max(syncedBytes, upToBytes);
                if (stream == streams) {
                    durable = Math.max(durable, upTo);
                }
            } finally {
                applyLock.unlock();
            }
        } catch (IOException e) {
            base.failed(e);
        } catch (RuntimeException | Error e) {
            base.ourOwnBug(e);
        } finally {
            syncing = false;
            base.progressed();
        }
    }

    /** Returns when no sync is under way; the caller begins no more. */
    void awaitSync() throws InterruptedException {
        Thread last = syncThread;
        if (last != null) {
            last.join();
        }
    }
}
