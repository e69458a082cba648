package io.terminus.agent.volume;

import io.terminus.agent.image.Image;
import io.terminus.agent.volume.RefusedException.Why;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The volumes that have a replica on this agent: one directory each, {@code volumes/NAME}. */
public final class Volumes implements AutoCloseable {

    public static final long MIN_SIZE_BYTES = 4_096;
    public static final long MAX_SIZE_BYTES = 1L << 46;

    private static final Logger LOG = LoggerFactory.getLogger(Volumes.class);
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}");

    private static final String NO_SUPERBLOCK = "it holds files, but no superblock: it is damaged, or somebody's data";
    private static final long AUTHORITY_TIMEOUT_SECONDS = 10;

    /** A replica that was not opened because the disk was full is tried again so often. */
    private static final Duration NO_SPACE_RETRY = Duration.ofSeconds(1);

    /** No volume's name begins so. What does is no replica any more, and deleted at the next start if not before. */
    private static final String DELETED_PREFIX = ".deleted-";

    /** Nor so. What does is no replica yet, and deleted likewise. */
    private static final String BEING_MADE_PREFIX = ".being-made-";

    /** Why a replica that is here is not open, and whether it may be, by and by, unasked. */
    private record Unopened(String why, boolean mayOpen) {
        private static final Unopened NOT_LOOKED_INTO = new Unopened("the agent is starting", true);
    }

    private final Path dir;
    private final Volume.Settings settings;
    private final Function<String, VolumeAuthority> authorities;
    private final PeerNetwork network;
    private final Map<String, Volume> byName = new ConcurrentHashMap<>();

    /** Of which volumes there is a replica here, or may be, that is not open. */
    private final Map<String, Unopened> unopened = new ConcurrentHashMap<>();

    private volatile boolean closed;

    public Volumes(
            Path dataDir, Volume.Settings settings, Function<String, VolumeAuthority> authorities, PeerNetwork network)
            throws IOException {
        this.dir = dataDir.resolve("volumes");
        for (String name : directories(dir)) { // before anybody can ask for one
            if (isName(name)) {
                unopened.put(name, Unopened.NOT_LOOKED_INTO);
            }
        }
        this.settings = settings;
        this.authorities = authorities;
        this.network = network;
    }

    /** The agent is stopping, or has. */
    public boolean closed() {
        return closed;
    }

    /**
     * Opens every replica there is. One that cannot be opened is left alone and said so; the others are served. A full disk
     * is not final: what could not be opened for that is opened when there is space. Meanwhile others may be asked for already.
     */
    public void openAll() throws IOException {
        Files.createDirectories(dir);
        for (String name : directories(dir)) {
            Path d = dir.resolve(name);
            if (name.startsWith(DELETED_PREFIX) || name.startsWith(BEING_MADE_PREFIX)) {
                clear(d);
            } else if (isName(name) && !openedOrGone(d)) {
                openLater(d);
            }
        }
    }

    private static List<String> directories(Path dir) throws IOException {
        if (!Files.exists(dir)) {
            return List.of();
        }
        try (DirectoryStream<Path> dirs = Files.newDirectoryStream(dir, Files::isDirectory)) {
            List<String> names = new ArrayList<>();
            for (Path d : dirs) {
                names.add(d.getFileName().toString());
            }
            return names;
        }
    }

    /** A deletion or a creation that did not get to its end, or does so just now. */
    private synchronized void clear(Path d) {
        try {
            deleteTree(d);
        } catch (IOException e) {
            LOG.warn("{} is left of a deletion or a creation, and cannot be deleted: {}", d, e.getMessage());
        }
    }

    /** @return false if it is to be tried once more */
    private synchronized boolean openedOrGone(Path d) {
        String name = d.getFileName().toString();
        if (byName.containsKey(name) || !Files.exists(d)) {
            unopened.remove(name);
            return true;
        }
        return closed || opened(d);
    }

    /** @return false if there was no space to open it */
    private boolean opened(Path d) {
        String name = d.getFileName().toString();
        try {
            if (!holdsFiles(d)) {
                unopened.remove(name);
                return true;
            }
            if (!Superblock.isIn(d)) {
                throw new IOException(NO_SUPERBLOCK);
            }
            start(d, VolumeConfig.decode(Superblock.read(d).seen().config()));
            unopened.remove(name);
        } catch (DiskFullException e) {
            unopened.put(name, new Unopened("the disk is full: " + e.getMessage(), true));
            LOG.warn("the replica in {} is not opened as long as the disk is full: {}", d, e.getMessage());
            return false;
        } catch (IOException | VolumeConfig.UnreadableConfigException | RuntimeException e) {
            unopened.put(name, new Unopened(String.valueOf(e.getMessage()), false));
            LOG.error("the replica in {} is not opened: {}", d, e.getMessage(), e);
        }
        return true;
    }

    private void openLater(Path d) {
        Thread.ofVirtual().name("open-" + d.getFileName()).start(() -> {
            try {
                do {
                    Thread.sleep(NO_SPACE_RETRY);
                } while (!openedOrGone(d));
                if (byName.containsKey(d.getFileName().toString())) {
                    LOG.info("the replica in {} is opened: there is space again", d);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    /**
     * Makes an empty replica for a volume that is being created. Doing it again is no error. That an earlier volume of the name is
     * deleted is believed of the value block only: who asks may be anybody that calls itself a replica of the new one. What is here and
     * cannot be opened may hold what nobody else has, and is thrown away only by who asks for that, {@link #recreate}.
     */
    public synchronized Volume create(VolumeConfig config) throws RefusedException, IOException, InterruptedException {
        requireShape(config.name(), config.sizeBytes());
        requireAllKnownOf(config.name());
        Volume there = byName.get(config.name());
        if (there != null) {
            if (there.config().uuid().equals(config.uuid())) {
                return there;
            }
            if (config.saysDeleted(there.config().uuid())) {
                buryNow(there);
            } else if (there.everInUse()) {
                throw new RefusedException(
                        Why.OTHER_SHAPE,
                        "agent " + settings.agent() + " has a replica of another volume " + config.name() + ", "
                                + there.config().uuid());
            } else {
                drop(there.name(), there);
            }
        }
        Path d = dir.resolve(config.name());
        String closedFor = whyNotOpened(config.name());
        if (closedFor == null && holdsFiles(d)) {
            closedFor = "it was put there while the agent ran";
        }
        if (closedFor != null) {
            throw new RefusedException(
                    Why.FAILED,
                    "agent " + settings.agent() + " has a replica in " + d
                            + " that it cannot open, and does not replace"
                            + " unasked: " + closedFor + ". `resync " + config.name() + " --agent "
                            + settings.agent() + " --anew` throws it away");
        }
        // One more of a volume that is in use is made anew: an earlier one here may be known by the machine's plain
        // name.
        make(d, config, config.term() > 0);
        return startMade(d, config);
    }

    /** Beside, and in its place when it is whole, durably: so what has no superblock there is nothing that this agent has left half done. */
    private void make(Path d, VolumeConfig config, boolean anew) throws IOException {
        Path beside = dir.resolve(BEING_MADE_PREFIX + config.name());
        deleteTree(beside);
        try {
            if (anew) {
                Replica.createAnew(beside, config, settings.segments(config), settings.agent(), settings.bootId());
            } else {
                Replica.create(beside, config, settings.segments(config), settings.agent(), settings.bootId());
            }
            Files.deleteIfExists(d); // empty
            Files.move(beside, d, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException | RuntimeException e) {
            deleteTree(beside); // it may be what the disk was full of
            throw e;
        }
    }

    /** One that was just made, and is ours from here on: it is opened later if that is not possible now. */
    private Volume startMade(Path d, VolumeConfig config) throws IOException {
        try {
            syncDirectory();
            return start(d, config);
        } catch (IOException | RuntimeException e) {
            boolean full = e instanceof DiskFullException;
            unopened.put(config.name(), new Unopened(String.valueOf(e.getMessage()), full));
            if (full) {
                openLater(d);
            }
            throw e;
        }
    }

    /** Whoever is not in {@link #byName} has no replica here: not so while some are not open yet, or are being closed. */
    private void requireAllKnownOf(String name) throws RefusedException {
        if (closed) {
            throw new RefusedException(Why.NOT_READY, "agent " + settings.agent() + " is stopping");
        }
        Unopened there = unopened.get(name);
        if (there != null && there.mayOpen()) {
            requireGone(name, there);
        }
    }

    /** What was not looked into yet nobody can want to be thrown away. */
    private void requireLookedInto(String name) throws RefusedException {
        if (Unopened.NOT_LOOKED_INTO.equals(unopened.get(name))) {
            requireGone(name, Unopened.NOT_LOOKED_INTO);
        }
    }

    private void requireGone(String name, Unopened there) throws RefusedException {
        if (Files.exists(dir.resolve(name))) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "agent " + settings.agent() + " has files of a volume " + name + " that are not open yet: "
                            + there.why() + ". Nothing has changed here");
        }
    }

    /**
     * Throws this agent's replica away and makes an empty one, to be copied to: for one that has failed, or is not to be
     * believed. Refused while the in-sync set counts on it.
     */
    public synchronized Volume recreate(String name) throws RefusedException, IOException, InterruptedException {
        requireLookedInto(name);
        Volume there = byName.get(name);
        if (there == null && whyNotOpened(name) == null) {
            throw new RefusedException(
                    Why.UNKNOWN_VOLUME,
                    "agent " + settings.agent() + " has no replica of volume " + name
                            + " that could be thrown away: one that is added begins empty");
        }
        VolumeConfig current = current(name, there);
        if (current.member(settings.agent()).isPresent()) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "the in-sync set of " + name + " counts on the replica at " + settings.agent()
                            + ": it can be made anew when it has left");
        }
        drop(name, there);
        Path d = dir.resolve(name);
        make(d, current, true);
        LOG.info("volume {}: the replica here was thrown away, and is empty", name);
        return startMade(d, current);
    }

    /** Deletes this agent's replica with all its files. Refused while the value block names it. */
    public synchronized void delete(String name) throws RefusedException, IOException, InterruptedException {
        requireLookedInto(name);
        Volume there = byName.get(name);
        if (there == null && whyNotOpened(name) == null) {
            throw absent(name);
        }
        if (current(name, there).address(settings.agent()).isPresent()) {
            throw new RefusedException(
                    Why.NOT_READY,
                    "the replica of " + name + " at " + settings.agent() + " is one of the volume's: it can be deleted"
                            + " when it has been removed");
        }
        drop(name, there);
        LOG.info("volume {}: the replica here is deleted", name);
    }

    /**
     * Deletes the replica of a volume that was deleted as a whole. That is believed of the value block only; who asks has no
     * say in it. No error if it is gone already.
     */
    public synchronized void bury(UUID uuid) throws RefusedException, IOException, InterruptedException {
        Volume there = byUuid(uuid);
        if (there != null && !closed) {
            buryNow(there);
        }
    }

    private void buryNow(Volume there) throws RefusedException, IOException, InterruptedException {
        UUID uuid = there.config().uuid();
        VolumeConfig now = read(there.name());
        if (now == null || !now.saysDeleted(uuid)) {
            throw new RefusedException(
                    Why.OTHER_CONFIG,
                    "the value block of " + there.name() + " does not say that volume " + uuid + " is deleted");
        }
        drop(there.name(), there);
        LOG.info("volume {}, {}: deleted, and so is the replica here", there.name(), uuid);
    }

    /** From the volume's own thread, which ends with it. */
    private void buryLater(Volume deleted) {
        Thread.ofVirtual().name("bury-" + deleted.name()).start(() -> {
            try {
                bury(deleted.config().uuid());
            } catch (RefusedException | IOException e) {
                LOG.warn("the replica of the deleted volume {} is not deleted: {}", deleted.name(), e.getMessage());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    /**
     * Under another name first, and durably: a deletion that stops half-way leaves nothing that looks like a replica.
     *
     * @param there null: it could not be opened
     */
    private void drop(String name, @Nullable Volume there) throws IOException {
        if (there != null) {
            byName.remove(name);
            there.close();
        }
        Path gone = dir.resolve(DELETED_PREFIX + name + "-" + UUID.randomUUID());
        Files.move(dir.resolve(name), gone, StandardCopyOption.ATOMIC_MOVE);
        unopened.remove(name);
        syncDirectory();
        emptySegments(gone.resolve(ReplicaFiles.JOURNAL_DIR));
        deleteTree(gone);
    }

    private void syncDirectory() throws IOException {
        try (FileChannel directory = FileChannel.open(dir, StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    /** They are mapped until the next garbage collection, and deleted alone they would take their space on the disk until then. */
    private static void emptySegments(Path journal) throws IOException {
        if (!Files.isDirectory(journal)) {
            return;
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(journal, Files::isRegularFile)) {
            for (Path file : files) {
                try {
                    Image.empty(file, Files.size(file));
                } catch (IOException e) {
                    LOG.debug("{} keeps its space until nobody maps it: {}", file, e.getMessage());
                }
            }
        }
    }

    /** Why the replica that is here could not be opened; null: there is none such. */
    public @Nullable String whyNotOpened(String name) {
        Unopened there = unopened.get(name);
        // An operator may have taken it away.
        return there != null && Files.exists(dir.resolve(name)) ? there.why() : null;
    }

    /** The names of the volumes of {@link #whyNotOpened}. */
    public Set<String> notOpened() {
        return unopened.keySet();
    }

    /** What to answer who asks for a volume that {@link #byName} does not know. */
    public RefusedException absent(String name) {
        String why = whyNotOpened(name);
        return new RefusedException(
                Why.UNKNOWN_VOLUME,
                "agent " + settings.agent()
                        + (why == null
                                ? " has no replica of volume " + name
                                : " has a replica of volume " + name + " that it cannot open: " + why));
    }

    /** What the lock manager says now. */
    private @Nullable VolumeConfig read(String name) throws RefusedException, InterruptedException {
        try {
            return authority(name)
                    .read()
                    .get(AUTHORITY_TIMEOUT_SECONDS, TimeUnit.SECONDS)
                    .config();
        } catch (ExecutionException | TimeoutException e) {
            throw new RefusedException(Why.NOT_READY, "the lock manager does not answer: " + e.getMessage());
        }
    }

    /** @param there null: it could not be opened, so only the name says which volume it is of */
    private VolumeConfig current(String name, @Nullable Volume there) throws RefusedException, InterruptedException {
        VolumeConfig current = read(name);
        if (current == null
                || (there == null
                        ? current.standing() == Standing.DELETED
                        : !current.uuid().equals(there.config().uuid()))) {
            throw new RefusedException(Why.OTHER_CONFIG, "the lock manager does not know this volume " + name);
        }
        return current;
    }

    /** Whether a volume may be called so. */
    public static boolean isName(String name) {
        return NAME.matcher(name).matches();
    }

    /** Refuses a name or a size that no volume may have. */
    public static void requireShape(String name, long sizeBytes) throws RefusedException {
        if (!isName(name)) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "\"" + name + "\" is no volume name: 1 to 128 characters of [A-Za-z0-9._-], the first one of"
                            + " [A-Za-z0-9_]");
        }
        if (sizeBytes < MIN_SIZE_BYTES || sizeBytes > MAX_SIZE_BYTES || sizeBytes % MIN_SIZE_BYTES != 0) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "a volume of " + sizeBytes + " bytes: a multiple of " + MIN_SIZE_BYTES + " from " + MIN_SIZE_BYTES
                            + " to " + MAX_SIZE_BYTES + " is allowed");
        }
    }

    /** Refuses what no volume of so many replicas can ask of an acknowledgement. */
    public static void requireAcks(VolumeConfig.Acks acks, int replicas) throws RefusedException {
        if (acks.copies() < 0 || acks.copies() > replicas || acks.minCopies() < 1 || acks.minCopies() > replicas) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "copies " + acks.copies() + " and minCopies " + acks.minCopies() + " of " + replicas
                            + " replicas: 0 to " + replicas + " and 1 to " + replicas + " are allowed");
        }
        if (acks.level() == AckLevel.LOCAL && (acks.copies() > 1 || acks.minCopies() > 1)) {
            throw new RefusedException(
                    Why.OTHER_SHAPE,
                    "copies " + acks.copies() + " and minCopies " + acks.minCopies()
                            + " at ack level local: there only the writer's copy counts, so 1 is the most");
        }
    }

    public @Nullable Volume byName(String name) {
        return byName.get(name);
    }

    public @Nullable Volume byUuid(UUID uuid) {
        return byName.values().stream()
                .filter(v -> v.config().uuid().equals(uuid))
                .findFirst()
                .orElse(null);
    }

    public Collection<Volume> all() {
        return byName.values();
    }

    public String agent() {
        return settings.agent();
    }

    public VolumeAuthority authority(String name) {
        return authorities.apply(name);
    }

    /** Hands over or drains every volume, all at once, and closes the replicas. Doing it again does nothing. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        byName.values().parallelStream().forEach(Volume::close);
    }

    private Volume start(Path d, VolumeConfig config) throws IOException {
        Volume v = Volume.open(d, config, settings, authorities.apply(config.name()), network, this::buryLater);
        byName.put(config.name(), v);
        v.start();
        if (closed) {
            v.close(); // who closed the others may not have seen this one
        }
        return v;
    }

    private static boolean holdsFiles(Path d) throws IOException {
        if (!Files.isDirectory(d)) {
            return Files.exists(d);
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(d)) {
            return files.iterator().hasNext();
        }
    }

    private static void deleteTree(Path d) throws IOException {
        if (!Files.exists(d)) {
            return;
        }
        try (var files = Files.walk(d)) {
            for (Path p : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
    }
}
