package io.terminus.lockmgr.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The generations of the log that a start has to read, oldest first: all behind the snapshot, without a gap. Found without
 * changing anything.
 *
 * @param parts at least one
 * @param covered files the snapshot has made superfluous
 * @param lost files behind a torn end: begun before the machine lost power, and nothing in them was ever synced
 */
record LogChain(List<Part> parts, List<Path> covered, List<Path> lost) {

    private static final Pattern LOG_NAME = Pattern.compile("decisions-(\\d{1,18})\\.log");

    record Part(Path file, DecisionLog.Scan scan) {}

    DecisionLog.Scan last() {
        return parts.getLast().scan();
    }

    static Path file(Path directory, long generation) {
        return directory.resolve("decisions-%012d.log".formatted(generation));
    }

    /** Oldest first. */
    static List<Path> generations(Path directory) throws IOException {
        List<Path> found = new ArrayList<>();
        try (Stream<Path> files = Files.list(directory)) {
            files.filter(f -> LOG_NAME.matcher(f.getFileName().toString()).matches())
                    .sorted((a, b) -> Long.compare(generation(a), generation(b)))
                    .forEach(found::add);
        }
        return found;
    }

    /**
     * @param snapshot null if there is none
     * @param bootId of the running kernel
     * @param lastBootId of the last start the snapshot knows; empty for none
     * @throws StoreRefusedException if anything is missing or damaged
     */
    static LogChain find(Path directory, Snapshot.@Nullable Covers snapshot, String bootId, String lastBootId)
            throws IOException {
        List<Path> files = generations(directory);
        long generation = snapshot == null ? 0 : snapshot.generation();
        long sequence = snapshot == null ? 0 : snapshot.lastSequence();
        List<Path> covered = new ArrayList<>();
        while (!files.isEmpty() && generation(files.getFirst()) <= generation) {
            covered.add(files.removeFirst());
        }
        for (int i = 0; i < Math.max(1, files.size()); i++) {
            Path expected = file(directory, generation + 1 + i);
            if (files.isEmpty() || !files.get(i).equals(expected)) {
                throw damaged(expected + " is missing");
            }
        }
        List<Part> parts = new ArrayList<>();
        String boot = lastBootId;
        for (int i = 0; i < files.size(); i++) {
            Path file = files.get(i);
            long next = i + 1 < files.size() ? DecisionLog.firstSequence(files.get(i + 1)) : Long.MAX_VALUE;
            long end = next < 0 ? Long.MAX_VALUE : next;
            DecisionLog.Scan scan = DecisionLog.scan(file, end, bootId, boot);
            if (scan.firstSequence() != sequence + 1) {
                throw damaged(
                        file + " begins with record " + scan.firstSequence() + ", expected was " + (sequence + 1));
            }
            parts.add(new Part(file, scan));
            boot = scan.bootId();
            sequence = scan.lastSequence();
            if (i + 1 < files.size() && sequence + 1 != next) {
                List<Path> behind = files.subList(i + 1, files.size());
                refuseSynced(file, sequence, behind, bootId, boot);
                return new LogChain(parts, covered, behind);
            }
        }
        return new LogChain(parts, covered, List.of());
    }

    /** A generation may end before the next one begins only if power was lost before either was synced to its end. */
    private static void refuseSynced(Path file, long lastSequence, List<Path> behind, String bootId, String lastBootId)
            throws IOException {
        boolean sameBoot = bootId.equals(lastBootId);
        for (Path later : behind) {
            boolean begun = DecisionLog.firstSequence(later) >= 0;
            if (sameBoot || (begun && synced(DecisionLog.scan(later, Long.MAX_VALUE, bootId, lastBootId)))) {
                throw damaged(file + " ends behind record " + lastSequence + " although " + later + " follows");
            }
        }
    }

    private static boolean synced(DecisionLog.Scan scan) {
        return scan.syncedBytes() > 0;
    }

    private static StoreRefusedException damaged(String what) {
        return new StoreRefusedException("data directory damaged: " + what
                + "; put back a copy of the directory and raise lockmgr.epoch-at-least");
    }

    private static long generation(Path log) {
        Matcher name = LOG_NAME.matcher(log.getFileName().toString());
        return name.matches() ? Long.parseLong(name.group(1)) : 0;
    }
}
