package io.terminus.security;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class AuditLogTest {

    @TempDir
    Path directory;

    @Test
    void lineIsAnObjectWhateverWasSaid() throws IOException {
        try (AuditLog log = new AuditLog(directory)) {
            log.record("10.0.0.1:5", "force-release", "a \"quoted\"\nvolume", "done");
            log.record("10.0.0.1:6", "close-session", "s", "UNKNOWN_SESSION");
        }

        assertThat(Files.readAllLines(directory.resolve(AuditLog.NAME))).hasSize(2);
        JsonNode first = JsonMapper.shared()
                .readTree(Files.readAllLines(directory.resolve(AuditLog.NAME)).getFirst());
        assertThat(first.path("who").asString()).isEqualTo("10.0.0.1:5");
        assertThat(first.path("what").asString()).isEqualTo("a \"quoted\"\nvolume");
        assertThat(first.path("time").asString()).endsWith("Z");
    }

    @Test
    void fileThatIsLongEnoughIsKeptOnce() throws IOException {
        try (AuditLog log = new AuditLog(directory, 200)) {
            for (int i = 0; i < 10; i++) {
                log.record("w", "a", "line " + i, "done");
            }
        }

        assertThat(Files.readString(directory.resolve(AuditLog.NAME))).contains("line 9");
        assertThat(Files.size(directory.resolve(AuditLog.OLDER))).isBetween(200L, 400L);
        assertThat(directory).isDirectoryContaining("glob:**audit.log.1");
    }

    @Test
    void logIsGoneOnWithAfterAStart() throws IOException {
        try (AuditLog log = new AuditLog(directory)) {
            log.record("w", "a", "one", "done");
        }
        try (AuditLog log = new AuditLog(directory)) {
            log.record("w", "a", "two", "done");
        }

        assertThat(Files.readAllLines(directory.resolve(AuditLog.NAME))).hasSize(2);
    }
}
