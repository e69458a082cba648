package io.terminus.benchmarks.data;

import io.terminus.benchmarks.Goal;
import io.terminus.benchmarks.Report;
import io.terminus.proto.agent.v1.AckLevel;
import io.terminus.proto.agent.v1.Failover;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/**
 * What a volume costs that nobody uses: memory that is no file's, and CPU time, of an agent with many of them, less those of the same agent
 * without. Segments are small, since their pages are files' and the disk's, not the agent's.
 */
final class IdleVolumes {

    private static final long SIZE_BYTES = 1L << 30;
    private static final int SEGMENT_BYTES = 1 << 20;

    private IdleVolumes() {}

    private record Cost(double megabytes, double cores) {}

    static void measure(Report report, Terminus terminus, boolean quick) throws IOException, InterruptedException {
        int volumes = quick ? 10 : 200;
        int seconds = quick ? 3 : 20;
        Terminus.Agent agent = terminus.agent("idle");
        Terminus.awaitServing(agent);
        // The first one loads the code that volumes need.
        create(agent, "first");
        Cost before = cost(agent, seconds);
        long start = System.nanoTime();
        for (int i = 0; i < volumes; i++) {
            create(agent, "n" + i);
        }
        report.figure("idle.create", (System.nanoTime() - start) / 1e6 / volumes, "ms a volume");
        Cost after = cost(agent, seconds);
        report.figure("idle.volumes", volumes, "volumes in one agent");
        report.figure("idle.memory", (after.megabytes() - before.megabytes()) / volumes, "MB a volume", Goal.atMost(5));
        report.figure("idle.cpu-with-one", before.cores() * 1e3, "ms CPU/s");
        report.figure("idle.cpu-with-all", after.cores() * 1e3, "ms CPU/s");
        // A tick of the kernel's accounting in the time that is looked at, or a thousandth of a core for all, is
        // nothing that could be measured.
        report.figure(
                "idle.cpu",
                Math.max(0, after.cores() - before.cores()) * 1e3 / volumes,
                "ms CPU/s a volume",
                Goal.atMost(0.05));
        Terminus.kill(agent);
    }

    private static void create(Terminus.Agent agent, String name) throws IOException, InterruptedException {
        Terminus.create(
                agent,
                "idle" + ProcessHandle.current().pid() + "-" + name,
                SIZE_BYTES,
                AckLevel.RECEIVED,
                Failover.MANUAL,
                SEGMENT_BYTES);
    }

    private static Cost cost(Terminus.Agent agent, int seconds) throws IOException, InterruptedException {
        collectGarbage(agent.process().pid());
        double cpu = Usage.threadSeconds(agent.process());
        long start = System.nanoTime();
        TimeUnit.SECONDS.sleep(seconds);
        double cores = (Usage.threadSeconds(agent.process()) - cpu) / ((System.nanoTime() - start) / 1e9);
        return new Cost(Usage.anonymousBytes(agent.process()) / 1e6, cores);
    }

    /** So that garbage is not taken for what volumes hold. */
    private static void collectGarbage(long pid) throws IOException, InterruptedException {
        Process jcmd = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                        String.valueOf(pid),
                        "GC.run")
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        if (!jcmd.waitFor(60, TimeUnit.SECONDS) || jcmd.exitValue() != 0) {
            jcmd.destroyForcibly();
            throw new IOException("jcmd " + pid + " GC.run failed");
        }
    }
}
