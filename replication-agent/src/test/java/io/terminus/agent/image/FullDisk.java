package io.terminus.agent.image;

import java.io.IOException;
import java.nio.file.Path;

/** Images on a disk that has space or has none, as it is told. Fault: while it is full no call that needs space gets any. */
public final class FullDisk {

    private volatile boolean full;

    public void full(boolean now) {
        full = now;
    }

    public Image open(Path file, long sizeBytes) throws IOException {
        return Image.open(file, sizeBytes, Limited::new);
    }

    private final class Limited extends NativeFile {

        Limited(NativeFile file) {
            super(file);
        }

        @Override
        Outcome fallocate(int mode, long offset, long length) throws IOException {
            return full && (mode & FALLOC_FL_PUNCH_HOLE) == 0
                    ? Outcome.NO_SPACE
                    : super.fallocate(mode, offset, length);
        }
    }
}
