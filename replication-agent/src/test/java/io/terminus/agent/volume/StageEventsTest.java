package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a flight recording shows of the data path, and that it does so only if it is asked to. */
class StageEventsTest {

    @TempDir
    private Path temp;

    private long journalBytes;

    @Test
    void aWriteIsShownStageByStage() throws Exception {
        List<RecordedEvent> events = record(true);

        assertThat(only(events, "Capture")).hasSize(3).allSatisfy(e -> {
            assertThat(e.getString("volume")).isEqualTo("v");
            assertThat(e.getInt("requests")).isEqualTo(1);
        });
        assertThat(only(events, "Capture").stream().mapToLong(e -> e.getLong("bytes")))
                .containsExactly(4_096L, 8_192L, 0L);
        assertThat(only(events, "Forward"))
                .isNotEmpty()
                .allMatch(e -> e.getString("peer").equals("b"));
        assertThat(only(events, "Forward").stream()
                        .mapToLong(e -> e.getLong("bytes"))
                        .sum())
                .isEqualTo(journalBytes);
        assertThat(only(events, "Ack")).anyMatch(e -> e.getLong("received") == journalBytes);
        assertThat(only(events, "Ack"))
                .anyMatch(e -> e.getDuration("waitedNanos").isPositive());
        // Both replicas are in this process.
        assertThat(only(events, "Sync").stream()
                        .mapToLong(e -> e.getLong("bytes"))
                        .sum())
                .isEqualTo(2 * journalBytes);
        assertThat(only(events, "Apply").stream()
                        .mapToLong(e -> e.getLong("bytes"))
                        .sum())
                .isEqualTo(2 * journalBytes);
        assertThat(only(events, "Election")).singleElement().satisfies(e -> {
            assertThat(e.getString("outcome")).isEqualTo("won");
            assertThat(e.getLong("term")).isEqualTo(1);
        });
    }

    @Test
    void aRecordingThatDoesNotAskForThemHasNone() throws Exception {
        List<RecordedEvent> events = record(false);

        assertThat(events).noneMatch(e -> e.getEventType().getName().startsWith("io.terminus."));
    }

    /** Two writes and a flush. */
    private List<RecordedEvent> record(boolean asked) throws Exception {
        Path file = temp.resolve("stages.jfr");
        try (Recording recording = new Recording()) {
            if (asked) {
                for (Class<? extends jdk.jfr.Event> event : List.of(
                        StageEvents.Capture.class,
                        StageEvents.Forward.class,
                        StageEvents.Ack.class,
                        StageEvents.Sync.class,
                        StageEvents.Apply.class,
                        StageEvents.Copy.class,
                        StageEvents.Election.class)) {
                    recording.enable(event);
                }
            }
            recording.start();
            try (Agents agents = new Agents(temp.resolve("agents"), 4 << 20, 16L << 20)) {
                agents.start("a", "b");
                Agents.Client client = agents.client("a");
                client.writeAndAwait(0, new byte[4_096]);
                client.writeAndAwait(4_096, new byte[8_192]);
                client.flushAndAwait();
                agents.awaitAllApplied("a", "b");
                journalBytes = agents.journal("a").end();
            }
            recording.stop();
            recording.dump(file);
        }
        return events(file);
    }

    private static List<RecordedEvent> events(Path file) throws IOException {
        return RecordingFile.readAllEvents(file);
    }

    private static List<RecordedEvent> only(List<RecordedEvent> events, String stage) {
        return events.stream()
                .filter(e -> e.getEventType().getName().equals("io.terminus." + stage))
                .sorted(java.util.Comparator.comparing(RecordedEvent::getStartTime))
                .toList();
    }
}
