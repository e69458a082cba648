package io.terminus.agent.image;

import io.terminus.simulation.kernel.Disk;
import io.terminus.simulation.kernel.SimFileSystem;
import io.terminus.simulation.kernel.World;
import java.io.IOException;
import java.nio.file.Path;

/** The Linux calls that Java does not have, on a simulated disk. */
final class SimulatedFile extends NativeFile {

    private final Disk.Node node;

    private SimulatedFile(Path path, Disk.Node node) {
        super(path, -1);
        this.node = node;
    }

    static NativeFile open(Path path) throws IOException {
        Disk.Node node = SimFileSystem.open(path.toString(), false);
        if (node == null) {
            throw new IOException("open of " + path + " failed: errno 2");
        }
        return new SimulatedFile(path, node);
    }

    @Override
    Outcome fallocate(int mode, long offset, long length) throws IOException {
        World.point();
        if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
            node.punch(offset, length);
            return Outcome.DONE;
        }
        try {
            node.allocate(offset, length);
        } catch (IOException full) {
            return Outcome.NO_SPACE;
        }
        if ((mode & FALLOC_FL_ZERO_RANGE) != 0) {
            node.zero(offset, length);
        }
        return Outcome.DONE;
    }

    @Override
    long nextData(long offset) {
        return node.seek(offset, true);
    }

    @Override
    long nextHole(long offset) {
        return node.seek(offset, false);
    }

    @Override
    void willNeed(long offset, long length) {
        // Nothing is nearer or farther here.
    }

    @Override
    void fdatasync() throws IOException {
        node.sync();
    }

    @Override
    public void close() {
        // Nothing is open.
    }
}
