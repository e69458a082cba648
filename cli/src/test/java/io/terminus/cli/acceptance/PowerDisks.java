package io.terminus.cli.acceptance;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.UUID;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Each process has a machine whose power can be lost: an ext4 on a loop device on a file of nbdfuse on a {@link
 * VolatileDiskServer}. What the file system had not flushed when the power went is lost, whoever had called whatever; it is
 * mounted again by its own journal, and the machine has another boot id, as after every boot.
 *
 * <p>Left out: what memory does when its power goes, and that all machines of one room lose theirs within the same microsecond;
 * they do within milliseconds. Needs root, FUSE, nbdfuse.
 */
final class PowerDisks implements Disks {

    private static final int LOCK_MANAGER_MEBIBYTES = 128;
    private static final int CACHE_BYTES = 64 << 20;

    private static final class Disk {
        final Path directory;
        final Path bootId;
        final Process server;
        final BufferedWriter orders;
        final BufferedReader answers;
        final int port;

        @Nullable
        VolumeAsDisk attached;

        Disk(Path directory, Path bootId, Process server) throws IOException {
            this.directory = directory;
            this.bootId = bootId;
            this.server = server;
            this.orders = new BufferedWriter(new OutputStreamWriter(server.getOutputStream(), StandardCharsets.UTF_8));
            this.answers = new BufferedReader(new InputStreamReader(server.getInputStream(), StandardCharsets.UTF_8));
            this.port = Integer.parseInt(String.valueOf(answers.readLine()));
        }

        String order(String order) {
            try {
                orders.write(order + "\n");
                orders.flush();
                String answer = answers.readLine();
                if (answer == null) {
                    throw new AssertionError("the disk of " + directory + " has ended");
                }
                return answer;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private final Path folder;
    private final int mebibytes;
    private final long lieMillis;
    private final Random chance;
    private final Map<String, Disk> disks = new HashMap<>();
    private boolean shared;

    /**
     * @param mebibytes of each agent's
     * @param lieMillis what agents' disks forget of what they said was flushed; 0: nothing
     */
    PowerDisks(Path folder, int mebibytes, long lieMillis, long seed) {
        this.folder = folder;
        this.mebibytes = mebibytes;
        this.lieMillis = lieMillis;
        this.chance = new Random(seed);
    }

    /** Skips the test where this kernel or this user cannot. */
    static void needs() throws IOException {
        String what = "disks that lose what was not flushed";
        Machine.needsRoot(what);
        boolean required = "required".equals(System.getenv("TERMINUS_REAL_CLIENTS"));
        for (String program : List.of("nbdfuse", "losetup", "mkfs.ext4", "unshare")) {
            boolean there = Machine.has(program);
            if (!there && required) {
                throw new AssertionError(
                        what + " need " + program + ", and TERMINUS_REAL_CLIENTS=required forbids skipping");
            }
            Machine.needs(
                    there, what, program + " is not installed (apt-get install nbdfuse e2fsprogs util-linux mount)");
        }
        Machine.needs(Files.exists(Path.of("/dev/fuse")), what, "this kernel has no FUSE");
    }

    @Override
    public void attach(String process, Path directory) {
        try {
            if (!shared) {
                // So that what is unmounted here is unmounted as well where a process has its own boot id.
                Program.run(folder, "mount", "--bind", folder.toString(), folder.toString());
                shared = true;
                Program.run(folder, "mount", "--make-shared", folder.toString());
            }
            boolean agent = FaultySet.AGENTS.contains(process);
            Path medium = folder.resolve(process + ".medium");
            long sizeBytes = (long) (agent ? mebibytes : LOCK_MANAGER_MEBIBYTES) << 20;
            Process server = new ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java")
                                    .toString(),
                            "-Xmx256m",
                            "-XX:+UseSerialGC",
                            "-XX:TieredStopAtLevel=1",
                            "-cp",
                            System.getProperty("java.class.path"),
                            VolatileDiskServer.class.getName(),
                            medium.toString(),
                            Long.toString(sizeBytes),
                            Long.toString(CACHE_BYTES),
                            Long.toString(agent ? lieMillis : 0),
                            Long.toString(chance.nextLong()))
                    .redirectError(folder.resolve(process + ".disk.log").toFile())
                    .start();
            Disk disk = new Disk(directory, folder.resolve(process + ".boot"), server);
            disks.put(process, disk);
            boot(disk, true);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public boolean canFill() {
        return true;
    }

    @Override
    public boolean losePower() {
        return true;
    }

    @Override
    public List<String> place(String process) {
        return List.of(
                "unshare",
                "--mount",
                "--propagation",
                "slave",
                "sh",
                "-c",
                "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"",
                disk(process).bootId.toString());
    }

    /** From now on these keep what they have kept, and answer nothing. */
    void cut(List<String> machines, Consumer<String> tell) {
        for (String machine : machines) {
            tell.accept("power off " + machine + ": " + disk(machine).order("cut"));
        }
    }

    /** Nobody who waits for them will see the answer: now they answer, with errors. */
    void fail(List<String> machines) {
        for (String machine : machines) {
            String unused = disk(machine).order("fail");
        }
    }

    /** They are mounted again. Nothing runs on them. */
    void restore(List<String> machines) {
        for (String machine : machines) {
            Disk disk = disk(machine);
            detach(disk);
            String unused = disk.order("restore");
            try {
                boot(disk, false);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Each flush takes so much longer. */
    void slow(String machine, int millis) {
        String unused = disk(machine).order("slow " + millis);
    }

    @Override
    public void close() {
        for (Disk disk : disks.values()) {
            detach(disk);
            disk.server.destroyForcibly();
        }
        disks.clear();
        if (shared) {
            // From outside: who unmounts must not stand in it.
            Machine.succeeds(
                    Objects.requireNonNullElse(folder.getParent(), folder), "umount", "--lazy", folder.toString());
            shared = false;
        }
    }

    private Disk disk(String machine) {
        Disk disk = disks.get(machine);
        if (disk == null) {
            throw new IllegalStateException(machine + " has no disk");
        }
        return disk;
    }

    private void boot(Disk disk, boolean empty) throws IOException {
        Files.writeString(disk.bootId, UUID.randomUUID() + "\n");
        VolumeAsDisk attached = VolumeAsDisk.attach(folder, "nbd://127.0.0.1:" + disk.port);
        disk.attached = attached;
        if (empty) {
            Program.run(
                    folder, "mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0", attached.device());
        }
        attached.mount(disk.directory);
    }

    private static void detach(Disk disk) {
        VolumeAsDisk attached = disk.attached;
        if (attached != null) {
            attached.close();
            disk.attached = null;
        }
    }
}
