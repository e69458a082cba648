package io.terminus.agent.image;

import java.io.IOException;
import java.nio.file.Path;

/** Images on a file system that allocates space and punches no holes. */
public final class WithoutHoles {

    private WithoutHoles() {}

    public static Image open(Path file, long sizeBytes) throws IOException {
        return Image.open(file, sizeBytes, Limited::new);
    }

    private static final class Limited extends NativeFile {

        Limited(NativeFile file) {
            super(file);
        }

        @Override
        Outcome fallocate(int mode, long offset, long length) throws IOException {
            return mode == 0 ? super.fallocate(mode, offset, length) : Outcome.UNSUPPORTED;
        }
    }
}
