package io.terminus.agent.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.Certificates;
import io.terminus.agent.RealClients;
import io.terminus.agent.RealClients.Outcome;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
                .contains("\"can_fast_zero\":true", "\"can_cache\":true")
                .contains("\"contexts\":[\"base:allocation\"")
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
    void nbdinfoMapsDataAndHoles() throws Exception {
        RealClients.run("qemu-io", "-f", "raw", "-c", "write -P 1 1M 64k", uri).succeeded();

        Outcome map = RealClients.run("nbdinfo", "--map", "--json", uri).succeeded();
        Outcome blocks = RealClients.run("nbdinfo", "--map=x-test:blocks", uri).succeeded();

        assertThat(map.output().replaceAll("\\s+", ""))
                .contains(
                        "\"offset\":0,\"length\":1048576,\"type\":3", "\"offset\":1048576,\"length\":65536,\"type\":0")
                .contains("\"offset\":1114112,\"length\":65994752,\"type\":3");
        assertThat(blocks.output().lines()).hasSize(SIZE / MemoryExport.BLOCK_BYTES);
    }

    @Test
    void qemuMapsAndCopiesOnlyWhatIsThere() throws Exception {
        RealClients.require("qemu-img");
        RealClients.run("qemu-io", "-f", "raw", "-c", "write -P 1 8M 1M", uri).succeeded();
        Path out = dir.resolve("out.qcow2");

        Outcome map = RealClients.run("qemu-img", "map", "-f", "raw", "--output=json", uri)
                .succeeded();
        RealClients.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, out.toString())
                .succeeded();

        assertThat(map.output())
                .contains("\"start\": 8388608, \"length\": 1048576")
                .contains("\"data\": true");
        assertThat(Files.size(out)).isLessThan(4 << 20);
        RealClients.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, out.toString())
                .succeeded();
    }

    @Test
    void clientsComeThroughAUnixSocketOfOwnerAndGroup() throws Exception {
        Path socket = dir.resolve("nbd.sock");
        server.listen(UnixDomainSocketAddress.of(socket), Security.plain());
        String unix = "nbd+unix:///disk?socket=" + socket;

        RealClients.run("nbdinfo", "--json", unix).succeeded();
        RealClients.run("qemu-io", "-f", "raw", "-c", "write -P 7 0 64k", "-c", "read -P 7 0 64k", unix)
                .succeeded();

        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                .isEqualTo("rw-rw----");
    }

    @Test
    void fuseShowsTheExportAsAFile() throws Exception {
        RealClients.require("nbdfuse");
        if (!Files.isWritable(Path.of("/dev/fuse"))) {
            RealClients.lacking("/dev/fuse is not there for us: nothing can be mounted");
        }
        Path mounted = Files.createDirectory(dir.resolve("mounted"));
        Path output = dir.resolve("nbdfuse.log");
        Process fuse = new ProcessBuilder("nbdfuse", mounted + "/disk", uri)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            await().atMost(Duration.ofSeconds(30))
                    .until(() -> !fuse.isAlive() || Files.exists(mounted.resolve("disk")));
            if (!fuse.isAlive()) {
                RealClients.lacking("nothing can be mounted here: " + read(output));
            }
            byte[] content = new byte[1 << 20];
            new Random(8).nextBytes(content);

            try (FileChannel file =
                    FileChannel.open(mounted.resolve("disk"), StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                file.write(ByteBuffer.wrap(content), 12_345);
                file.force(true);
            }

            assertThat(Files.size(mounted.resolve("disk"))).isEqualTo(SIZE);
            assertThat(Arrays.copyOfRange(disk.content(), 12_345, 12_345 + content.length))
                    .isEqualTo(content);
        } finally {
            RealClients.run("fusermount3", "-u", mounted.toString());
            fuse.destroy();
            fuse.waitFor();
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            return e.toString();
        }
    }

    @Test
    void certificatesLetInWhoHasThemAndNobodyElse() throws Exception {
        RealClients.require("nbdinfo");
        Certificates known = Certificates.make(dir.resolve("known"));
        Certificates strangers = Certificates.make(dir.resolve("strangers"));
        Files.copy(known.file("ca-cert.pem"), strangers.file("ca-cert.pem"), StandardCopyOption.REPLACE_EXISTING);
        InetSocketAddress at = (InetSocketAddress) server.listen(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), Security.required(known.server()));
        String address = "localhost:" + at.getPort() + "/disk";
        byte[] content = new byte[8 << 20];
        new Random(7).nextBytes(content);
        Path in = Files.write(dir.resolve("in"), content);
        Path out = Files.createFile(dir.resolve("out"));
        String secure = "nbds://" + address + "?tls-certificates=" + known.dir();

        Outcome info = RealClients.run("nbdinfo", "--json", secure).succeeded();
        RealClients.run("nbdcopy", "--connections=4", "--flush", in.toString(), secure)
                .succeeded();
        RealClients.run("nbdcopy", "--connections=4", secure, out.toString()).succeeded();

        assertThat(info.output().replaceAll("\\s+", "")).contains("\"TLS\":true", "\"structured\":true");
        assertThat(Files.size(out)).isEqualTo(SIZE);
        assertThat(Files.mismatch(in, out)).isEqualTo(content.length);
        assertThat(RealClients.run("nbdinfo", "nbd://" + address).exitCode()).isNotZero();
        assertThat(RealClients.run("nbdinfo", "nbds://" + address + "?tls-certificates=" + strangers.dir())
                        .exitCode())
                .isNotZero();
    }

    /** GnuTLS 3.7 does not use an RSA key with TLS 1.3 where the server takes it for nothing but PSS, as Java does. */
    @ParameterizedTest
    @CsvSource({"TLSv1.3, ec", "TLSv1.2, rsa"})
    void qemuSpeaksTls(String protocol, String clientKey) throws Exception {
        RealClients.require("qemu-io");
        Certificates known = Certificates.make(dir.resolve("known"), clientKey);
        SSLContext tls = known.server();
        InetSocketAddress at = (InetSocketAddress) server.listen(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                new Security(Optional.of(() -> tls), List.of(protocol), false, Admission.EVERYONE));
        String options = "driver=nbd,host=localhost,port=" + at.getPort() + ",export=disk";

        Outcome secure = RealClients.run(
                        "qemu-io",
                        "--object",
                        "tls-creds-x509,id=t0,endpoint=client,dir=" + known.dir(),
                        "--image-opts",
                        options + ",tls-creds=t0",
                        "-c",
                        "write -P 0x5a 0 3M",
                        "-c",
                        "read -P 0x5a 0 3M")
                .succeeded();
        Outcome plain = RealClients.run("qemu-io", "--image-opts", options, "-c", "read -P 0x5a 0 3M")
                .succeeded();

        assertThat(secure.output() + plain.output()).doesNotContain("failed").doesNotContain("error");
    }

    @Test
    void qemuConvertsOutOfOrderAndCompares() throws Exception {
        RealClients.require("qemu-img");
        byte[] content = new byte[SIZE];
        new Random(6).nextBytes(content);
        Arrays.fill(content, 8 << 20, 24 << 20, (byte) 0);
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
