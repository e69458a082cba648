package io.terminus.benchmarks.data;

import java.io.IOException;
import java.util.List;

/**
 * Something a client does to every contender alike.
 *
 * @param name in the names of figures
 * @param contenders by name, in the order in which they are shown
 * @param inBytes a long stream, whose rate is in bytes; else in operations
 */
record Workload(String name, DataBench.Part part, List<String> contenders, boolean inBytes, Work work) {

    interface Work {
        /** @param seconds how long it should take, where that can be chosen */
        Fio.Result run(Contender contender, double seconds) throws IOException, InterruptedException;
    }

    String rateUnit() {
        return inBytes ? "MB/s" : "IOPS";
    }

    double rate(Fio.Result result) {
        return inBytes ? result.megabytesPerSecond() : result.perSecond();
    }

    String cpuUnit() {
        return inBytes ? "CPU-s/GiB" : "CPU-s/M";
    }

    double cpuPerUnit(Fio.Result result, double cpuSeconds) {
        return inBytes ? cpuSeconds / (result.bytes() / (1L << 30)) : cpuSeconds / (result.operations() / 1e6);
    }
}
