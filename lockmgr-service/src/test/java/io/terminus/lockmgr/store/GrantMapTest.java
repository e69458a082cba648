package io.terminus.lockmgr.store;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GrantMapTest {

    /** All fields, and a session id and a volume name of 128 characters each. */
    private static final int LONGEST_LOCK_BYTES = 67 + 2 * (2 + 128);

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(ints = {100, 1_000, 20_000})
    void asManyLocksAsAreAllowedFitWhateverTheirSize(int laidOutFor) throws IOException {
        GrantMap map = open(laidOutFor);
        long most = map.mostLocks();

        for (long id = 1; id <= most; id++) {
            map.put(id << 8, new byte[LONGEST_LOCK_BYTES]);
        }
        // One comes for each that goes, as the window of a roll may have it.
        for (long id = 1; id <= most; id++) {
            map.put(id + most << 8, new byte[LONGEST_LOCK_BYTES]);
            map.remove(id << 8);
        }

        assertThat(most).isEqualTo(3L * laidOutFor);
        map.closeUnsynced();
    }

    @Test
    void theFileSaysForHowManyItWasLaidOut() throws IOException {
        GrantMap map = open(100);
        map.close();

        GrantMap later = open(1_000_000);

        assertThat(later.mostLocks()).isEqualTo(300);
        later.closeUnsynced();
    }

    private GrantMap open(int maxLocks) throws IOException {
        return GrantMap.open(new StoreDisk(), new StoreSettings(directory, "boot-1", 1, maxLocks, 1, 0));
    }
}
