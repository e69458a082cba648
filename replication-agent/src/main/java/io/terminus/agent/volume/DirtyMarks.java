package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The marks of all replicas that are not in sync, and the rule that ties them to this journal: a segment goes only when
 * what it holds is marked for each of them ({@link #release}).
 *
 * <p>A thread marks behind the checkpoint, so that nobody has to wait for it when the journal is full. For a replica that
 * a stream feeds, only what has to go is marked: what the stream brings it needs no mark.
 */
final class DirtyMarks implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(DirtyMarks.class);
    private static final String STATE_SUFFIX = ".state";

    private final Path dir;
    private long sizeBytes;
    private final Journal journal;
    private final Map<String, PeerMarks> marks = new HashMap<>();
    private final Thread thread;

    /** How far this journal may be marked, and how far it is wanted back. */
    private volatile LongSupplier checkpoint = () -> 0;

    private volatile LongSupplier wantedBack = () -> 0;
    private volatile Runnable onCovered = () -> {};
    private volatile boolean closing;
    private boolean started;

    DirtyMarks(Path dir, String volume, long sizeBytes, Journal journal) {
        this.dir = dir;
        this.sizeBytes = sizeBytes;
        this.journal = journal;
        this.thread = Thread.ofPlatform().name("marks-" + volume).daemon().unstarted(this::coverLoop);
    }

    /**
     * @param checkpointNow what lies before it is in the image, and durable there
     * @param wanted segments before it are to be released
     * @param covered called, from the marking thread, when more may be released
     */
    void start(LongSupplier checkpointNow, LongSupplier wanted, Runnable covered) {
        checkpoint = checkpointNow;
        wantedBack = wanted;
        onCovered = covered;
        synchronized (this) {
            started = true;
            startThreadIfNeeded();
        }
    }

    /** A volume all of whose replicas are in sync has no such thread. */
    private void startThreadIfNeeded() {
        if (started && !closing && !marks.isEmpty() && thread.getState() == Thread.State.NEW) {
            thread.start();
        }
    }

    /** Marks are kept for these replicas, and no others. */
    synchronized void keepFor(Set<String> absent) throws IOException {
        for (String agent : List.copyOf(marks.keySet())) {
            PeerMarks gone = absent.contains(agent) ? null : marks.remove(agent);
            if (gone != null) {
                gone.delete();
            }
        }
        if (!absent.isEmpty()) {
            Files.createDirectories(dir);
        }
        deleteOthers(absent);
        for (String agent : absent) {
            if (!marks.containsKey(agent)) {
                marks.put(agent, PeerMarks.open(stateFile(agent), sizeBytes, journal.oldest()));
            }
        }
        startThreadIfNeeded();
        LockSupport.unpark(thread);
    }

    synchronized void grow(long newSizeBytes) {
        sizeBytes = newSizeBytes;
        marks.values().forEach(m -> m.grow(newSizeBytes));
    }

    synchronized @Nullable PeerMarks of(String agent) {
        return marks.get(agent);
    }

    /** A stream begins: the replica is complete at {@code position}, and will get from the journal what follows. */
    synchronized void complete(String agent, long position) {
        PeerMarks m = marks.get(agent);
        if (m != null) {
            m.complete(position);
            if (journal.oldest() > position) {
                m.markAll(); // the segment has gone meanwhile: the stream will not find it either
            }
        }
    }

    /** How far before {@code upTo} segments may go: as far as nobody's marks are missing. */
    synchronized long releasable(long upTo) {
        long covered = upTo;
        for (PeerMarks m : marks.values()) {
            covered = Math.min(covered, m.upTo());
        }
        return Math.min(upTo, Math.max(journal.oldest(), covered));
    }

    /** Releases segments before {@code upTo} as far as they may go. */
    synchronized void release(long upTo) {
        long covered = releasable(upTo);
        journal.release(covered);
        if (covered < upTo) {
            LockSupport.unpark(thread);
        }
    }

    /** There is a new checkpoint, or more is wanted back. */
    void wake() {
        LockSupport.unpark(thread);
    }

    /** This replica starts over elsewhere: what it knew of others is about a history it does not have any more. */
    synchronized void forgetAll() throws IOException {
        Set<String> all = Set.copyOf(marks.keySet());
        keepFor(Set.of());
        keepFor(all);
    }

    @Override
    public void close() {
        synchronized (this) {
            closing = true;
        }
        LockSupport.unpark(thread);
        try {
            if (thread.isAlive()) {
                thread.join();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        synchronized (this) {
            marks.values().forEach(PeerMarks::close);
        }
    }

    private void coverLoop() {
        while (!closing) {
            boolean moved = false;
            List<PeerMarks> all;
            synchronized (this) {
                all = new ArrayList<>(marks.values());
            }
            for (PeerMarks m : all) {
                long to = m.following()
                        ? Math.min(checkpoint.getAsLong(), wantedBack.getAsLong())
                        : checkpoint.getAsLong();
                if (to > m.upTo()) {
                    m.cover(journal, to);
                    moved = true;
                }
            }
            if (moved) {
                onCovered.run();
            } else if (!closing) {
                LockSupport.park(this);
            }
        }
    }

    private void deleteOthers(Set<String> absent) throws IOException {
        if (!Files.isDirectory(dir)) {
            return;
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(dir)) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                if (absent.stream().noneMatch(agent -> name.startsWith(fileName(agent)))) {
                    Files.deleteIfExists(file);
                }
            }
        } catch (IOException e) {
            LOG.warn("old marks in {} cannot be deleted: {}", dir, e.getMessage());
        }
    }

    private Path stateFile(String agent) {
        return dir.resolve(fileName(agent));
    }

    /** Never the beginning of another one's: the suffix has a dot, and every dot of a name is escaped. */
    private static String fileName(String agent) {
        return URLEncoder.encode(agent, StandardCharsets.UTF_8).replace(".", "%2E") + STATE_SUFFIX;
    }
}
