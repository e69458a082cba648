package io.terminus.simulation.kernel;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A machine's file system.
 *
 * <p>Fault model. Whatever a process wrote is there for the next process, after a kill too: the pages are the kernel's. A loss
 * of power takes, of what was written to a file since its last successful sync, page by page ({@value #PAGE_BYTES} bytes)
 * either all, nothing, or the rest behind a sector in the middle of the page, whatever the order of the writes was; and of a
 * size that was not synced the old one may be back. Names (made, moved, deleted) are journalled: of those since the last sync
 * of any directory the later part is undone. A sync may fail once (EIO): then what was to be synced is dropped from the cache's
 * list of dirty pages, so that a later sync that succeeds does not bring it back. A write may fail with EIO, and so may a read, but for what is mapped. A disk that is
 * full has no pages but those that are given back to it; names can be made. While a
 * machine is without power what its disk has may become something else, see {@link #rot}, and the disk may be replaced by an empty one.
 * Each sync takes its time, in which other tasks run.
 */
public final class Disk {

    static final int PAGE_BYTES = 4096;
    private static final int SECTOR_BYTES = 512;
    private static final ByteBuffer NOTHING = ByteBuffer.allocateDirect(0);
    private static final ArrayDeque<ByteBuffer> POOL = new ArrayDeque<>();
    private static final int POOLED_BYTES = 1 << 20;
    private static final int MOST_POOLED = 512;

    private final World world;
    private final String host;
    private final Rng rng;
    private final TreeMap<String, Node> nodes = new TreeMap<>();
    private final ArrayList<Runnable> undoNames = new ArrayList<>();
    private boolean full;

    /** While it is full: what was given back since. */
    private long freePages;

    private int failSyncs;
    private int failWrites;
    private int failReads;
    private String failing = "";
    private long syncNanos = 300_000;
    private long inodes;

    /** A file, or a directory. */
    public final class Node {
        final boolean directory;
        final long inode = ++inodes;

        /** What a process sees. */
        private ByteBuffer content = NOTHING;

        /** What is on the disk, of as many bytes; {@link #NOTHING} as long as that is zeros. */
        private ByteBuffer stable = NOTHING;

        private boolean mapped;
        private long size;
        private long durableSize;
        private final BitSet allocated = new BitSet();

        /** Pages that are newer than on the disk. */
        private final BitSet dirty = new BitSet();

        /** Pages whose sync failed: on the disk is what was there before, and no sync will change that. */
        private final BitSet lost = new BitSet();

        /** Of pages that are on the disk: what was there before. None: zeros, or nothing. */
        private final Map<Integer, byte[]> previous = new HashMap<>();

        /** Oldest first. */
        private final ArrayList<Sync> underWay = new ArrayList<>();

        boolean everMapped() {
            return mapped;
        }

        /** What a persisted map keeps here instead of bytes. */
        public @Nullable TreeMap<Long, byte[]> map;

        private @Nullable TreeMap<Long, byte[]> durableMap;
        public boolean mapDamaged;
        public boolean locked;
        public Host.@Nullable Process lockedBy;

        Node(boolean directory) {
            this.directory = directory;
        }

        public long size() {
            return size;
        }

        public int read(ByteBuffer into, long at) throws IOException {
            if (failReads > 0 && matches(this)) {
                failReads--;
                world.say(host, "a read fails with EIO: " + name(this));
                throw new IOException("Input/output error");
            }
            if (at >= size) {
                return -1;
            }
            int count = (int) Math.min(into.remaining(), size - at);
            int there = (int) Math.max(0, Math.min(count, content.capacity() - at));
            if (there > 0) {
                into.put(into.position(), content, (int) at, there);
            }
            for (int i = there; i < count; i++) {
                into.put(into.position() + i, (byte) 0);
            }
            into.position(into.position() + count);
            return count;
        }

        public void write(ByteBuffer from, long at) throws IOException {
            int count = from.remaining();
            if (failWrites > 0 && matches(this)) {
                failWrites--;
                world.say(host, "a write fails with EIO: " + name(this));
                throw new IOException("Input/output error");
            }
            allocate(at, count);
            room(at + count);
            for (int page = (int) (at / PAGE_BYTES); page <= (at + count - 1) / PAGE_BYTES && count > 0; page++) {
                dirty(page);
            }
            content.put((int) at, from, from.position(), count);
            from.position(from.position() + count);
            size = Math.max(size, at + count);
        }

        /** @throws IOException if the disk is full and a page of the range has no space yet */
        public void allocate(long at, long count) throws IOException {
            if (count == 0) {
                return;
            }
            int first = (int) (at / PAGE_BYTES);
            int end = (int) ((at + count - 1) / PAGE_BYTES) + 1;
            int fresh = end - first - allocated.get(first, end).cardinality();
            if (fresh > 0) {
                if (full && fresh > freePages) {
                    throw new IOException("No space left on device");
                }
                freePages -= full ? fresh : 0;
                allocated.set(first, end);
            }
        }

        public void punch(long at, long count) {
            zero(at, count);
            int first = (int) ((at + PAGE_BYTES - 1) / PAGE_BYTES);
            int end = (int) ((at + count) / PAGE_BYTES);
            if (end > first) {
                freePages += allocated.get(first, end).cardinality();
                allocated.clear(first, end);
            }
        }

        public void zero(long at, long count) {
            long to = Math.min(at + count, size);
            room(to);
            for (long page = at / PAGE_BYTES; page * PAGE_BYTES < to; page++) {
                dirty((int) page);
            }
            if (to > at) {
                MemorySegment.ofBuffer(content).asSlice(at, to - at).fill((byte) 0);
            }
        }

        /** From there on: the next byte with space, or without; -1 if none. */
        public long seek(long from, boolean data) {
            if (from >= size) {
                return -1;
            }
            int page = (int) (from / PAGE_BYTES);
            int found = data ? allocated.nextSetBit(page) : allocated.nextClearBit(page);
            if (found < 0) {
                return -1;
            }
            long at = Math.max(from, (long) found * PAGE_BYTES);
            return data ? (at >= size ? -1 : at) : Math.min(at, size);
        }

        public void resize(long newSize) {
            if (newSize < size) {
                zero(newSize, size - newSize);
                int firstGone = (int) ((newSize + PAGE_BYTES - 1) / PAGE_BYTES);
                int last = Math.max(firstGone, allocated.length());
                freePages += allocated.get(firstGone, last).cardinality();
                allocated.clear(firstGone, last);
            }
            size = newSize;
        }

        /** The bytes themselves, shared. */
        public ByteBuffer map(long at, long count) {
            room(at + count);
            mapped = true;
            return content.slice((int) at, (int) count).asReadOnlyBuffer();
        }

        private void room(long end) {
            if (end <= content.capacity()) {
                return;
            }
            if (mapped) {
                throw new IllegalStateException("a mapped file would have to grow: " + name(this));
            }
            ByteBuffer larger = take((int) Math.max(end, Math.min(2L * content.capacity(), 64 << 20)));
            larger.put(0, content, 0, content.capacity());
            give(content);
            content = larger;
            if (stable.capacity() > 0) {
                growStable();
            }
        }

        private void growStable() {
            ByteBuffer larger = take(content.capacity());
            larger.put(0, stable, 0, stable.capacity());
            give(stable);
            stable = larger;
        }

        private void dirty(int page) {
            if (!lost.get(page)) {
                for (Sync s : underWay) {
                    s.keep(page);
                }
                dirty.set(page);
            }
        }

        /** Of the cache, from a byte of the page on: what is on the disk. */
        private void putBack(int page, int from) {
            int at = page * PAGE_BYTES + from;
            int count = Math.min((page + 1) * PAGE_BYTES, content.capacity()) - at;
            if (count <= 0) {
                return;
            }
            if (stable.capacity() == 0) {
                MemorySegment.ofBuffer(content).asSlice(at, count).fill((byte) 0);
            } else {
                content.put(at, stable, at, count);
            }
        }

        /** The disk is about to have something else there. */
        private void keepPrevious(int page) {
            int at = page * PAGE_BYTES;
            int count = Math.min(PAGE_BYTES, stable.capacity() - at);
            if (count > 0) {
                stable.get(at, previous.computeIfAbsent(page, p -> new byte[PAGE_BYTES]), 0, count);
            }
        }

        /** As much of the page as the file has room for, as the cache has it. */
        private void putOnDisk(int page) {
            int at = page * PAGE_BYTES;
            int count = Math.min(PAGE_BYTES, content.capacity() - at);
            keepPrevious(page);
            if (count > 0) {
                stable.put(at, content, at, count);
            }
        }

        /** One that waits for the disk. It brings the pages as they were when it began. */
        private final class Sync {
            final BitSet pages = (BitSet) dirty.clone();

            /** Those that were written since, as they were. */
            private final Map<Integer, byte[]> before = new HashMap<>();

            void keep(int page) {
                if (pages.get(page) && !before.containsKey(page)) {
                    byte[] bytes = new byte[Math.max(0, Math.min(PAGE_BYTES, content.capacity() - page * PAGE_BYTES))];
                    content.get(page * PAGE_BYTES, bytes);
                    before.put(page, bytes);
                }
            }

            void bring() {
                if (stable.capacity() < content.capacity()) {
                    growStable();
                }
                for (int page = pages.nextSetBit(0); page >= 0; page = pages.nextSetBit(page + 1)) {
                    byte[] bytes = before.get(page);
                    if (bytes == null) {
                        putOnDisk(page);
                    } else {
                        keepPrevious(page);
                        stable.put(page * PAGE_BYTES, bytes);
                    }
                }
            }
        }

        /** fsync: returns when it is on the disk. */
        public void sync() throws IOException {
            Sync sync = new Sync();
            long sizeThen = size;
            TreeMap<Long, byte[]> mapThen = map == null ? null : new TreeMap<>(map);
            boolean fails = failSyncs > 0 && matches(this);
            if (fails) {
                failSyncs--;
            }
            dirty.clear(); // what is written while this waits is dirty again
            if (World.self() != null) {
                underWay.add(sync);
                World.sleep(syncNanos / 2 + rng.below(syncNanos + 1));
            }
            int at = underWay.indexOf(sync);
            List<Sync> earlier = at <= 0 ? List.of() : List.copyOf(underWay.subList(0, at));
            underWay.remove(sync);
            if (fails) {
                world.say(host, "a sync fails with EIO: " + name(this));
                dirty.andNot(sync.pages);
                lost.or(sync.pages);
                throw new IOException("Input/output error");
            }
            earlier.forEach(s -> s.pages.andNot(sync.pages)); // what this brings is newer
            sync.bring();
            durableSize = sizeThen;
            durableMap = mapThen;
        }

        /** Who waited for them is dead: what they were to bring is as dirty as before. */
        private void abandonSyncs() {
            underWay.forEach(s -> dirty.or(s.pages));
            underWay.clear();
        }

        /** While a sync is under way the power may go: what it was to bring is then as dirty as before. */
        private void losePower() {
            abandonSyncs();
            for (int page = dirty.nextSetBit(0); page >= 0; page = dirty.nextSetBit(page + 1)) {
                int fate = rng.below(8);
                if (fate < 3) {
                    putBack(page, 0);
                } else if (fate == 3) {
                    putBack(page, SECTOR_BYTES * (1 + rng.below(PAGE_BYTES / SECTOR_BYTES - 1)));
                }
            }
            for (int page = lost.nextSetBit(0); page >= 0; page = lost.nextSetBit(page + 1)) {
                putBack(page, 0);
            }
            dirty.or(lost);
            lost.clear();
            if (size != durableSize && rng.coin()) {
                resize(durableSize);
            }
            if (stable.capacity() < content.capacity()) {
                growStable();
            }
            for (int page = dirty.nextSetBit(0); page >= 0; page = dirty.nextSetBit(page + 1)) {
                putOnDisk(page);
            }
            dirty.clear();
            durableSize = size;
            if (map != null) {
                if (durableMap == null || !sameMap(map, durableMap)) {
                    mapDamaged = durableMap == null || rng.coin();
                    map = durableMap == null ? new TreeMap<>() : new TreeMap<>(durableMap);
                }
            }
            locked = false;
        }

        public byte[] bytes() {
            byte[] all = new byte[(int) size];
            content.get(0, all, 0, (int) Math.min(size, content.capacity()));
            return all;
        }

        private byte[] sector(int at, int count) {
            byte[] bytes = new byte[count];
            content.get(at, bytes, 0, Math.max(0, Math.min(count, content.capacity() - at)));
            return bytes;
        }

        /** As the disk had it before. */
        private byte[] previousSector(int at, int count) {
            byte[] page = previous.getOrDefault(at / PAGE_BYTES, new byte[PAGE_BYTES]);
            return Arrays.copyOfRange(page, at % PAGE_BYTES, at % PAGE_BYTES + count);
        }

        void flip(long bit) {
            int at = (int) (bit / 8);
            if (at < content.capacity()) {
                byte flipped = (byte) (content.get(at) ^ (1 << (bit % 8)));
                content.put(at, flipped);
                if (at < stable.capacity()) {
                    stable.put(at, flipped);
                }
            }
        }

        private void overwrite(int at, byte[] bytes) {
            content.put(at, bytes);
            if (at + bytes.length <= stable.capacity()) {
                stable.put(at, bytes);
            }
        }

        private void free() {
            previous.clear();
            give(content);
            give(stable);
            content = NOTHING;
            stable = NOTHING;
        }
    }

    private static boolean sameMap(TreeMap<Long, byte[]> a, TreeMap<Long, byte[]> b) {
        return a.size() == b.size()
                && a.entrySet().stream().allMatch(e -> Arrays.equals(e.getValue(), b.get(e.getKey())));
    }

    private static ByteBuffer take(int bytes) {
        if (bytes <= POOLED_BYTES && bytes > POOLED_BYTES / 2) {
            ByteBuffer pooled = POOL.poll();
            if (pooled != null) {
                MemorySegment.ofBuffer(pooled).fill((byte) 0);
                return pooled;
            }
            return ByteBuffer.allocateDirect(POOLED_BYTES);
        }
        return ByteBuffer.allocateDirect(bytes);
    }

    private static void give(ByteBuffer content) {
        if (content.capacity() == POOLED_BYTES && POOL.size() < MOST_POOLED) {
            POOL.add(content);
        }
    }

    Disk(World world, String host) {
        this.world = world;
        this.host = host;
        this.rng = world.rng("disk " + host);
        nodes.put("/", new Node(true));
    }

    // ---- faults

    public void full(boolean full) {
        this.full = full;
        this.freePages = 0;
    }

    long usableBytes() {
        return full ? freePages * PAGE_BYTES : 1L << 39;
    }

    /** The next sync of a file whose name contains that fails. */
    public void failNextSync(String nameContains) {
        failSyncs = 1;
        failing = nameContains;
    }

    public void failNextWrite(String nameContains) {
        failWrites = 1;
        failing = nameContains;
    }

    public void failNextRead(String nameContains) {
        failReads = 1;
        failing = nameContains;
    }

    public void wellAgain() {
        failReads = 0;
        failSyncs = 0;
        failWrites = 0;
        full = false;
    }

    public void syncTakes(long nanos) {
        this.syncNanos = nanos;
    }

    /** Everything is gone: another disk is in its place. */
    public void wipe() {
        nodes.values().forEach(Node::free);
        nodes.clear();
        undoNames.clear();
        nodes.put("/", new Node(true));
        wellAgain();
    }

    /**
     * What the disk brings of a file is not what was written: a bit is another one, a sector is of another place, of this file
     * or another one, or it is as it was before it was written last. Only while the machine has no power.
     *
     * @return what was done, in words; null: what is there is what was there
     */
    public @Nullable String rot(String name, int at, Rng by) {
        Node file = nodes.get(name);
        if (file == null || file.size <= at || file.content.capacity() <= at) {
            return null;
        }
        int sector = at / SECTOR_BYTES * SECTOR_BYTES;
        int count = (int) Math.min(SECTOR_BYTES, file.size - sector);
        byte[] before = file.sector(sector, count);
        String how = switch (by.below(4)) {
            case 0 -> {
                file.flip(at * 8L + by.below(8));
                yield "a bit flipped";
            }
            case 1 -> misdirected(file, name, sector, count, by);
            case 2 -> {
                List<String> others = nodes.entrySet().stream()
                        .filter(e ->
                                e.getValue().size >= SECTOR_BYTES && !e.getKey().equals(name))
                        .map(Map.Entry::getKey)
                        .toList();
                String other = others.isEmpty() ? name : by.pick(others);
                yield misdirected(file, other, sector, count, by);
            }
            default -> {
                file.overwrite(sector, file.previousSector(sector, count));
                yield "the sector is what was there before";
            }
        };
        return Arrays.equals(before, file.sector(sector, count)) ? null : how;
    }

    private String misdirected(Node file, String other, int sector, int count, Rng by) {
        Node of = nodes.getOrDefault(other, file);
        int from = by.below((int) (of.size / SECTOR_BYTES)) * SECTOR_BYTES;
        file.overwrite(sector, of.sector(from, count));
        return "the sector is that of " + from + " in " + other;
    }

    void processDied() {
        nodes.values().forEach(Node::abandonSyncs);
    }

    void losePower() {
        int undone = rng.below(undoNames.size() + 1);
        for (int i = 0; i < undone; i++) {
            undoNames.removeLast().run();
        }
        undoNames.clear();
        nodes.values().forEach(Node::losePower);
        failSyncs = 0;
        failWrites = 0;
        failReads = 0;
    }

    void close() {
        if (!nodes.isEmpty()) {
            nodes.values().forEach(Node::free);
            nodes.clear();
        }
    }

    private boolean matches(Node node) {
        return failing.isEmpty() || name(node).contains(failing);
    }

    private String name(Node node) {
        return nodes.entrySet().stream()
                .filter(e -> e.getValue().equals(node))
                .map(Map.Entry::getKey)
                .findFirst()
                .orElse("(deleted)");
    }

    // ---- names; absolute, without the machine

    public @Nullable Node find(String name) {
        return nodes.get(name);
    }

    public Node open(String name) throws NoSuchFileException {
        Node node = nodes.get(name);
        if (node == null) {
            throw new NoSuchFileException(name);
        }
        return node;
    }

    public Node create(String name, boolean directory) throws IOException {
        Node parent = open(parent(name));
        if (!parent.directory) {
            throw new IOException("Not a directory: " + parent(name));
        }
        if (nodes.containsKey(name)) {
            throw new FileAlreadyExistsException(name);
        }
        Node made = new Node(directory);
        nodes.put(name, made);
        undoNames.add(() -> nodes.remove(name));
        return made;
    }

    public void delete(String name) throws IOException {
        Node node = open(name);
        if (node.directory && !children(name).isEmpty()) {
            throw new DirectoryNotEmptyException(name);
        }
        nodes.remove(name);
        freePages += node.allocated.cardinality();
        undoNames.add(() -> nodes.put(name, node));
    }

    public void move(String from, String to) throws IOException {
        open(from);
        open(parent(to));
        Map<String, Node> before = new HashMap<>();
        TreeMap<String, Node> moved = new TreeMap<>();
        for (String name : List.copyOf(nodes.keySet())) {
            if (name.equals(from) || name.startsWith(from + "/")) {
                Node node = nodes.remove(name);
                before.put(name, node);
                moved.put(to + name.substring(from.length()), node);
            }
        }
        Node replaced = nodes.get(to);
        freePages += replaced == null ? 0 : replaced.allocated.cardinality();
        nodes.putAll(moved);
        undoNames.add(() -> {
            moved.keySet().forEach(nodes::remove);
            if (replaced != null) {
                nodes.put(to, replaced);
            }
            nodes.putAll(before);
        });
    }

    public List<String> children(String directory) {
        String prefix = directory.equals("/") ? "/" : directory + "/";
        List<String> found = new ArrayList<>();
        for (String name : nodes.tailMap(prefix, false).keySet()) {
            if (!name.startsWith(prefix)) {
                break;
            }
            if (name.indexOf('/', prefix.length()) < 0) {
                found.add(name);
            }
        }
        return found;
    }

    /** fsync of a directory. */
    public void syncNames() {
        int then = undoNames.size();
        if (World.self() != null) {
            World.sleep(syncNanos / 2 + rng.below(syncNanos + 1));
        }
        undoNames.subList(0, Math.min(then, undoNames.size())).clear();
    }

    private static String parent(String name) {
        int slash = name.lastIndexOf('/');
        return slash <= 0 ? "/" : name.substring(0, slash);
    }
}
