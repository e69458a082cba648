package io.terminus.cli.acceptance;

import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * One running set for the stories of a class, because starting one takes as long as many a story. Each story finds both
 * replicas in sync, whichever agent writes and whatever the volume holds; one that leaves it otherwise costs the next a new
 * set. After the last one the set is stopped, and both images are identical.
 */
final class SharedSet implements BeforeEachCallback, AfterAllCallback {

    private final String size;
    private final Map<String, String> settings;
    private @Nullable LiveSet running;

    SharedSet(String size, Map<String, String> settings) {
        this.size = size;
        this.settings = settings;
    }

    LiveSet get() {
        LiveSet set = running;
        if (set == null) {
            throw new IllegalStateException("no test is under way");
        }
        return set;
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        if (running != null && !running.isWell()) {
            running.close();
            running = null;
        }
        if (running == null) {
            LiveSet set = LiveSet.start(size, settings);
            running = set;
            set.awaitInSync();
        }
    }

    @Override
    public void afterAll(ExtensionContext context) {
        LiveSet last = running;
        running = null;
        if (last != null) {
            try (last) {
                last.awaitInSync();
                last.stopAndCompareImages();
            }
        }
    }
}
