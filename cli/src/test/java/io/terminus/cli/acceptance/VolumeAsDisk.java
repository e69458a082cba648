package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
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
    private final Path ownPlace;
    private final Program server;
    private @Nullable String device;
    private @Nullable Path mounted;

    private VolumeAsDisk(Path folder, Path fuse, Path ownPlace, Program server) {
        this.folder = folder;
        this.fuse = fuse;
        this.ownPlace = ownPlace;
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
        return attach(set.folder(), set.uri());
    }

    /** @param uri of any NBD server */
    static VolumeAsDisk attach(Path folder, String uri) throws IOException {
        Path fuse = Files.createTempDirectory(folder, "fuse");
        Path ownPlace = Files.createTempDirectory(folder, "mounted");
        Path file = fuse.resolve("disk");
        Program server = Program.start(folder, List.of("nbdfuse", file.toString(), uri));
        VolumeAsDisk disk = new VolumeAsDisk(folder, fuse, ownPlace, server);
        try {
            await().atMost(LiveSet.PATIENCE)
                    .failFast("nbdfuse ended: " + uri, () -> !server.isRunning())
                    .until(() -> Files.exists(file));
            disk.device = Program.run(folder, "losetup", "--find", "--show", "--direct-io=on", file.toString())
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

    /** Returns where. */
    Path mount() {
        return mount(ownPlace);
    }

    Path mount(Path mountPoint) {
        Program.run(folder, "mount", "-t", "ext4", device(), mountPoint.toString());
        mounted = mountPoint;
        return mountPoint;
    }

    void unmount() {
        Path mountPoint = mounted;
        if (mountPoint != null) {
            Program.run(folder, "umount", mountPoint.toString());
            mounted = null;
        }
    }

    /** Takes down whatever stands; returns when nothing of it writes any more. */
    @Override
    public void close() {
        try (server) {
            Path mountPoint = mounted;
            if (mountPoint != null) {
                // A program that was killed may not have let go of its last file yet.
                await(mountPoint + " is unmounted")
                        .atMost(LiveSet.PATIENCE)
                        .until(() -> Machine.succeeds(folder, "umount", mountPoint.toString()));
                mounted = null;
            }
            if (device != null) {
                Machine.succeeds(folder, "losetup", "--detach", device);
            }
            Machine.succeeds(folder, "umount", fuse.toString());
            await().atMost(LiveSet.PATIENCE).until(() -> !server.isRunning());
            server.forget();
            Files.deleteIfExists(fuse);
            Files.deleteIfExists(ownPlace);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
