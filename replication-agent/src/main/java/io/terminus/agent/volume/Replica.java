package io.terminus.agent.volume;

import io.terminus.agent.image.GatheredWrites;
import io.terminus.agent.image.Image;
import io.terminus.agent.image.NoSpaceException;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalClosedException;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.JournalNoSpaceException;
import io.terminus.agent.journal.JournalSpec;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.journal.Recovery;
import io.terminus.agent.volume.AllocationVisitor.Holds;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One copy of a volume on this agent's disk: superblock, journal, image, and the two threads that move records from the
 * one to the other.
 *
 * <p>The write-ahead rule, on every replica, the writer's own included: the image is written only from records that are
 * <em>committed</em> (so an ordinary failover cuts journals and never images) and <em>durable</em> in this journal (so
 * power loss cannot leave the image ahead of it). {@code sync} fdatasyncs what was published, at once when somebody waits
 * for it (unless that somebody does it, see {@link #syncHere}) and every {@link #SYNC_PACE_NANOS} otherwise; {@code apply}
 * writes the image behind it, the writes of a step together. Acknowledgements wait for neither unless the ack level says so.
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

    /** How long published bytes may stay unsynced when nobody waits for them. */
    private static final long SYNC_PACE_NANOS = 50_000_000;

    /** A sync that takes longer is left to its own thread: a peer's reader, or a client's, is to be heard meanwhile. */
    private static final long QUICK_SYNC_NANOS = 20_000_000;

    private static final long OLD_CHECKPOINT_BYTES = 64L << 20;
    private static final long OLD_CHECKPOINT_NANOS = 5_000_000_000L;

    /** A volume that nobody writes to for so long gets a checkpoint. */
    private static final long REST_NANOS = 10_000_000_000L;

    /** Apply in steps of this many journal bytes, so that progress is seen; writes of one step reach the image together. */
    private static final long APPLY_STEP_BYTES = 8L << 20;

    /** Less than this is not applied at once, if the last step was not so long ago. */
    private static final long GATHER_BYTES = 1L << 20;

    private static final long GATHER_NANOS = 10_000_000;

    /** Records not applied yet that one question about a range looks at. */
    private static final int MOST_SHOWN = 4096;

    private static final long NO_SPACE_RETRY_NANOS = 500_000_000;

    /** Copied bytes after which the image is synced, so that the writer may forget them. */
    private static final long COPY_SYNC_BYTES = 32L << 20;

    /** With no more copies coming, what there is gets synced after this time. */
    private static final long COPY_SYNC_NANOS = 20_000_000;

    static final String IMAGE_FILE = "image.raw";
    private static final String JOURNAL_DIR = "journal";
    private static final String RESCUED_DIR = "rescued";
    private static final String MARKS_DIR = "marks";

    /** Held back on the disk, so that a full one stops no fence and no checkpoint: the superblock is written beside first. */
    private static final String RESERVE_FILE = "reserve";

    private static final int RESERVE_BYTES = 64 << 10;

    /** The disk is full to the last page, the reserve included. Not final. */
    static final class DiskFullException extends IOException {
        DiskFullException(IOException cause) {
            super(cause.getMessage(), cause);
        }
    }

    private final Path dir;
    private final Journal journal;
    private final Image image;
    private final ImageSpace space;
    private final Overlay overlay;
    private final DirtyMarks marks;
    private final VolumeMeasures measures = new VolumeMeasures();
    private final String volume;
    private final int segmentBytes;
    private final long budgetBytes;

    /**
     * The image may hold writes up to here, though a restart takes it for applied up to the checkpoint only: what it is
     * ahead of, it is given again. Unless that is given up elsewhere.
     */
    private volatile long imageReach;

    /** Copies that came in and wait for their position; bounded by the sender, see {@link CopyItem#WINDOW_BYTES}. */
    private final ArrayDeque<CopyItem> copies = new ArrayDeque<>();

    private long copiesHeldBytes;

    /**
     * Blocks of the image that the copy under way has brought, or found to be right: they are as new as what is applied. A bit for each
     * block, up to 8 TiB; what lies behind counts as missing. In memory only. Under the apply lock.
     */
    private final BitSet brought = new BitSet();

    /** While a copy is under way nothing beyond this is applied: a copy of that position may still come. */
    private volatile long applyLimit = Long.MAX_VALUE;

    /** A whole replica is compared: apply stands where the writer said last. Changed under the apply lock. */
    private volatile boolean held;

    private volatile long copiesWritten;
    private volatile long copiesDurable;
    private long copiesUnsyncedBytes;

    /** The applier's: what is compared with digests is read into it. */
    private @Nullable ByteBuffer comparing;

    private long copyWrittenAtNanos;

    private final CheckpointPace pace;
    private final Thread syncer;
    private final Thread applier;

    /** Held while records go into the image and out of the overlay: the overlay is filled for the first time between. */
    private final ReentrantLock applyLock = new ReentrantLock();

    private final Condition imageWhole = applyLock.newCondition();

    /**
     * A step of apply failed for want of space: of what follows the applied prefix the image may have any part, until the step succeeds.
     * Under the apply lock.
     */
    private boolean imageTorn;

    /** The applier's. */
    private final GatheredWrites gathered;

    /** How often the journal has started over; under the apply lock. A checkpoint under way must be of the same history. */
    private long histories;

    private volatile boolean checkpointing;
    private volatile boolean checkpointWanted;
    private volatile long checkpointAtNanos = System.nanoTime() - OLD_CHECKPOINT_NANOS;
    private long restingAt;
    private long restingSinceNanos;
    private volatile @Nullable Thread checkpointer;

    /** In the step of apply that is under way. */
    private long payloadApplied;

    private long appliedAtNanos = System.nanoTime() - GATHER_NANOS;

    private Superblock superblock;
    private volatile Observer observer = new Observer() {
        @Override
        public void synced() {}

        @Override
        public void applied() {}

        @Override
        public void failed(String why) {}
    };
    private volatile long committed;
    private volatile long applied;
    private volatile long checkpoint;
    private volatile long syncDemand;
    private final ReentrantLock syncTurn = new ReentrantLock();
    private volatile long lastSyncNanos;
    private volatile long retainFrom;
    private volatile boolean syncerIdle;
    private volatile boolean applierIdle;
    private volatile boolean closing;
    private volatile boolean failed;
    private volatile @Nullable String waitingFor;

    /** Makes the files of a new, empty replica. What an unfinished creation left behind is replaced. */
    static void create(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        create(dir, config, journalSegments, self, new Superblock.Life(bootId, bootId, true, false, false, ""));
    }

    /** The same in the place of one that was thrown away: under a name that no set knows, and vouching for nothing. */
    static void createAnew(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        String incarnation = bootId + "/" + UUID.randomUUID();
        create(dir, config, journalSegments, self, new Superblock.Life(bootId, incarnation, true, true, true, ""));
    }

    private static void create(Path dir, VolumeConfig config, int journalSegments, String self, Superblock.Life life)
            throws IOException {
        Files.createDirectories(dir);
        long reach;
        try (Journal made = Journal.create(dir.resolve(JOURNAL_DIR), spec(config, journalSegments, self), 0);
                Image image = Image.open(dir.resolve(IMAGE_FILE), config.sizeBytes())) {
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

    /** Opens the replica in {@code dir}: replays nothing yet, decides nothing about the tail. */
    static Replica open(Path dir, VolumeConfig config, int journalSegments, String self, String bootId)
            throws IOException {
        Superblock superblock = Superblock.read(dir);
        Superblock.Checkpoint from = superblock.checkpoint();
        long reach = superblock.rebuild().journalGoes() ? 0 : superblock.reach();
        List<Long> missing = Journal.mend(dir.resolve(JOURNAL_DIR), config.segmentBytes(), from.position(), reach);
        Journal journal = Journal.open(
                dir.resolve(JOURNAL_DIR),
                spec(config, journalSegments, self),
                from.oldest(),
                from.position(),
                from.lineage(),
                Math.max(from.position(), from.committed()));
        boolean damaged = false;
        for (long position : missing) {
            LOG.error(
                    "volume {}: of the file of the journal's segment {} everything from position {} on was gone",
                    config.name(),
                    position / config.segmentBytes(),
                    position);
            damaged |= journal.mayHaveReached(position);
        }
        switch (journal.recovery().verdict()) {
            case Recovery.Clean clean -> {}
            case Recovery.TornTail torn ->
                LOG.info(
                        "volume {}: the journal ends at {}; what was begun behind it was not acknowledged alone",
                        config.name(),
                        torn.at());
            case Recovery.Corrupt corrupt -> {
                LOG.error(
                        "volume {}: the journal is damaged at position {}, below {} which was known to be safe; what"
                                + " follows has to come from another replica",
                        config.name(),
                        corrupt.at(),
                        corrupt.knownSafe());
                damaged = true;
            }
        }
        if (superblock.rebuild().journalGoes()) {
            journal.reset(from.position(), from.lineage());
            Superblock.Rebuild rebuild = superblock.rebuild();
            superblock = superblock.with(new Superblock.Rebuild(rebuild.copy(), rebuild.since(), false));
        }
        superblock = superblock.opened(bootId, damaged).reaching(journal.readyEnd());
        write(superblock, dir); // also on a full disk: or this replica would stay away after there is space again
        Image image = Image.open(dir.resolve(IMAGE_FILE), config.sizeBytes());
        Replica replica = new Replica(dir, config, journalSegments, superblock, journal, image);
        replica.keepReserve();
        return replica;
    }

    private Replica(
            Path dir, VolumeConfig config, int journalSegments, Superblock superblock, Journal journal, Image image) {
        this.dir = dir;
        this.superblock = superblock;
        this.journal = journal;
        this.volume = config.name();
        this.segmentBytes = config.segmentBytes();
        this.budgetBytes = (long) journalSegments * segmentBytes;
        this.pace = new CheckpointPace(budgetBytes, () -> dir.toFile().getUsableSpace());
        this.image = image;
        this.gathered = new GatheredWrites(image);
        this.imageReach = Math.max(
                journal.end(),
                Math.max(journal.recovery().knownSafe(), superblock.checkpoint().position()));
        // Until a writer, here or elsewhere, knows what the others have, nothing is given up.
        this.retainFrom = journal.oldest();
        this.overlay = new Overlay(new Overlay.Records() {
            @Override
            public void show(long from, long to) throws IOException {
                addToOverlay(from, to);
            }

            @Override
            public ByteBuffer payload(long position) throws IOException {
                return journal.payload(position);
            }
        });
        this.space = new ImageSpace(image::secure, this::giveBackSpace, System::nanoTime);
        journal.beforeUse(this::journalReaches);
        this.marks = new DirtyMarks(dir.resolve(MARKS_DIR), config.name(), config.sizeBytes(), journal);
        this.checkpoint = superblock.checkpoint().position();
        this.applied = checkpoint;
        if (superblock.rebuild().underWay()) {
            this.applyLimit = checkpoint; // until a writer says how far it copies
        }
        this.committed = Math.max(
                checkpoint,
                Math.min(
                        Math.max(
                                superblock.checkpoint().committed(),
                                journal.recovery().committed()),
                        journal.end()));
        this.syncer = Thread.ofPlatform().name("sync-" + config.name()).daemon().unstarted(this::syncLoop);
        this.applier =
                Thread.ofPlatform().name("apply-" + config.name()).daemon().unstarted(this::applyLoop);
    }

    private static JournalSpec spec(VolumeConfig config, int journalSegments, String self) {
        return new JournalSpec(config.uuid(), config.segmentBytes(), journalSegments, self);
    }

    void start(Observer events) {
        observer = events;
        if (superblock().life().failed().isEmpty()) {
            syncer.start();
            applier.start();
            marks.start(() -> checkpoint, () -> retainFrom, this::releaseSegments);
        }
    }

    Path imagePath() {
        return dir.resolve(IMAGE_FILE);
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
        return Math.max(imageReach, applied);
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
        return applied;
    }

    long checkpoint() {
        return checkpoint;
    }

    /** What apply waits for, in words, or null. */
    @Nullable
    String waitingFor() {
        return waitingFor;
    }

    synchronized Superblock superblock() {
        return superblock;
    }

    /** Changes the superblock, durably, before it returns. */
    synchronized void update(UnaryOperator<Superblock> change) throws IOException {
        Superblock next = change.apply(superblock);
        write(next, dir);
        superblock = next;
        keepReserve();
    }

    /** With the space that is held back for it, if there is no other. */
    private static void write(Superblock next, Path dir) throws IOException {
        try {
            next.write(dir);
        } catch (IOException e) {
            if (!isFull(e, dir)) {
                throw e; // a failed write or sync is final and not tried again
            }
            if (!Files.deleteIfExists(dir.resolve(RESERVE_FILE))) {
                throw new DiskFullException(e);
            }
            next.write(dir);
        }
    }

    /** Java has no type for it and its text may be in any language, so the free space decides; a quota leaves only the text. */
    private static boolean isFull(IOException failure, Path dir) throws IOException {
        String text = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
        return text.contains("no space")
                || text.contains("quota")
                || Files.getFileStore(dir).getUsableSpace() < RESERVE_BYTES;
    }

    private void keepReserve() throws IOException {
        Path reserve = dir.resolve(RESERVE_FILE);
        if (Files.exists(reserve) && Files.size(reserve) == RESERVE_BYTES) {
            return;
        }
        try (FileChannel file = FileChannel.open(
                reserve, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            for (ByteBuffer zeros = ByteBuffer.allocate(RESERVE_BYTES); zeros.hasRemaining(); ) {
                file.write(zeros);
            }
            file.force(true); // or its blocks are not allocated yet
        } catch (IOException e) {
            LOG.warn("replica in {}: no space is held back for the superblock: {}", dir, e.getMessage());
            Files.deleteIfExists(reserve); // tried again with the next superblock
        }
    }

    // ---- journal progress

    /** Bytes were published: they will be synced, by and by. Any thread; cheap. */
    void published() {
        if (syncerIdle) {
            LockSupport.unpark(syncer);
        }
    }

    /** Returns when everything published is durable. */
    void syncNow() throws JournalException {
        journal.sync();
        LockSupport.unpark(applier); // it hears of syncs from the syncer only, which may find nothing left to do
    }

    /**
     * As {@link #requestSync}, from a thread that has nothing to do until then: it syncs itself, which saves waking the sync thread and
     * being woken, unless a sync is under way (then the next one is for all who wait) or the disk is slow (then others may want something of
     * this thread meanwhile).
     */
    void syncHere(long position) {
        if (journal.durable() >= position) {
            return;
        }
        if (closing || failed || lastSyncNanos > QUICK_SYNC_NANOS || !syncTurn.tryLock()) {
            requestSync(position);
            return;
        }
        boolean synced;
        try {
            synced = syncOnce();
        } finally {
            syncTurn.unlock();
        }
        if (synced) {
            observer.synced(); // apply hears of it by and by: to be woken for each small write would cost it more than
            // the write
        }
    }

    /** Somebody waits until this position is durable. */
    void requestSync(long position) {
        if (position > syncDemand) {
            syncDemand = position;
        }
        if (journal.durable() < position) {
            LockSupport.unpark(syncer);
        }
    }

    /** Everything before this position is committed. One caller at a time. */
    void commit(long position) {
        if (position <= committed) {
            return;
        }
        committed = position;
        // Not for every write: most are not durable yet, and the syncer wakes the applier when they are.
        wakeApplier();
    }

    private void wakeApplier() {
        if (applierIdle && applicable() > applied) {
            LockSupport.unpark(applier);
        }
    }

    /** From now on {@link #read} is asked: what is committed and not applied is shown. */
    long serveReads() {
        applyLock.lock();
        try {
            return overlay.begin(applied);
        } finally {
            applyLock.unlock();
        }
    }

    /** @param reads what {@link #serveReads} said: if others began since, they go on */
    void stopReads(long reads) {
        overlay.end(reads);
    }

    /** The committed state at {@code offset}. */
    void read(long offset, ByteBuffer into) throws IOException {
        overlay.showTo(committed);
        overlay.read(offset, into, image::read);
    }

    /**
     * What the committed state holds, extent by extent, as far as the visitor wants; a part of the range if very many
     * records in it are not applied. Those are looked at first and the image afterwards, as {@link Overlay} says, so that
     * data is never called a hole.
     */
    void allocation(long offset, long length, AllocationVisitor visitor) throws IOException {
        long end = offset + length;
        overlay.showTo(committed);
        List<Overlay.Shown> shown = overlay.shown(offset, end, MOST_SHOWN);
        if (shown.size() == MOST_SHOWN) {
            end = shown.getLast().end();
        }
        boolean[] more = {true};
        long at = offset;
        for (Overlay.Shown record : shown) {
            if (at < record.start()) {
                imageHolds(at, record.start(), visitor, more);
            }
            if (!more[0]) {
                return;
            }
            Holds holds = record.zeroes() ? Holds.ZEROS : Holds.DATA;
            more[0] = visitor.extent(record.end() - record.start(), holds);
            at = record.end();
        }
        if (at < end && more[0]) {
            imageHolds(at, end, visitor, more);
        }
    }

    private void imageHolds(long from, long to, AllocationVisitor visitor, boolean[] more) throws IOException {
        image.space(from, to - from, (at, count, space) -> {
            more[0] = visitor.extent(
                    count,
                    switch (space) {
                        case DATA -> Holds.DATA;
                        case ALLOCATED -> Holds.ZEROS;
                        case HOLE -> Holds.NOTHING;
                    });
            return more[0];
        });
    }

    /** Segments from this position on are kept for peers. */
    void retain(long from) {
        retainFrom = from;
        // Not only with the next checkpoint: a journal without room gets no records, and without those there is none.
        if (Math.min(checkpoint, from) - journal.oldest() >= segmentBytes) {
            releaseSegments();
        }
    }

    private void addToOverlay(long from, long to) throws IOException {
        journal.forEach(from, to, r -> {
            if (r.kind() == RecordKind.WRITE || r.kind() == RecordKind.WRITE_ZEROES) {
                overlay.add(r.offset(), r.length(), r.position(), r.kind() == RecordKind.WRITE_ZEROES);
            }
            return true;
        });
    }

    /**
     * Cuts the journal back to {@code position}, which lies at or after everything applied; what goes is kept in a file.
     *
     * @return the file, or null if nothing had to go
     */
    @Nullable
    Path cut(long position) throws IOException {
        applyLock.lock(); // a record that is being applied may lie behind the position
        try {
            return cutBehindApplied(position);
        } finally {
            applyLock.unlock();
        }
    }

    private @Nullable Path cutBehindApplied(long position) throws IOException {
        if (position < applied) {
            throw new IllegalStateException(
                    "journal to be cut at " + position + ", but the image has everything before " + applied);
        }
        Path file = rescueFile(position);
        boolean published = position < journal.end();
        long saved = cutInto(file, position);
        committed = Math.min(committed, position);
        return saved > 0 && published ? file : null;
    }

    private Path rescueFile(long position) throws IOException {
        Files.createDirectories(dir.resolve(RESCUED_DIR));
        String name = "term-" + journal.lineage().lastTerm() + "-from-" + position;
        Path file = dir.resolve(RESCUED_DIR).resolve(name + ".records");
        for (int i = 2; Files.exists(file); i++) {
            file = dir.resolve(RESCUED_DIR).resolve(name + "-" + i + ".records");
        }
        return file;
    }

    private long cutInto(Path file, long position) throws IOException {
        try {
            return journal.cut(position, file);
        } catch (JournalException e) {
            throw e;
        } catch (IOException e) {
            Files.deleteIfExists(file); // what it holds is still in the journal
            throw isFull(e, dir) ? new DiskFullException(e) : e;
        }
    }

    // ---- copies

    /**
     * Notes, durably, that the image is to become a mixture, before the first copy lands; then the journal starts over at
     * {@code at}. What it holds behind {@code common}, and the volume does not, is kept in a file.
     */
    void startOver(String copy, long since, long common, long at, Lineage there) throws IOException {
        applyLock.lock();
        try {
            syncImage(); // what was applied is in no journal any more
            long own = Math.max(common, journal.oldest());
            if (own < journal.end()) {
                cutInto(rescueFile(own), own);
            }
            Lineage begin = there.upTo(at);
            update(s -> s.with(new Superblock.Checkpoint(at, at, begin, at))
                    .with(new Superblock.Rebuild(copy, since, true))
                    .with(since < 0 ? Superblock.Doubt.NONE : s.doubt()));
            histories++;
            journal.reset(at, begin);
            checkpoint = at;
            applied = at;
            committed = at;
            retainFrom = at;
            imageReach = at;
            beginCopies();
            update(s -> s.with(new Superblock.Rebuild(copy, since, false)).reaching(journal.readyEnd()));
        } finally {
            applyLock.unlock();
        }
        try {
            marks.forgetAll();
        } catch (IOException e) {
            throw isFull(e, dir) ? new DiskFullException(e) : e;
        }
    }

    /** The same, but the journal goes on where it is. */
    void goOn(String copy, long since) throws IOException {
        applyLock.lock();
        try {
            update(s -> s.with(new Superblock.Rebuild(copy, since, false)));
            beginCopies();
        } finally {
            applyLock.unlock();
        }
    }

    private void beginCopies() {
        dropCopies();
        brought.clear();
        held = false;
        applyLimit = applied;
        copiesWritten = 0;
        copiesDurable = 0;
        copiesUnsyncedBytes = 0;
    }

    /** The stream that brought them has ended: they will come again. */
    void dropCopies() {
        synchronized (copies) {
            copies.clear();
            copiesHeldBytes = 0;
        }
    }

    /** Applies what is left of a history that is known to be the volume's, up to there, before it can be given up. */
    void applyAllTo(long position) {
        applyLimit = Math.max(applyLimit, position);
        commit(position);
        requestSync(position);
        if (applierIdle) {
            LockSupport.unpark(applier);
        }
    }

    /** A stream begins at a whole replica: its items are counted anew, and nothing is compared yet. */
    void streamBegins() {
        applyLock.lock(); // an item of the stream before may be at work
        try {
            letGo();
            copiesWritten = 0;
            copiesDurable = 0;
        } finally {
            applyLock.unlock();
        }
    }

    /** The stream has ended, and with it a comparison, if there was one: apply goes on. */
    void streamEnds() {
        if (!held && nextCopy() == null) {
            return;
        }
        applyLock.lock();
        try {
            letGo();
        } finally {
            applyLock.unlock();
        }
        LockSupport.unpark(applier);
    }

    private void letGo() {
        if (!rebuilding()) {
            dropCopies();
            held = false;
            applyLimit = Long.MAX_VALUE;
        }
    }

    /** A copy came in; it is written at its position. Returns what is wrong with it, or null. */
    @Nullable
    String takeCopy(CopyItem item) {
        boolean expected = switch (item.kind()) {
            case HOLD -> !held && !rebuilding();
            case RELEASE -> held;
            case DATA, DIGESTS, HORIZON -> held || rebuilding();
            case ZEROES, END -> rebuilding();
        };
        if (!expected) {
            return item.kind() + ", but this replica is "
                    + (rebuilding() ? "a mixture" : held ? "whole, and is compared" : "whole");
        }
        if (item.kind() != CopyItem.Kind.HOLD && item.position() < applyLimit) {
            return "a copy of position " + item.position() + " behind one of " + applyLimit;
        }
        if (item.kind() != CopyItem.Kind.HORIZON) {
            synchronized (copies) {
                if (copiesHeldBytes > 2 * CopyItem.WINDOW_BYTES) {
                    return "more than " + 2 * CopyItem.WINDOW_BYTES + " bytes of copies at once";
                }
                copies.add(item);
                copiesHeldBytes += item.weight();
            }
        }
        if (item.kind() != CopyItem.Kind.HOLD) {
            applyLimit = item.position();
        }
        if (item.position() > journal.durable()) {
            requestSync(Math.min(item.position(), journal.end()));
        }
        if (applierIdle) {
            LockSupport.unpark(applier);
        }
        return null;
    }

    /** Copies up to this one are in the image. */
    long copiesWritten() {
        return copiesWritten;
    }

    /** Copies up to this one are in the image, and durable there. */
    long copiesDurable() {
        return copiesDurable;
    }

    private @Nullable CopyItem nextCopy() {
        synchronized (copies) {
            return copies.peek();
        }
    }

    /** Applier's thread: writes the copies of the position that is applied. */
    private boolean writeCopies() throws IOException {
        boolean any = false;
        applyLock.lock(); // or a stream might begin anew between
        try {
            for (CopyItem next = nextCopy(); next != null && isDue(next); next = nextCopy()) {
                if (next.position() < applied && next.kind() != CopyItem.Kind.HOLD) {
                    throw new IllegalStateException("a copy of position " + next.position() + " at " + applied);
                }
                write(next);
                any = true;
                synchronized (copies) {
                    copies.remove();
                    copiesHeldBytes -= next.weight();
                }
                copiesWritten = next.sequence();
                copyWrittenAtNanos = System.nanoTime();
                if (rebuilding() || next.kind() == CopyItem.Kind.DATA) {
                    copiesUnsyncedBytes += next.weight();
                }
                if (next.kind() == CopyItem.Kind.END || next.kind() == CopyItem.Kind.RELEASE) {
                    copiesDurable = copiesWritten;
                    copiesUnsyncedBytes = 0;
                } else if (copiesUnsyncedBytes >= COPY_SYNC_BYTES) {
                    syncCopies();
                }
            }
        } finally {
            applyLock.unlock();
        }
        if (any) {
            observer.applied();
        }
        return any;
    }

    private boolean isDue(CopyItem copy) {
        return copy.kind() == CopyItem.Kind.HOLD
                || (copy.position() <= applied && !imageTorn && (held || rebuilding()));
    }

    private void write(CopyItem copy) throws IOException {
        switch (copy.kind()) {
            case DATA -> {
                ByteBuffer bytes = copy.bytes();
                if (bytes != null) {
                    image.write(bytes.duplicate(), copy.offset());
                    brought(copy.offset(), copy.offset() + copy.length());
                }
            }
            case ZEROES -> {
                image.zero(copy.offset(), copy.length(), true);
                brought(copy.offset(), copy.offset() + copy.length());
            }
            case DIGESTS -> compare(copy);
            case END -> {
                // Copies of zeros may have punched space away that was secured for records behind them.
                Inbound.secure(this, applied, journal.end());
                checkpointNow(s -> s.with(Superblock.Rebuild.NONE));
                applyLimit = Long.MAX_VALUE;
            }
            case HORIZON -> {}
            case HOLD -> {
                applyLimit = applied;
                held = true;
            }
            case RELEASE -> {
                if (copiesUnsyncedBytes > 0) {
                    syncImage(); // what was mended, before anybody says that it is
                }
                boolean all = copy.offset() == 1;
                long left = all
                        ? copy.length()
                        : Math.max(copy.length(), superblock().doubt().blocks());
                doubt(left == 0 ? Superblock.Doubt.NONE : new Superblock.Doubt(left, applied));
                held = false;
                applyLimit = Long.MAX_VALUE;
            }
        }
    }

    private void doubt(Superblock.Doubt now) throws IOException {
        if (!now.equals(superblock().doubt())) {
            update(s -> s.with(now));
            observer.doubted();
        }
    }

    private void compare(CopyItem copy) throws IOException {
        ByteBuffer digests = copy.bytes();
        if (digests != null) {
            ByteBuffer here = comparing;
            if (here == null) {
                here = ByteBuffer.allocateDirect(CopyItem.MAX_DATA_BYTES);
                comparing = here;
            }
            image.read(copy.offset(), here.clear().limit((int) copy.length()));
            long blocks = BlockDigests.differing(digests, BlockDigests.of(here.flip()));
            for (long at = copy.offset(), bit = 1; at < copy.offset() + copy.length(); at += ExtentMap.BLOCK_BYTES) {
                if ((blocks & bit) == 0) {
                    brought(at, Math.min(at + ExtentMap.BLOCK_BYTES, copy.offset() + copy.length()));
                }
                bit <<= 1;
            }
            if (blocks != 0) {
                if (held && superblock().doubt().blocks() == 0) {
                    doubt(new Superblock.Doubt(Long.bitCount(blocks), applied)); // whatever becomes of the comparison
                }
                observer.compared(copy.sequence(), blocks);
            }
        }
    }

    /** Whole blocks only; the volume's last one may be shorter. */
    private void brought(long from, long to) {
        if (rebuilding()) {
            long first = (from + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES;
            long behind = to == image.sizeBytes()
                    ? (to + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES
                    : to / ExtentMap.BLOCK_BYTES;
            if (first < behind && behind <= Integer.MAX_VALUE) {
                brought.set((int) first, (int) behind);
            }
        }
    }

    /**
     * Fills {@code into} with the state of what is applied, or does nothing and returns false: the image lacks blocks of it, or is
     * older than {@code atLeast}.
     */
    boolean readIfHeld(long offset, ByteBuffer into, long atLeast) throws IOException {
        applyLock.lock();
        try {
            // Until what may have been written before a crash, or by a step that failed half way, is applied anew, the
            // image
            // holds parts of what is still to come.
            if (applied < atLeast || imageTorn || applied < Math.min(imageReach, journal.end())) {
                return false;
            }
            if (rebuilding()) {
                long first = offset / ExtentMap.BLOCK_BYTES;
                long last = (offset + into.remaining() - 1) / ExtentMap.BLOCK_BYTES;
                if (last >= Integer.MAX_VALUE || brought.nextClearBit((int) first) <= last) {
                    return false;
                }
            }
            image.read(offset, into);
            return true;
        } finally {
            applyLock.unlock();
        }
    }

    private void syncCopies() throws IOException {
        long written = copiesWritten;
        syncImage();
        copiesUnsyncedBytes = 0;
        copiesDurable = written;
        observer.applied();
    }

    // ---- the two threads

    private void syncLoop() {
        long last = System.nanoTime() - SYNC_PACE_NANOS;
        while (!closing) {
            if (journal.durable() >= journal.end()) {
                syncerIdle = true;
                wakeApplier(); // behind that: whoever publishes and syncs from now on wakes this thread
                if (journal.durable() >= journal.end() && !closing) {
                    LockSupport.park(this);
                }
                syncerIdle = false;
                continue;
            }
            long rest = last + SYNC_PACE_NANOS - System.nanoTime();
            if (syncDemand <= journal.durable() && rest > 0) {
                LockSupport.parkNanos(this, rest);
                continue;
            }
            syncTurn.lock();
            try {
                if (syncDemand <= journal.durable() && rest > 0) {
                    continue; // somebody who waited has done it
                }
                last = System.nanoTime();
                if (!syncOnce()) {
                    return;
                }
            } finally {
                syncTurn.unlock();
            }
            observer.synced();
            wakeApplier();
        }
    }

    /** Whoever has the turn. False: this replica is over. */
    private boolean syncOnce() {
        if (failed) {
            return false; // by whoever had the turn before
        }
        try {
            syncJournal(System.nanoTime());
            return true;
        } catch (JournalClosedException e) {
            return false;
        } catch (IOException e) {
            measures.syncFailed();
            fail("fdatasync of the journal failed: " + e.getMessage());
        } catch (RuntimeException | Error e) {
            ourOwnBug(e);
        }
        return false;
    }

    private void syncJournal(long beganNanos) throws IOException {
        StageEvents.Sync event = new StageEvents.Sync();
        event.begin();
        long before = journal.durable();
        long after = journal.sync();
        lastSyncNanos = System.nanoTime() - beganNanos;
        measures.sync().record(lastSyncNanos);
        event.end();
        if (event.shouldCommit()) {
            event.volume = volume;
            event.bytes = after - before;
            event.commit();
        }
    }

    private void applyLoop() {
        while (!closing && !failed) {
            try {
                // First, and so also where the step below finds no space: what is released here may be what it lacks.
                if (checkpointDue() && !checkpointing) {
                    beginCheckpoint();
                }
                boolean copied = writeCopies();
                long target = applicable();
                if (target > applied && !gathers(target)) {
                    applyTo(target);
                    appliedAtNanos = System.nanoTime();
                } else if (target > applied) {
                    LockSupport.parkNanos(this, GATHER_NANOS);
                } else if (copied) {
                    continue;
                } else if (copiesUnsyncedBytes > 0) {
                    waitingFor = null;
                    long rest = copyWrittenAtNanos + COPY_SYNC_NANOS - System.nanoTime();
                    if (rest <= 0) {
                        syncCopiesUnderLock();
                    } else {
                        waitForProgress();
                    }
                } else {
                    waitForProgress();
                }
            } catch (NoSpaceException e) {
                waitingFor = "space for the image: " + e.getMessage();
                giveBackSpace();
                LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
            } catch (DiskFullException e) {
                waitingFor = "space for a checkpoint: " + e.getMessage();
                LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
            } catch (IOException e) {
                fail("writing the image failed: " + e.getMessage());
                return;
            } catch (RuntimeException | Error e) {
                ourOwnBug(e);
                return;
            }
        }
    }

    /**
     * Little has come since the last step: more is waited for, for a moment. A client that syncs each small write makes them applicable one
     * by one, and would pay for a turn of this thread with each.
     */
    private boolean gathers(long target) {
        return target - applied < GATHER_BYTES
                && System.nanoTime() - appliedAtNanos < GATHER_NANOS
                && nextCopy() == null
                && !checkpointWanted
                && !closing;
    }

    private void waitForProgress() {
        applierIdle = true;
        CopyItem copy = nextCopy();
        boolean idle = applicable() <= applied && (copy == null || !isDue(copy));
        if (idle && !closing && !(checkpointDue() && !checkpointing)) {
            LockSupport.parkNanos(this, copiesUnsyncedBytes > 0 ? COPY_SYNC_NANOS : Long.MAX_VALUE);
        }
        applierIdle = false;
    }

    private void syncCopiesUnderLock() throws IOException {
        applyLock.lock();
        try {
            if (copiesUnsyncedBytes > 0) {
                syncCopies();
            }
        } finally {
            applyLock.unlock();
        }
    }

    /** A stopped replica is better than a wrong one. */
    private void ourOwnBug(Throwable e) {
        LOG.error("replica in {}: our own bug", dir, e);
        fail("internal error: " + e);
    }

    private long applicable() {
        long may = Math.min(Math.min(committed, journal.durable()), applyLimit);
        CopyItem copy = applyLimit == Long.MAX_VALUE ? null : nextCopy();
        return copy == null ? may : Math.min(may, copy.position());
    }

    private void applyTo(long target) throws IOException {
        StageEvents.Apply event = new StageEvents.Apply();
        applyLock.lock();
        long began = System.nanoTime();
        event.begin();
        long from = applied;
        try {
            long to = Math.min(target, applicable()); // a cut may have come between
            if (applyStep(from, to)) {
                secureAgain();
            }
        } finally {
            measures.apply().record(System.nanoTime() - began);
            measures.applied(payloadApplied);
            payloadApplied = 0;
            event.end();
            if (event.shouldCommit()) {
                event.volume = volume;
                event.bytes = applied - from;
                event.commit();
            }
            applyLock.unlock();
        }
        observer.applied();
    }

    /** A hole may have taken the space of a later write, which was secured while it was still there. */
    private void secureAgain() throws IOException {
        try {
            Inbound.secure(this, applied, journal.end());
        } catch (NoSpaceException e) {
            LOG.debug("space that a hole gave back is gone: {}", e.getMessage()); // the write will wait for it
        }
    }

    /** Returns whether a hole was made. */
    private boolean applyStep(long from, long to) throws IOException {
        long step = Math.min(to, from + APPLY_STEP_BYTES);
        long[] seen = {from};
        long[] reached = {from};
        boolean[] punched = {false};
        imageTorn = true;
        try {
            journal.forEach(from, to, r -> {
                switch (r.kind()) {
                    case WRITE -> {
                        if (!gathered.takes(r.payloadLength())) {
                            flushGathered();
                            reached[0] = seen[0];
                        }
                        gathered.add(r.offset(), r.payload());
                        payloadApplied += r.payloadLength();
                    }
                    case WRITE_ZEROES -> {
                        flushGathered();
                        reached[0] = seen[0];
                        boolean mayPunch = (r.flags() & Journal.MAY_PUNCH) != 0;
                        punched[0] |= mayPunch;
                        image.zero(r.offset(), r.length(), mayPunch);
                    }
                    case TERM, PAD -> {}
                }
                seen[0] = r.endPosition();
                return seen[0] < step;
            });
            flushGathered();
            reached[0] = seen[0];
            imageTorn = false;
            imageWhole.signalAll();
            waitingFor = null;
        } finally {
            gathered.clear();
            overlay.applied(reached[0]);
            applied = reached[0];
        }
        return punched[0];
    }

    private void flushGathered() throws IOException {
        try {
            gathered.flush();
        } catch (InternalError e) {
            throw new IOException("a page of the journal cannot be read", e);
        }
    }

    private boolean checkpointDue() {
        long behind = applied - checkpoint;
        return pace.isDue(behind, System.nanoTime()) || (behind > 0 && checkpointWanted);
    }

    /** Much was applied since, and the last one was not taken just now. */
    boolean checkpointIsOld() {
        return applied - checkpoint > OLD_CHECKPOINT_BYTES
                && System.nanoTime() - checkpointAtNanos > OLD_CHECKPOINT_NANOS;
    }

    /** One is taken soon: whoever starts from it will have less to follow. */
    void wantCheckpoint() {
        checkpointWanted = true;
        if (!Thread.currentThread().equals(applier)) {
            LockSupport.unpark(applier); // itself it would wake from the next rest, and not rest at all
        }
    }

    /** To be called now and then, by one thread: what has come to rest is put away, so that a start has nothing to replay. */
    void rest(long nowNanos) {
        if (applied != restingAt) {
            restingAt = applied;
            restingSinceNanos = nowNanos;
        } else if (restingAt > checkpoint && nowNanos - restingSinceNanos > REST_NANOS && !checkpointing) {
            restingSinceNanos = nowNanos; // not at each call where the disk is full
            wantCheckpoint();
        }
    }

    /** Applier's thread, which goes on meanwhile. */
    private void beginCheckpoint() {
        checkpointWanted = false;
        long at;
        long history;
        applyLock.lock();
        try {
            at = applied;
            history = histories;
        } finally {
            applyLock.unlock();
        }
        checkpointing = true;
        checkpointer = Thread.ofPlatform().name("checkpoint-" + volume).daemon().start(() -> {
            try {
                syncImage();
                checkpointTaken(at, history);
            } catch (DiskFullException e) {
                waitingFor = "space for a checkpoint: " + e.getMessage();
                LockSupport.parkNanos(this, NO_SPACE_RETRY_NANOS);
            } catch (IOException e) {
                fail("writing the image failed: " + e.getMessage());
            } catch (RuntimeException | Error e) {
                ourOwnBug(e);
            } finally {
                checkpointing = false;
                LockSupport.unpark(applier);
            }
        });
    }

    private void checkpointTaken(long at, long history) throws IOException {
        applyLock.lock(); // the journal may start over
        try {
            if (history == histories && at > checkpoint) {
                note(at, UnaryOperator.identity());
            }
        } finally {
            applyLock.unlock();
        }
    }

    private void syncImage() throws IOException {
        long began = System.nanoTime();
        try {
            image.sync();
        } catch (IOException e) {
            measures.syncFailed();
            throw e;
        }
        measures.imageSync().record(System.nanoTime() - began);
    }

    /** With the apply lock, or when nothing is applied any more. */
    private void checkpointNow(UnaryOperator<Superblock> change) throws IOException {
        long at = applied;
        syncImage();
        note(at, change);
    }

    /** The image has everything before that position, durably. */
    private void note(long position, UnaryOperator<Superblock> change) throws IOException {
        Lineage there = journal.lineage().upTo(position);
        long kept = marks.releasable(Math.max(journal.oldest(), Math.min(position, retainFrom)));
        update(s ->
                change.apply(s.with(new Superblock.Checkpoint(position, kept, there, Math.max(position, committed)))));
        checkpoint = position;
        checkpointAtNanos = System.nanoTime();
        marks.wake();
        releaseSegments();
    }

    /**
     * Fills {@code into} from the image as it is at exactly the position returned: apply stands still meanwhile.
     */
    long readForCopy(long offset, ByteBuffer into) throws IOException {
        applyLock.lock();
        try {
            awaitWholeImage();
            image.read(offset, into);
            return applied;
        } finally {
            applyLock.unlock();
        }
    }

    /** How far the image is one hole from {@code offset} on, at the position in {@code at[0]}; 0 if there is data. */
    long holeForCopy(long offset, long limit, long[] at) throws IOException {
        applyLock.lock();
        try {
            awaitWholeImage();
            long[] hole = {0};
            image.extents(offset, limit, (start, length, data) -> {
                hole[0] = data ? 0 : length;
                return false;
            });
            at[0] = applied;
            return hole[0];
        } finally {
            applyLock.unlock();
        }
    }

    /** With the apply lock, which is given up meanwhile. Of a replica that closes nobody hears any more what was read. */
    private void awaitWholeImage() {
        while (imageTorn && !closing) {
            imageWhole.awaitUninterruptibly();
        }
    }

    /** Gives back what neither this replica nor a peer needs any more. */
    void releaseSegments() {
        marks.release(Math.max(journal.oldest(), Math.min(checkpoint, retainFrom)));
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

    void fail(String why) {
        failed = true;
        LOG.error("replica in {} stops for good: {}", dir, why);
        try {
            update(s -> s.failedBecause(why));
        } catch (IOException e) {
            LOG.error("the superblock in {} cannot be marked failed: {}", dir, e.getMessage());
        }
        observer.failed(why);
    }

    /** Applies what may be applied, takes a checkpoint, and closes. */
    @Override
    public void close() {
        closing = true;
        applyLock.lock();
        try {
            imageWhole.signalAll();
        } finally {
            applyLock.unlock();
        }
        LockSupport.unpark(syncer);
        LockSupport.unpark(applier);
        try {
            if (syncer.isAlive()) {
                syncer.join();
            }
            if (applier.isAlive()) {
                applier.join();
            }
            Thread checkpoints = checkpointer;
            if (checkpoints != null) {
                checkpoints.join();
            }
            if (superblock().life().failed().isEmpty()) {
                journal.sync();
                while (applicable() > applied) {
                    applyTo(applicable());
                }
                checkpointNow(UnaryOperator.identity());
                update(Superblock::closedCleanly);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
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
        }
    }
}
