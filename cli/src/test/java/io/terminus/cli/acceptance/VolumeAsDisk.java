package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The volume as a block device of this machine, for file systems: a file by nbdfuse, a loop device on it. (The kernel's own
 * NBD client is a module that many kernels lack.)
 */
final class VolumeAsDisk implements AutoCloseable {

    private final Path folder;
    private final Path fuse;
    private final Path mountPoint;
    private final Program server;
    private @Nullable String device;

    private VolumeAsDisk(Path folder, Path fuse, Path mountPoint, Program server) {
        this.folder = folder;
        this.fuse = fuse;
        this.mountPoint = mountPoint;
        this.server = server;
    }

    /** Skips the test where this kernel or this user cannot. */
    static VolumeAsDisk attach(LiveSet set) throws IOException {
        Machine.needsRoot("a file system on the volume");
        Machine.needs(Files.exists(Path.of("/dev/fuse")), "a file system on the volume", "this kernel has no FUSE");
        Machine.needs(
                Machine.succeeds(set.folder(), "losetup", "--find"),
                "a file system on the volume",
                "this kernel has no free loop device");
        Path fuse = Files.createTempDirectory(set.folder(), "fuse");
        Path mountPoint = Files.createTempDirectory(set.folder(), "mounted");
        Path file = fuse.resolve("disk");
        Program server = Program.start(set.folder(), List.of("nbdfuse", file.toString(), set.uri()));
        VolumeAsDisk disk = new VolumeAsDisk(set.folder(), fuse, mountPoint, server);
        try {
            await().atMost(LiveSet.PATIENCE).until(() -> Files.exists(file));
            disk.device = Program.run(set.folder(), "losetup", "--find", "--show", "--direct-io=on", file.toString())
                    .strip();
            return disk;
        } catch (RuntimeException | Error e) {
            disk.close();
            throw e;
        }
    }

    String device() {
        String attached = device;
        if (attached == null) {
            throw new IllegalStateException("no loop device is attached");
        }
        return attached;
    }

    Path mount() {
        Program.run(folder, "mount", "-t", "ext4", device(), mountPoint.toString());
        return mountPoint;
    }

    void unmount() {
        Program.run(folder, "umount", mountPoint.toString());
    }

    /** Takes down whatever stands; returns when nothing of it writes any more. */
    @Override
    public void close() {
        Machine.succeeds(folder, "umount", mountPoint.toString());
        if (device != null) {
            Machine.succeeds(folder, "losetup", "--detach", device);
        }
        Machine.succeeds(folder, "umount", fuse.toString());
        try (server) {
            await().atMost(LiveSet.PATIENCE).until(() -> !server.isRunning());
        }
    }
}
