package io.terminus.agent.journal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What is gone of a journal's files: somebody has cut them short or deleted them. A segment has its full length before anything lands in
 * it, so that was never this program. What is missing becomes zeros, which {@link Journal#open} judges like any other bytes.
 *
 * <p>Behind {@link #mend} nothing shows any more that anything was gone. So who has to remember it notes that first.
 */
public final class MissingBytes {

    /** @param there bytes that the segment's file still has; 0 also if there is no file */
    private record Gap(long segment, long there) {}

    private final Path directory;
    private final int segmentBytes;
    private final long from;
    private final List<Gap> gaps;

    private MissingBytes(Path directory, int segmentBytes, long from, List<Gap> gaps) {
        this.directory = directory;
        this.segmentBytes = segmentBytes;
        this.from = from;
        this.gaps = gaps;
    }

    /**
     * Looks, and changes nothing.
     *
     * @param from the checkpoint
     * @param reach up to there, at least, there were files from the checkpoint's on, see {@link Journal.Reach}; 0: not known
     */
    public static MissingBytes find(Path directory, int segmentBytes, long from, long reach) throws IOException {
        List<Gap> gaps = new ArrayList<>();
        TreeMap<Long, Path> files = SegmentStore.list(directory);
        for (long number = from / segmentBytes; number < reach / segmentBytes; number++) {
            if (!files.containsKey(number)) {
                gaps.add(new Gap(number, 0));
            }
        }
        for (Map.Entry<Long, Path> file : files.entrySet()) {
            long length = Files.size(file.getValue());
            if (length < segmentBytes) {
                gaps.add(new Gap(file.getKey(), length));
            }
        }
        return new MissingBytes(directory, segmentBytes, from, gaps);
    }

    public boolean nothing() {
        return gaps.isEmpty();
    }

    /** The positions from which on a segment's bytes are missing. */
    public List<Long> positions() {
        return gaps.stream().map(g -> g.segment() * segmentBytes + g.there()).toList();
    }

    /**
     * Makes the journal fit to be opened. A segment that holds nothing but history goes as a whole, so that nobody is sent zeros for it: the
     * history begins behind it.
     */
    public void mend() throws IOException {
        Disk disk = new Disk();
        Files.deleteIfExists(directory.resolve(SegmentStore.BEING_GIVEN_BACK));
        for (Gap gap : gaps) {
            Path file = directory.resolve(Segment.fileName(gap.segment()));
            if (gap.segment() < from / segmentBytes) {
                Files.delete(file);
            } else if (Files.exists(file)) {
                disk.lengthen(file, gap.there(), segmentBytes);
            } else {
                disk.prewrite(file, segmentBytes);
            }
        }
        if (!gaps.isEmpty()) {
            disk.syncDirectory(directory);
        }
    }
}
