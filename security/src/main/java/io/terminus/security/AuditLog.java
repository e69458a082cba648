package io.terminus.security;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * What callers changed, in {@value #NAME} of the data directory: a JSON object a line, appended before the operator has the
 * answer.
 *
 * <pre>
 *   {"time":"2026-01-31T12:00:00.123Z","who":"CN=anna operator 127.0.0.1:51234","action":"force-release","what":"demo lock 5","outcome":"done"}
 * </pre>
 *
 * <p>A file longer than {@value #LONGEST_BYTES} bytes is kept once, as {@value #OLDER}, and begun anew. A line that cannot
 * be written goes to the process's own log: what was done is done. Any thread.
 */
public final class AuditLog implements Audit, AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(AuditLog.class);

    public static final String NAME = "audit.log";
    static final String OLDER = "audit.log.1";
    static final long LONGEST_BYTES = 16 << 20;

    private final Path directory;
    private final long longestBytes;
    private final JsonMapper json = JsonMapper.shared();
    private @Nullable FileChannel channel; // guarded by this; null until the first line

    public AuditLog(Path directory) {
        this(directory, LONGEST_BYTES);
    }

    AuditLog(Path directory, long longestBytes) {
        this.directory = directory;
        this.longestBytes = longestBytes;
    }

    @Override
    public synchronized void record(String who, String action, String what, String outcome) {
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("time", Instant.now().toString());
        fields.put("who", who);
        fields.put("action", action);
        fields.put("what", what);
        fields.put("outcome", outcome);
        String line = json.writeValueAsString(fields);
        try {
            write(line + "\n");
        } catch (IOException e) {
            LOG.error("{} in {} cannot be written ({}); the line is {}", NAME, directory, e.toString(), line);
        }
    }

    private void write(String line) throws IOException {
        FileChannel out = channel;
        if (out != null && out.size() > longestBytes) {
            out.close();
            Files.move(directory.resolve(NAME), directory.resolve(OLDER), StandardCopyOption.REPLACE_EXISTING);
            out = null;
        }
        if (out == null) {
            out = FileChannel.open(
                    directory.resolve(NAME),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.WRITE,
                    StandardOpenOption.APPEND);
            channel = out;
        }
        ByteBuffer bytes = ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            out.write(bytes);
        }
    }

    @Override
    public synchronized void close() {
        FileChannel out = channel;
        channel = null;
        if (out != null) {
            try {
                out.close();
            } catch (IOException e) {
                LOG.warn("{} cannot be closed: {}", NAME, e.toString());
            }
        }
    }
}
