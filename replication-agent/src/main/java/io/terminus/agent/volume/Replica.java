package io.terminus.agent.volume;

import io.terminus.agent.image.Image;
import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.JournalNoSpaceException;
import io.terminus.agent.journal.Lineage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One copy of a volume on this agent's disk: superblock, journal, image, and the two threads that move records from the
 * one to the other. Its parts are {@link ReplicaFiles}, {@link SuperblockFile}, {@link JournalSyncs}, {@link CommittedReads}, {@link
 * IncomingCopies}, {@link Checkpoints}, {@link AppliedImage},
 * {@link Applier}; here is what they are to each other.
 *
 * <p>The write-ahead rule, on every replica, the writer's own included: the image is written only from records that are
 * <em>committed</em> (so an ordinary failover cuts journals and never images) and <em>durable</em> in this journal (so
 * power loss cannot leave the image ahead of it). {@code sync} makes durable what was published, {@code apply} writes the image behind it,
 * the writes of a step together. Acknowledgements wait for neither unless the ack level says so.
 *
 * <p>Checkpoint, in this order: sample the applied prefix, sync the image, write the superblock that names the prefix;
 * only then may the segments before it be reused. The sync may take long, so apply goes on meanwhile.
 *
 * <p>A failed fdatasync or image write is final: the kernel may have dropped the dirty pages and call the next sync
 * good. The replica says so in its superblock and stops. A full disk is not final: apply waits for space.
 */
final class Replica implements AutoCloseable {

    /** What happens on the replica's threads. Called from them: be quick. */
    interface Observer {
        /** More of the journal is durable. */
        void synced();

        /** More of the image is written. */
        void applied();

        /** These blocks of a copy's item of digests differ here; told before the item counts as written. */
        default void compared(long sequence, long blocks) {}

        /** The image was found to differ from the writer's, or not to any more. */
        default void doubted() {}

        void failed(String why);
    }

    private static final Logger LOG = LoggerFactory.getLogger(Replica.class);

    private final Path dir;
    private final Journal journal;
    private final Image image;
    private final AppliedImage applied;
    private final ImageSpace space;
    private final CommittedReads reads;
    private final RescuedTails rescued;
    private final DirtyMarks marks;
    private final VolumeMeasures measures = new VolumeMeasures();
    private final String volume;
    private final int segmentBytes;
    private final long budgetBytes;

    private final IncomingCopies copies;
    private final CheckpointPace pace;
    private final Checkpoints checkpoints;
    private final JournalSyncs syncs;
    private final SuperblockFile superblock;
    private final Applier applier;

    private volatile Observer observer = new Observer() {
        @Override
        public void synced() {}

        @Override
        public void applied() {}

        @Override
        public void failed(String why) {}
    };
    private volatile long committed;
    private volatile long retainFrom;
    private volatile boolean closing;
    private final AtomicBoolean failed = new AtomicBoolean();

    /** Makes the files of a new, empty replica, in a directory of its own. */
    static void create(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        ReplicaFiles.create(dir, config, journalSegments, self, ReplicaFiles.first(bootId));
    }

    /** The same in the place of one that was thrown away: under a name that no set knows, and vouching for nothing. */
    static void createAnew(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        ReplicaFiles.create(dir, config, journalSegments, self, ReplicaFiles.anew(bootId));
    }

    /**
     * Opens the replica in {@code dir}: replays nothing yet, decides nothing about the tail.
     *
     * @throws DiskFullException nothing is open, and it may be tried again
     */
    static Replica open(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        return open(dir, config, journalSegments, self, bootId, Image::open);
    }

    /** Opens an image of a volume's size. */
    interface Images {
        Image open(Path file, long sizeBytes) throws IOException;
    }

    static Replica open(Path dir, VolumeConfig config, int journalSegments, String self, String bootId, Images images)
            throws IOException {
        try {
            ReplicaFiles.Opened files = ReplicaFiles.open(dir, config, journalSegments, self, bootId);
            try {
                Image image = images.open(dir.resolve(ReplicaFiles.IMAGE), config.sizeBytes());
                Replica replica = new Replica(dir, config, journalSegments, files, image);
                replica.superblock.keepReserve();
                return replica;
            } catch (IOException | RuntimeException e) {
                files.journal().close();
                throw e;
            }
        } catch (IOException e) {
            throw e instanceof DiskFullException || !SuperblockFile.isFull(e, dir) ? e : new DiskFullException(e);
        }
    }

    private Replica(Path dir, VolumeConfig config, int journalSegments, ReplicaFiles.Opened files, Image image) {
        Superblock found = files.superblock();
        this.dir = dir;
        this.volume = config.name();
        this.segmentBytes = config.segmentBytes();
        this.budgetBytes = (long) journalSegments * segmentBytes;
        this.superblock = new SuperblockFile(dir, found);
        this.journal = files.journal();
        this.image = image;
        long checkpoint = found.checkpoint().position();
        this.reads = new CommittedReads(journal, image);
        this.applied = new AppliedImage(image, journal, reads, measures, files.reach(), checkpoint);
        this.rescued = new RescuedTails(dir, journal);
        this.space = new ImageSpace(image::secure, this::giveBackSpace, System::nanoTime);
        this.marks = new DirtyMarks(dir.resolve(ReplicaFiles.MARKS_DIR), config.name(), config.sizeBytes(), journal);
        this.copies = new IncomingCopies(volume, image, superblock, applied.lock(), new CopiesBase());
        this.syncs = new JournalSyncs(volume, journal, measures, new SyncEvents());
        this.pace = new CheckpointPace(budgetBytes, () -> dir.toFile().getUsableSpace());
        this.checkpoints = new Checkpoints(volume, pace, applied.lock(), checkpoint, new CheckpointBase());
        // Until a writer, here or elsewhere, knows what the others have, nothing is given up.
        this.retainFrom = journal.oldest();
        if (found.rebuild().underWay()) {
            copies.awaited(checkpoint);
        }
        long known = Math.max(found.checkpoint().committed(), journal.recovery().committed());
        this.committed = Math.max(checkpoint, Math.min(known, journal.end()));
        this.applier = new Applier(volume, journal, applied, copies, checkpoints, new ApplierBase());
        journal.beforeUse(this::journalReaches);
    }

    void start(Observer events) {
        observer = events;
        if (superblock().life().failed().isEmpty()) {
            syncs.start();
            applier.start();
            marks.start(checkpoints::position, () -> retainFrom, this::releaseSegments);
        }
    }

    // ---- what it is made of, and how far it is

    Path imagePath() {
        return dir.resolve(ReplicaFiles.IMAGE);
    }

    Journal journal() {
        return journal;
    }

    Image image() {
        return image;
    }

    ImageSpace space() {
        return space;
    }

    DirtyMarks marks() {
        return marks;
    }

    /** The volume's name. */
    String volume() {
        return volume;
    }

    VolumeMeasures measures() {
        return measures;
    }

    Superblock superblock() {
        return superblock.get();
    }

    /** Changes the superblock, durably, before it returns. */
    void update(UnaryOperator<Superblock> change) throws IOException {
        superblock.update(change);
    }

    /** The image is a mixture of positions, which only copies can make whole. */
    boolean rebuilding() {
        return superblock().rebuild().underWay();
    }

    /** The volume has grown, by its value block, which the superblock holds already. */
    void grow(long sizeBytes) throws IOException {
        if (sizeBytes > image.sizeBytes()) {
            image.grow(sizeBytes);
            marks.grow(sizeBytes);
        }
    }

    /** Blocks of the image that the last comparison found to differ from the writer's, and left so. */
    long differingBlocks() {
        return superblock().doubt().blocks();
    }

    /** The image may hold writes of records up to here. */
    long imageReach() {
        return applied.mayHoldTo();
    }

    /** Journal bytes this replica may hold at most. */
    long budgetBytes() {
        return budgetBytes;
    }

    /** What a writer is told of the journal here: as its checkpoints are taken by that, a journal on a tight disk counts as small. */
    long roomyBytes() {
        return pace.journalBytes(System.nanoTime());
    }

    long committed() {
        return committed;
    }

    long applied() {
        return applied.applied();
    }

    long checkpoint() {
        return checkpoints.position();
    }

    /** What apply waits for, in words, or null. */
    @Nullable
    String waitingFor() {
        return applier.waitingFor();
    }

    // ---- journal progress

    /** Bytes were published: they will be synced, by and by. Any thread; cheap. */
    void published() {
        syncs.published();
    }

    /** Returns when everything published is durable. */
    void syncNow() throws JournalException {
        journal.sync();
        applier.wake(); // it hears of syncs from the sync thread only, which may find nothing left to do
    }

    /** See {@link JournalSyncs#syncHere}. */
    void syncHere(long position) {
        syncs.syncHere(position);
    }

    /** Somebody waits until this position is durable. */
    void requestSync(long position) {
        syncs.request(position);
    }

    /** Everything before this position is committed. One caller at a time. */
    void commit(long position) {
        if (position <= committed) {
            return;
        }
        committed = position;
        // Not for every write: most are not durable yet, and the sync thread wakes the applier when they are.
        applier.wakeIfApplicable();
    }

    private final class SyncEvents implements JournalSyncs.Events {
        @Override
        public void synced() {
            observer.synced();
        }

        @Override
        public void mayApply() {
            applier.wakeIfApplicable();
        }

        @Override
        public boolean isOver() {
            return closing || failed.get();
        }

        @Override
        public void failed(IOException e) {
            fail("fdatasync of the journal failed: " + e.getMessage());
        }

        @Override
        public void ourOwnBug(Throwable e) {
            Replica.this.ourOwnBug(e);
        }
    }

    // ---- reads

    /** From now on {@link #read} is asked: what is committed and not applied is shown. The journal here is the volume's. */
    long serveReads() {
        applied.lock().lock();
        try {
            applied.nothingIsBehind(journal.end());
            return reads.begin(applied.applied());
        } finally {
            applied.lock().unlock();
        }
    }

    /** @param begun what {@link #serveReads} said: if others began since, they go on */
    void stopReads(long begun) {
        reads.end(begun);
    }

    /** The committed state at {@code offset}. */
    void read(long offset, ByteBuffer into) throws IOException {
        reads.read(offset, into, committed);
    }

    /** See {@link CommittedReads#allocation}. */
    void allocation(long offset, long length, AllocationVisitor visitor) throws IOException {
        reads.allocation(offset, length, committed, visitor);
    }

    /** See {@link AppliedImage#readCommitted}. */
    long readCommitted(long offset, ByteBuffer into) throws IOException {
        return applied.readCommitted(offset, into, () -> committed);
    }

    /** See {@link AppliedImage#readIfHeld}. */
    boolean readIfHeld(long offset, ByteBuffer into, long atLeast) throws IOException {
        return applied.readIfHeld(offset, into, atLeast, copies);
    }

    /** See {@link AppliedImage#read}. */
    long readForCopy(long offset, ByteBuffer into) throws IOException {
        return applied.read(offset, into);
    }

    /** See {@link AppliedImage#hole}. */
    long holeForCopy(long offset, long limit, long[] at) throws IOException {
        return applied.hole(offset, limit, at);
    }

    // ---- cutting

    /**
     * Cuts the journal back to {@code position}, which lies at or after everything applied; what goes is kept in a file.
     *
     * @return the file, or null if nothing had to go
     */
    @Nullable
    Path cut(long position) throws IOException {
        applied.lock().lock(); // a record that is being applied may lie behind the position
        try {
            if (position < applied.applied()) {
                throw new IllegalStateException("journal to be cut at " + position
                        + ", but the image has everything before " + applied.applied());
            }
            boolean published = position < journal.end();
            RescuedTails.Cut cut = rescued.cut(position);
            committed = Math.min(committed, position);
            return cut.savedBytes() > 0 && published ? cut.file() : null;
        } finally {
            applied.lock().unlock();
        }
    }

    // ---- copies

    /**
     * Notes, durably, that the image is to become a mixture, before the first copy lands; then the journal starts over at
     * {@code at}. What it holds behind {@code common}, and the volume does not, is kept in a file.
     */
    void startOver(String copy, long since, long common, long at, Lineage there) throws IOException {
        applied.lock().lock();
        try {
            applied.sync(); // what was applied is in no journal any more
            long own = Math.max(common, journal.oldest());
            if (own < journal.end()) {
                rescued.cut(own);
            }
            Lineage begin = there.upTo(at);
            update(s -> s.with(new Superblock.Checkpoint(at, at, begin, at))
                    .with(new Superblock.Rebuild(copy, since, true))
                    .with(since < 0 ? Superblock.Doubt.NONE : s.doubt()));
            journal.reset(at, begin, Image::empty);
            checkpoints.startsOver(at);
            applied.startsOver(at);
            committed = at;
            retainFrom = at;
            copies.begin(at);
            update(s -> s.with(new Superblock.Rebuild(copy, since, false)).reaching(journal.readyEnd()));
        } finally {
            applied.lock().unlock();
        }
        try {
            marks.forgetAll();
        } catch (IOException e) {
            throw SuperblockFile.isFull(e, dir) ? new DiskFullException(e) : e;
        }
    }

    /**
     * The same, but the journal goes on where it is.
     *
     * @param end as {@link #streamBegins} is told
     */
    void goOn(String copy, long since, long end) throws IOException {
        applied.lock().lock();
        try {
            update(s -> {
                Superblock going = s.with(new Superblock.Rebuild(copy, since, false));
                // What was told of a journal that is gone was not taken back, if the disk was full then.
                return s.rebuild().journalGoes() ? going.reaching(journal.readyEnd()) : going;
            });
            applied.nothingIsBehind(end);
            copies.begin(applied.applied());
        } finally {
            applied.lock().unlock();
        }
    }

    /** Applies what is left of a history that is known to be the volume's, up to there, before it can be given up. */
    void applyAllTo(long position) {
        copies.allow(position);
        commit(position);
        requestSync(position);
        applier.wakeIfIdle();
    }

    /**
     * A stream begins at a whole replica: its items are counted anew, and nothing is compared yet.
     *
     * @param end of the writer's journal, which has everything that was committed before
     */
    void streamBegins(long end) {
        applied.lock().lock(); // an item of the stream before may be at work
        try {
            applied.nothingIsBehind(end);
            copies.streamBegins();
        } finally {
            applied.lock().unlock();
        }
    }

    /** The stream has ended, and with it a comparison, if there was one: apply goes on. */
    void streamEnds() {
        if (!copies.holdsAnything()) {
            return;
        }
        applied.lock().lock();
        try {
            copies.streamEnds();
        } finally {
            applied.lock().unlock();
        }
        applier.wake();
    }

    /** A copy came in; it is written at its position. Returns what is wrong with it, or null. */
    @Nullable
    String takeCopy(CopyItem item) {
        String wrong = copies.take(item);
        if (wrong == null) {
            if (item.position() > journal.durable()) {
                requestSync(Math.min(item.position(), journal.end()));
            }
            applier.wakeIfIdle();
        }
        return wrong;
    }

    /** Copies up to this one are in the image. */
    long copiesWritten() {
        return copies.written();
    }

    /** Copies up to this one are in the image, and durable there. */
    long copiesDurable() {
        return copies.durable();
    }

    private final class CopiesBase implements IncomingCopies.Base {
        @Override
        public long applied() {
            return applied.applied();
        }

        @Override
        public boolean isWhole() {
            return applied.isWhole();
        }

        @Override
        public void syncImage() throws IOException {
            applied.sync();
        }

        @Override
        public void copied() throws IOException {
            // Copies of zeros may have punched space away that was secured for records behind them.
            Inbound.secure(Replica.this, applied(), journal.end());
            checkpointNow(s -> s.with(Superblock.Rebuild.NONE));
        }

        @Override
        public void progressed() {
            observer.applied();
            applier.wake();
        }

        @Override
        public void failed(IOException e) {
            imageFailed(e);
        }

        @Override
        public void ourOwnBug(Throwable e) {
            Replica.this.ourOwnBug(e);
        }

        @Override
        public void compared(long sequence, long blocks) {
            observer.compared(sequence, blocks);
        }

        @Override
        public void doubted() {
            observer.doubted();
        }
    }

    private final class ApplierBase implements Applier.Base {
        @Override
        public long committed() {
            return committed;
        }

        @Override
        public void secureAgain() throws IOException {
            try {
                Inbound.secure(Replica.this, Replica.this.applied(), journal.end());
            } catch (NoSpaceException e) {
                LOG.debug("space that a hole gave back is gone: {}", e.getMessage()); // the write will wait for it
            }
        }

        @Override
        public void applied() {
            observer.applied();
        }

        @Override
        public void giveBackSpace() {
            Replica.this.giveBackSpace();
        }

        @Override
        public boolean isOver() {
            return closing || failed.get();
        }

        @Override
        public void imageFailed(IOException e) {
            Replica.this.imageFailed(e);
        }

        @Override
        public void ourOwnBug(Throwable e) {
            Replica.this.ourOwnBug(e);
        }
    }

    // ---- checkpoints, and the space behind them

    /** Much was applied since, and the last one was not taken just now. */
    boolean checkpointIsOld() {
        return checkpoints.isOld();
    }

    /** One is taken soon: whoever starts from it will have less to follow. */
    void wantCheckpoint() {
        checkpoints.want();
        applier.wake();
    }

    /** To be called now and then, by one thread: what has come to rest is put away, so that a start has nothing to replay. */
    void rest(long nowNanos) {
        if (checkpoints.rests(nowNanos)) {
            wantCheckpoint();
        }
    }

    /** With the apply lock, or when nothing is applied any more. */
    private void checkpointNow(UnaryOperator<Superblock> change) throws IOException {
        long at = applied();
        applied.sync();
        note(at, change);
    }

    /** The image has everything before that position, durably. */
    private void note(long position, UnaryOperator<Superblock> change) throws IOException {
        Lineage there = journal.lineage().upTo(position);
        long kept = marks.releasable(Math.max(journal.oldest(), Math.min(position, retainFrom)));
        update(s ->
                change.apply(s.with(new Superblock.Checkpoint(position, kept, there, Math.max(position, committed)))));
        checkpoints.noted(position);
        marks.wake();
        releaseSegments();
    }

    private final class CheckpointBase implements Checkpoints.Base {
        @Override
        public long applied() {
            return applied.applied();
        }

        @Override
        public void syncImage() throws IOException {
            applied.sync();
        }

        @Override
        public void note(long position) throws IOException {
            Replica.this.note(position, UnaryOperator.identity());
        }

        @Override
        public void waitsForSpace(DiskFullException e) {
            applier.waitsForSpace(e);
        }

        @Override
        public void failed(IOException e) {
            imageFailed(e);
        }

        @Override
        public void ourOwnBug(Throwable e) {
            Replica.this.ourOwnBug(e);
        }

        @Override
        public void ended() {
            applier.wake();
        }
    }

    /** Segments from this position on are kept for peers. */
    void retain(long from) {
        retainFrom = from;
        // Not only with the next checkpoint: a journal without room gets no records, and without those there is none.
        if (Math.min(checkpoint(), from) - journal.oldest() >= segmentBytes) {
            releaseSegments();
        }
    }

    /** Gives back what neither this replica nor a peer needs any more. */
    void releaseSegments() {
        marks.release(Math.max(journal.oldest(), Math.min(checkpoint(), retainFrom)));
    }

    /** Before a segment is used: if its file is gone at the next start, that is damage, and not the end of the journal. */
    private void journalReaches(long position) throws IOException {
        try {
            update(s -> s.reaching(Math.max(s.reach(), position)));
        } catch (DiskFullException e) {
            throw new JournalNoSpaceException("no space to note that there is another segment: " + e.getMessage(), e);
        }
    }

    /**
     * Takes files off the disk that the journal does not need, and has a checkpoint taken, behind which it needs less. Returns whether there
     * may be more to give back then.
     */
    boolean giveBackSpace() {
        wantCheckpoint();
        releaseSegments();
        try {
            return journal.giveBack(Image::empty);
        } catch (IOException e) {
            LOG.warn("replica in {}: the journal gives no space back: {}", dir, e.getMessage());
            return false;
        }
    }

    /**
     * Makes room behind {@code end}, if the journal is full of history: a writer that was killed had kept it for those who were away, and
     * nothing more could be appended, not even its next term. Whoever needs what goes is copied to.
     */
    void makeRoom(long end) {
        long mustGo = Math.max(0, end - (budgetBytes - 2L * segmentBytes)) / segmentBytes * segmentBytes;
        retain(Math.max(retainFrom, mustGo));
        releaseSegments();
    }

    // ---- the end

    private void imageFailed(IOException e) {
        fail("writing the image failed: " + e.getMessage());
    }

    /** A stopped replica is better than a wrong one. */
    private void ourOwnBug(Throwable e) {
        LOG.error("replica in {}: our own bug", dir, e);
        fail("internal error: " + e);
    }

    /** Stops for good. The first reason is the one that is kept: what goes wrong behind it follows from it. */
    void fail(String why) {
        LOG.error("replica in {} stops for good: {}", dir, why);
        if (failed.getAndSet(true)) {
            return;
        }
        try {
            update(s -> s.failedBecause(why));
        } catch (IOException e) {
            LOG.error("the superblock in {} cannot be marked failed: {}", dir, e.getMessage());
        } finally {
            try {
                observer.failed(why); // whatever else goes wrong: nobody is to be served out of it
            } finally {
                applied.fail(); // last: whoever has the apply lock may be stuck in a disk that hangs
            }
        }
    }

    /** Applies what may be applied, takes a checkpoint, and closes. Whoever is interrupted meanwhile is so afterwards. */
    @Override
    public void close() {
        closing = true;
        applied.close();
        boolean interrupted = endThreads();
        try {
            if (superblock().life().failed().isEmpty()) {
                journal.sync();
                applier.applyAll();
                checkpointNow(UnaryOperator.identity());
                // Else what the image is ahead of is to be found by the next start, as after a kill.
                if (imageReach() == applied()) {
                    update(Superblock::closedCleanly);
                }
            }
        } catch (IOException e) {
            LOG.warn("replica in {}: not closed in good order, the next start replays: {}", dir, e.getMessage());
        } finally {
            marks.close();
            try {
                journal.close();
                image.close();
            } catch (IOException e) {
                LOG.warn("replica in {}: {}", dir, e.getMessage());
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /**
     * Returns when they have ended: one that went on over closed files would take that for a failure of the disk, which is final. An
     * interrupt waits, too, for it would close files that are written.
     *
     * @return whether there was one
     */
    private boolean endThreads() {
        boolean interrupted = Thread.interrupted();
        while (true) {
            try {
                syncs.close();
                applier.close();
                copies.awaitSync();
                checkpoints.await();
                return interrupted;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
    }
}
