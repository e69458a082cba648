package io.terminus.benchmarks.data;

import java.io.IOException;
import java.util.List;

/** nbdcopy: from a file or a server into a server, over as many connections and requests as it is quick with, flushed at the end. */
final class NbdCopy {

    private NbdCopy() {}

    static List<String> command(String from, String to) {
        return List.of("nbdcopy", "--connections=4", "--requests=64", "--flush", from, to);
    }

    /** @param shownFrom how the source is called where the exact commands are listed; the target is a URI there */
    static Fio.Result run(Workshop workshop, String from, String shownFrom, String to, long sizeBytes)
            throws IOException, InterruptedException {
        workshop.note(command(shownFrom, "URI"));
        long start = System.nanoTime();
        var unused = workshop.run(command(from, to));
        return whole(sizeBytes, System.nanoTime() - start);
    }

    /** Of a volume that was copied as a whole, in pieces of 256 KiB. */
    static Fio.Result whole(long sizeBytes, long nanos) {
        return new Fio.Result(sizeBytes >> 18, sizeBytes, nanos / 1e9, Double.NaN, Double.NaN, 0);
    }
}
