package io.terminus.cli;

import io.terminus.security.TlsFiles;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The directory of one set.
 *
 * <pre>
 *   set.json        which processes belong to the set, on which ports; see {@link SetState}
 *   lock            held by the command that starts or stops processes
 *   logs/NAME.log   what a process said since its last start; NAME.log.1 since the start before
 *   certs/          keys and certificates of a set with TLS
 *   lockmgr/ a/ b/  the data of the three processes; lockmgr-2/ and so on where there are more lock managers
 * </pre>
 */
final class SetDirectory {

    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();
    private static final Duration LOCK_PATIENCE = Duration.ofMinutes(5);
    private static final Duration LOCK_RETRY = Duration.ofMillis(100);

    private final Path path;
    private final @Nullable TlsFiles given;

    SetDirectory(Path path) {
        this(path, null);
    }

    /** @param given keys to ask the set's processes with, in the place of its own; null: its own */
    SetDirectory(Path path, @Nullable TlsFiles given) {
        this.given = given;
        this.path = path.toAbsolutePath().normalize();
    }

    Path path() {
        return path;
    }

    Path data(SetMember member) {
        return path.resolve(member.title());
    }

    Path certificates() {
        return path.resolve("certs");
    }

    Path log(SetMember member) {
        return path.resolve("logs").resolve(member.title() + ".log");
    }

    /** Makes the directory, and finds out now whether it can be written. */
    void create() {
        try {
            Files.createDirectories(path.resolve("logs"));
            for (SetMember member : SetMember.of(1)) {
                Files.createDirectories(data(member));
            }
            Files.delete(Files.createTempFile(path, "probe", ""));
        } catch (IOException e) {
            throw new Failure("cannot write to the directory " + path + ": " + reason(e), e);
        }
    }

    /** Empty when no set was ever started here. */
    Optional<SetState> load() {
        try {
            JsonNode tree = JSON.readTree(Files.readString(stateFile()));
            int version = tree.path("version").asInt(0);
            if (version != SetState.VERSION) {
                throw new Failure(stateFile() + " has version " + version + ", this terminus knows version "
                        + SetState.VERSION + ": use the terminus that made it, or another --dir");
            }
            SetState state = JSON.treeToValue(tree, SetState.class);
            return Optional.of(given == null ? state : state.withTls(given));
        } catch (NoSuchFileException neverStarted) {
            return Optional.empty();
        } catch (IOException e) {
            throw new Failure("cannot read " + stateFile() + ": " + reason(e), e);
        } catch (JacksonException e) {
            throw new Failure(stateFile() + " is damaged: " + e.getOriginalMessage(), e);
        }
    }

    SetState loadExisting() {
        return load().orElseThrow(() -> new Failure("there is no set in " + path
                + ": start one with 'terminus up', or name another" + " directory with --dir"));
    }

    /** Replaces the file as a whole: a reader sees the state before or after, never half of one. */
    void save(SetState state) {
        Path fresh = path.resolve("set.json.new");
        try {
            Files.writeString(fresh, JSON.writeValueAsString(state) + "\n", StandardCharsets.UTF_8);
            Files.move(fresh, stateFile(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new Failure("cannot write " + stateFile() + ": " + reason(e), e);
        }
    }

    /** Forgets a set that never came up, so that the next start may choose other ports. Its data directories stay. */
    void forget() {
        try {
            Files.deleteIfExists(stateFile());
        } catch (IOException e) {
            throw new Failure("cannot delete " + stateFile() + ": " + reason(e), e);
        }
    }

    /** Held while processes are started or stopped, so that two commands do not do so at once. */
    record Hold(FileChannel channel) implements AutoCloseable {
        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw new Failure("cannot release the lock file: " + reason(e), e);
            }
        }
    }

    /** Waits for another command to finish, and says so once. */
    Hold hold(Consumer<String> say) {
        long deadlineNanos = System.nanoTime() + LOCK_PATIENCE.toNanos();
        FileChannel channel = null;
        try {
            channel = FileChannel.open(path.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            boolean told = false;
            FileLock lock = channel.tryLock();
            while (lock == null) {
                if (System.nanoTime() - deadlineNanos > 0) {
                    throw new Failure("another terminus command has been busy with " + path + " for "
                            + LOCK_PATIENCE.toMinutes() + " minutes");
                }
                if (!told) {
                    say.accept("Waiting for another terminus command on " + path + " to finish.");
                    told = true;
                }
                Thread.sleep(LOCK_RETRY);
                lock = channel.tryLock();
            }
            Hold hold = new Hold(channel);
            channel = null;
            return hold;
        } catch (IOException e) {
            throw new Failure("cannot lock the directory " + path + ": " + reason(e), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Failure("interrupted while waiting for another terminus command on " + path, e);
        } finally {
            closeQuietly(channel);
        }
    }

    private Path stateFile() {
        return path.resolve("set.json");
    }

    private static void closeQuietly(@Nullable FileChannel channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException ignored) {
                // The command is failing for a reason that says more.
            }
        }
    }

    /** What the operating system said, without the exception's class. */
    static String reason(IOException e) {
        if (e instanceof FileSystemException file && file.getReason() == null) {
            String kind = file.getClass().getSimpleName().replace("Exception", "");
            return kind.replaceAll("(?<=[a-z])(?=[A-Z])", " ").toLowerCase(java.util.Locale.ROOT) + " ("
                    + file.getFile() + ")";
        }
        return e instanceof FileSystemException file && file.getReason() != null
                ? file.getReason()
                : String.valueOf(e.getMessage());
    }
}
