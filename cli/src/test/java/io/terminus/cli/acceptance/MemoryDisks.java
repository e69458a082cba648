package io.terminus.cli.acceptance;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A small file system in memory for each agent, and none for the lock manager. Needs root. */
final class MemoryDisks implements Disks {

    private final Path folder;
    private final int mebibytes;
    private final List<Path> mounted = new ArrayList<>();

    MemoryDisks(Path folder, int mebibytes) {
        this.folder = folder;
        this.mebibytes = mebibytes;
    }

    @Override
    public void attach(String process, Path directory) {
        if (FaultySet.AGENTS.contains(process)) {
            Program.run(folder, "mount", "-t", "tmpfs", "-o", "size=" + mebibytes + "m", "tmpfs", directory.toString());
            mounted.add(directory);
        }
    }

    @Override
    public boolean canFill() {
        return true;
    }

    @Override
    public void close() {
        // Lazily: it goes when the last who looks into it lets go.
        mounted.forEach(directory -> Machine.succeeds(folder, "umount", "--lazy", directory.toString()));
        mounted.clear();
    }
}
