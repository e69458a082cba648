package io.terminus.agent.journal;

import static io.terminus.agent.journal.Given.SEGMENT;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MissingBytesTest {

    private static final long REACH = 3L * SEGMENT;

    @TempDir
    private Path dir;

    @BeforeEach
    void threeSegments() throws IOException {
        for (int number = 0; number < 3; number++) {
            Given.HASTY.prewrite(Given.segmentFile(dir, number), SEGMENT);
        }
    }

    @Test
    void nothingIsMissingWhereEverySegmentUpToTheReachIsWhole() throws IOException {
        assertThat(find(0, REACH).nothing()).isTrue();
        assertThat(find(0, 0).nothing()).as("where the reach is not known").isTrue();
        assertThat(find(0, REACH + SEGMENT).positions()).containsExactly(REACH);
    }

    @Test
    void lookingChangesNothing() throws IOException {
        Files.delete(Given.segmentFile(dir, 1));
        cutShort(2, 1_000);

        assertThat(find(0, REACH).positions()).containsExactlyInAnyOrder((long) SEGMENT, 2L * SEGMENT + 1_000);
        assertThat(find(0, REACH).positions()).containsExactlyInAnyOrder((long) SEGMENT, 2L * SEGMENT + 1_000);

        assertThat(Given.segmentFile(dir, 1)).doesNotExist();
        assertThat(Given.segmentFile(dir, 2)).hasSize(1_000);
    }

    @Test
    void whatIsMissingBecomesZerosAndThenNothingIsMissing() throws IOException {
        Files.delete(Given.segmentFile(dir, 1));
        cutShort(2, 1_000);

        find(0, REACH).mend();

        assertThat(Given.segmentFile(dir, 1)).hasSize(SEGMENT);
        assertThat(Given.segmentFile(dir, 2)).hasSize(SEGMENT);
        assertThat(find(0, REACH).nothing()).isTrue();
    }

    @Test
    void aSegmentOfHistoryGoesAsAWhole() throws IOException {
        cutShort(0, 1_000);

        find(SEGMENT, REACH).mend();

        assertThat(Given.segmentFile(dir, 0)).doesNotExist();
        assertThat(Given.segmentFile(dir, 1)).hasSize(SEGMENT);
    }

    private MissingBytes find(long from, long reach) throws IOException {
        return MissingBytes.find(dir, SEGMENT, from, reach);
    }

    private void cutShort(int number, long lengthBytes) throws IOException {
        try (FileChannel file = FileChannel.open(Given.segmentFile(dir, number), StandardOpenOption.WRITE)) {
            file.truncate(lengthBytes);
        }
    }
}
