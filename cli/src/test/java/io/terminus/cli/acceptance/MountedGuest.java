package io.terminus.cli.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * An ext4 on a volume, with tenants that work in it. As nbdfuse does not connect again, the file system goes away with the
 * agent that serves it, and comes back by its own journal, from whichever agent serves then. Needs root, FUSE, nbdfuse.
 */
final class MountedGuest implements Guest {

    /** Works in a directory, and knows what was promised it. */
    interface Tenant {

        /** Works until {@link #end}, or until the directory fails. */
        void begin(Path directory);

        /** Works no more when this returns. */
        void end();

        /** Nothing promised is missing, or this is an AssertionError. It does not work now. */
        void verify(Path directory);

        String summary();
    }

    private final Path folder;
    private final FaultySet set;
    private final String volume;
    private final List<Tenant> tenants;
    private @Nullable VolumeAsDisk disk;
    private boolean made;
    private boolean working;
    private int mounts;

    MountedGuest(Path folder, FaultySet set, String volume, List<Tenant> tenants) {
        this.folder = folder;
        this.set = set;
        this.volume = volume;
        this.tenants = tenants;
    }

    @Override
    public void resume() {
        leave();
        VolumeAsDisk attached = attach();
        Path directory = attached.mount();
        mounts++;
        working = true;
        tenants.forEach(tenant -> tenant.verify(directory));
        tenants.forEach(tenant -> tenant.begin(directory));
    }

    @Override
    public void leave() {
        if (working) {
            working = false;
            tenants.forEach(Tenant::end);
        }
        if (disk != null) {
            disk.close();
            disk = null;
        }
    }

    @Override
    public void comeBack() {
        VolumeAsDisk attached = attach();
        Path directory = attached.mount();
        mounts++;
        tenants.forEach(tenant -> tenant.verify(directory));
        attached.unmount();
        checkFileSystem(attached);
    }

    @Override
    public String summary() {
        return "ext4 mounted " + mounts + " times, "
                + tenants.stream().map(Tenant::summary).collect(Collectors.joining(", "));
    }

    @Override
    public void close() {
        leave();
    }

    private VolumeAsDisk attach() {
        String writer = set.awaitWriter(volume);
        try {
            VolumeAsDisk attached = VolumeAsDisk.attach(
                    folder, "nbd://" + set.network().host(writer) + ":" + FaultySet.NBD_PORT + "/" + volume);
            disk = attached;
            if (!made) {
                Program.run(folder, "mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard", attached.device());
                made = true;
            }
            return attached;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** An error that the kernel wrote down when the volume went away is none of the file system's. */
    private void checkFileSystem(VolumeAsDisk attached) {
        try (Program check = Program.start(folder, List.of("e2fsck", "-f", "-n", attached.device()))) {
            int unused = check.exitCode();
            String said = check.output();
            if (said.contains("? no") || !said.contains("Pass 5")) {
                throw new AssertionError("the file system on " + volume + " is damaged:\n" + said);
            }
            check.forget();
        }
    }
}
