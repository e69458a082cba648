package io.terminus.benchmarks.data;

import io.terminus.benchmarks.Ports;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What can be had without Terminus, of Debian's packages. */
final class Peers {

    private static final String CONNECTIONS = "8";
    private static final int START_SECONDS = 20;
    private static final int POLL_MILLIS = 20;

    private Peers() {}

    /** One image, one server: {@code --persistent}, and shared by as many clients as come. */
    static Contender qemuNbd(Workshop workshop, String name, Front front, String export, long sizeBytes)
            throws IOException, InterruptedException {
        int port = Ports.free();
        Path socket = workshop.directory().resolve(name + ".sock");
        Daemon server = start(workshop, name, front, port, socket, export, sizeBytes);
        Contender contender = new Contender(name, front.uri(port, socket, export), List.of(server));
        awaitServing(workshop, contender);
        return contender;
    }

    /**
     * Two copies: a storage daemon writes each block to an image of its own and to a qemu-nbd, and answers when both have answered
     * (threshold 1: a read is satisfied by one).
     */
    static Contender quorum(Workshop workshop, Front front, Front link, String export, long sizeBytes)
            throws IOException, InterruptedException {
        int linkPort = Ports.free();
        String secondExport = export + "-second";
        Path linkSocket = workshop.directory().resolve("link.sock");
        Daemon second = start(workshop, "qemu-nbd-second", link, linkPort, linkSocket, secondExport, sizeBytes);
        awaitServing(workshop, new Contender("second", link.uri(linkPort, linkSocket, secondExport), List.of(second)));
        int port = Ports.free();
        Path socket = workshop.directory().resolve("quorum.sock");
        List<String> command = List.of(
                "qemu-storage-daemon",
                "--blockdev",
                "driver=file,node-name=f0,filename=" + image(workshop, "quorum", sizeBytes),
                "--blockdev",
                "driver=raw,node-name=first,file=f0",
                "--blockdev",
                "driver=nbd,node-name=n0," + link.blockdev(linkPort, linkSocket) + ",export=" + secondExport,
                "--blockdev",
                "driver=raw,node-name=second,file=n0",
                "--blockdev",
                "driver=quorum,node-name=q0,children.0=first,children.1=second,vote-threshold=1,read-pattern=fifo",
                "--nbd-server",
                front.storageDaemon(port, socket) + ",max-connections=" + CONNECTIONS,
                "--export",
                "nbd,id=e0,node-name=q0,name=" + export + ",writable=on");
        workshop.note(command);
        Daemon first = workshop.start("quorum", command);
        Contender contender = new Contender("quorum", front.uri(port, socket, export), List.of(first, second));
        awaitServing(workshop, contender);
        return contender;
    }

    private static Daemon start(
            Workshop workshop, String name, Front front, int port, Path socket, String export, long sizeBytes)
            throws IOException {
        List<String> command =
                new ArrayList<>(List.of("qemu-nbd", "-f", "raw", "--persistent", "--shared=" + CONNECTIONS));
        command.addAll(front.qemuNbd(port, socket));
        command.addAll(List.of("-x", export, "--cache=writeback"));
        command.add(image(workshop, name, sizeBytes).toString());
        workshop.note(command);
        return workshop.start(name, command);
    }

    /** An image that is one hole; also of a server that runs, whose image was another. */
    static Path image(Workshop workshop, String name, long sizeBytes) throws IOException {
        Path image = workshop.directory().resolve(name + ".img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(0);
            file.setLength(sizeBytes);
        }
        return image;
    }

    private static void awaitServing(Workshop workshop, Contender contender) throws IOException, InterruptedException {
        for (Daemon process : contender.processes()) {
            await(
                    process,
                    () -> !workshop.run(List.of("nbdinfo", "--size", contender.uri()))
                            .isBlank());
        }
    }

    private interface Look {
        boolean seen() throws IOException, InterruptedException;
    }

    private static void await(Daemon server, Look look) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (true) {
            try {
                if (look.seen()) {
                    server.requireAlive();
                    return;
                }
            } catch (IOException e) {
                server.requireAlive();
                if (System.nanoTime() - deadline > 0) {
                    throw new IOException(server.name() + " does not serve; it said: " + server.lastWords(), e);
                }
            }
            Thread.sleep(POLL_MILLIS);
        }
    }
}
