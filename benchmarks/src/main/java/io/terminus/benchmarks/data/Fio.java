package io.terminus.benchmarks.data;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** fio with its NBD engine, and what it says of a run. */
final class Fio {

    /**
     * @param operations reads or writes that were answered
     * @param seconds as fio counts them, without its own start
     * @param p50Nanos from handing a request over to its completion
     */
    record Result(
            long operations, double bytes, double seconds, double p50Nanos, double p99Nanos, double clientCpuSeconds) {

        double perSecond() {
            return operations / seconds;
        }

        double megabytesPerSecond() {
            return bytes / seconds / 1e6;
        }
    }

    private static final List<String> COMMON = List.of(
            "fio",
            "--name=v",
            "--ioengine=nbd",
            "--randrepeat=0",
            "--group_reporting",
            "--lat_percentiles=1",
            "--output-format=json");

    private final Workshop workshop;

    Fio(Workshop workshop) {
        this.workshop = workshop;
    }

    static List<String> command(String uri, String... options) {
        List<String> command = new ArrayList<>(COMMON);
        command.add("--uri=" + uri);
        command.addAll(Arrays.asList(options));
        return List.copyOf(command);
    }

    Result run(Contender contender, String... options) throws IOException, InterruptedException {
        workshop.note(command("URI", options));
        String said = workshop.run(command(contender.uri(), options));
        return parse(said);
    }

    /** Of a job that both writes and reads (to verify), the writes. */
    static Result parse(String said) throws IOException {
        // Warnings may stand before the JSON.
        int begin = said.indexOf('{');
        if (begin < 0) {
            throw new IOException("fio said no JSON but: " + said);
        }
        JsonNode job = JsonMapper.builder()
                .build()
                .readTree(said.substring(begin))
                .path("jobs")
                .path(0);
        int error = job.path("error").asInt();
        if (error != 0) {
            throw new IOException("fio met error " + error);
        }
        JsonNode done = job.path("write").path("total_ios").asLong() > 0 ? job.path("write") : job.path("read");
        long operations = done.path("total_ios").asLong();
        double seconds = done.path("runtime").asDouble() / 1e3;
        if (operations == 0 || seconds <= 0) {
            throw new IOException("fio did nothing: " + said);
        }
        JsonNode percentiles = done.path("lat_ns").path("percentile");
        double cpuShare = (job.path("usr_cpu").asDouble() + job.path("sys_cpu").asDouble()) / 100;
        return new Result(
                operations,
                done.path("io_bytes").asDouble(),
                seconds,
                percentiles.path("50.000000").asDouble(),
                percentiles.path("99.000000").asDouble(),
                cpuShare * job.path("job_runtime").asDouble() / 1e3);
    }
}
