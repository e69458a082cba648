package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.RealClients;
import io.terminus.agent.RealClients.Outcome;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The server as libnbd, qemu and fio see it. */
class RealClientsTest {

    private static final int SIZE = 64 << 20;

    @TempDir
    Path dir;

    private final MemoryExport disk = new MemoryExport("disk", SIZE);
    private NbdServer server;
    private String uri;

    @BeforeEach
    void serve() throws Exception {
        server = NbdServer.start(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                MemoryExports.of(disk, new MemoryExport("other", 4096)),
                Limits.defaults());
        uri = "nbd://127.0.0.1:" + ((InetSocketAddress) server.address()).getPort() + "/disk";
    }

    @AfterEach
    void close() {
        server.close();
    }

    @Test
    void nbdinfoSeesWhatIsOffered() throws Exception {
        Outcome info = RealClients.run("nbdinfo", "--json", uri).succeeded();

        assertThat(info.output().replaceAll("\\s+", ""))
                .contains("\"protocol\":\"newstyle-fixed\"", "\"structured\":true")
                .contains("\"export-name\":\"disk\"", "\"description\":\"memoryof67108864bytes\"")
                .contains("\"export-size\":67108864")
                .contains("\"is_read_only\":false", "\"can_multi_conn\":true", "\"can_flush\":true")
                .contains("\"can_fua\":true", "\"can_trim\":true", "\"can_zero\":true", "\"can_df\":true")
                .contains("\"can_fast_zero\":true", "\"can_cache\":false")
                .contains("\"block_size_minimum\":1,")
                .contains("\"block_size_preferred\":4096", "\"block_size_maximum\":33554432");
    }

    @Test
    void nbdinfoListsEveryExport() throws Exception {
        Outcome list =
                RealClients.run("nbdinfo", "--list", uri.replace("/disk", "")).succeeded();

        assertThat(list.output()).contains("export=\"disk\"", "export=\"other\"", "memory of 4096 bytes");
    }

    @Test
    void nbdinfoNamesAnExportThatIsNotThere() throws Exception {
        Outcome info = RealClients.run("nbdinfo", uri.replace("/disk", "/nothing"));

        assertThat(info.exitCode()).isNotZero();
        assertThat(info.output()).contains("nothing");
    }

    @Test
    void qemuWritesZerosDiscardsAndReadsBack() throws Exception {
        Outcome io = RealClients.run(
                        "qemu-io",
                        "-f",
                        "raw",
                        "-c",
                        "write -P 0xab 0 4M",
                        "-c",
                        "write -P 0xcd 12345 777",
                        "-c",
                        "write -z -u 1M 1M",
                        "-c",
                        "write -z 2M 64k",
                        "-c",
                        "discard 3M 1M",
                        "-c",
                        "write -f -P 0xef 5M 4k",
                        "-c",
                        "flush",
                        "-c",
                        "read -P 0xab 0 12345",
                        "-c",
                        "read -P 0xcd 12345 777",
                        "-c",
                        "read -P 0 1M 1M",
                        "-c",
                        "read -P 0 2M 64k",
                        "-c",
                        "read -P 0 3M 1M",
                        "-c",
                        "read -P 0xef 5M 4k",
                        uri)
                .succeeded();

        assertThat(io.output()).doesNotContain("failed").doesNotContain("error");
        assertThat(disk.writesThrough.get()).isPositive();
        assertThat(disk.flushes.get()).isPositive();
        assertThat(disk.punches.get()).isPositive();
    }

    @Test
    void nbdcopyBringsAFileInAndOutOverFourConnections() throws Exception {
        RealClients.require("nbdcopy");
        byte[] content = new byte[SIZE];
        new Random(5).nextBytes(content);
        Path in = Files.write(dir.resolve("in"), content);
        Path out = Files.createFile(dir.resolve("out"));

        RealClients.run("nbdcopy", "--connections=4", "--requests=64", "--flush", in.toString(), uri)
                .succeeded();
        RealClients.run("nbdcopy", "--connections=4", "--requests=64", uri, out.toString())
                .succeeded();

        assertThat(Files.mismatch(in, out)).isEqualTo(-1);
        assertThat(disk.content()).isEqualTo(content);
    }

    @Test
    void qemuConvertsOutOfOrderAndCompares() throws Exception {
        RealClients.require("qemu-img");
        byte[] content = new byte[SIZE];
        new Random(6).nextBytes(content);
        java.util.Arrays.fill(content, 8 << 20, 24 << 20, (byte) 0);
        Path in = Files.write(dir.resolve("in"), content);

        RealClients.run("qemu-img", "convert", "-n", "-W", "-m", "8", "-f", "raw", "-O", "raw", in.toString(), uri)
                .succeeded();

        RealClients.run("qemu-img", "compare", "-f", "raw", "-F", "raw", in.toString(), uri)
                .succeeded();
    }

    @Test
    void fioVerifiesItsWritesOverFourConnections() throws Exception {
        RealClients.run(
                        "fio",
                        "--name=verify",
                        "--ioengine=nbd",
                        "--uri=" + uri,
                        "--rw=randwrite",
                        "--bsrange=512-256k",
                        "--size=16m",
                        "--numjobs=4",
                        "--offset_increment=16m",
                        "--iodepth=32",
                        "--verify=crc32c",
                        "--verify_fatal=1",
                        "--do_verify=1",
                        "--randrepeat=0")
                .succeeded();
    }
}
