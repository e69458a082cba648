package io.terminus.simulation.standin;

import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.core.IntervalFunction;
import io.github.resilience4j.ratelimiter.RateLimiter;
import io.github.resilience4j.retry.Retry;
import io.terminus.simulation.kernel.Disk;
import io.terminus.simulation.kernel.Rng;
import io.terminus.simulation.kernel.SimFileSystem;
import io.terminus.simulation.kernel.World;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.ResourceBundle;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.Marker;
import org.slf4j.event.Level;
import org.slf4j.helpers.LegacyAbstractLogger;
import org.slf4j.helpers.MessageFormatter;

/** Stand in for time, chance, names, logs and whatever else differs from run to run. */
public final class Misc {

    private Misc() {}

    private record Chance(Rng rng) {}

    private static Rng rng() {
        Rng ofClass = World.ofClass();
        if (ofClass != null) {
            return ofClass;
        }
        World w = World.current();
        return w.attic(Chance.class, () -> new Chance(w.rng("product"))).rng();
    }

    // ---- time

    public static long nanoTime() {
        return World.here().nanoTime();
    }

    /** The wall clock of a run begins in 2026, and the machines' disagree as their other clocks do. */
    public static long currentTimeMillis() {
        return 1_780_000_000_000L + World.here().nanoTime() / 1_000_000;
    }

    public static Instant now() {
        long nanos = World.here().nanoTime();
        return Instant.ofEpochSecond(1_780_000_000L + nanos / 1_000_000_000, nanos % 1_000_000_000);
    }

    public static void exit(int status) {
        World.exit("with status " + status);
    }

    public static int availableProcessors(Runtime runtime) {
        return 1;
    }

    // ---- chance

    public static UUID randomUUID() {
        return new UUID(rng().nextLong() & ~0xF000L | 0x4000L, rng().nextLong() & ~(3L << 62) | 1L << 63);
    }

    public static class Secure extends SecureRandom {
        public Secure() {
            super(null, null);
        }

        @Override
        public void nextBytes(byte[] bytes) {
            rng().fill(bytes);
        }
    }

    public static IntervalFunction ofExponentialRandomBackoff(
            Duration first, double multiplier, double random, Duration most) {
        return backOff(first.toMillis(), multiplier, random, most.toMillis());
    }

    public static IntervalFunction ofExponentialRandomBackoff(long first, double multiplier, double random, long most) {
        return backOff(first, multiplier, random, most);
    }

    public static IntervalFunction ofExponentialRandomBackoff(long first, double multiplier, double random) {
        return backOff(first, multiplier, random, Long.MAX_VALUE);
    }

    private static IntervalFunction backOff(long first, double multiplier, double random, long most) {
        return attempt -> {
            double interval = first * Math.pow(multiplier, attempt - 1);
            double delta = interval * random;
            return (long) Math.min(most, interval - delta + rng().nextDouble() * 2 * delta);
        };
    }

    // ---- resilience4j

    public static CircuitBreaker of(String name, CircuitBreakerConfig config) {
        return CircuitBreaker.of(
                name,
                CircuitBreakerConfig.from(config)
                        .currentTimestampFunction(c -> World.here().nanoTime(), TimeUnit.NANOSECONDS)
                        .build());
    }

    /** Without one, nothing is limited: the product asks only when an operator has set a limit, which no world does. */
    public static long reservePermission(RateLimiter limiter, int permits) {
        return 0;
    }

    public static Object executeSupplier(Retry retry, Supplier<Object> what) {
        int most = retry.getRetryConfig().getMaxAttempts();
        for (int attempt = 1; ; attempt++) {
            try {
                return what.get();
            } catch (RuntimeException e) {
                if (attempt == most
                        || !retry.getRetryConfig().getExceptionPredicate().test(e)) {
                    throw e;
                }
                World.sleep(retry.getRetryConfig()
                                .<Object>getIntervalBiFunction()
                                .apply(attempt, io.github.resilience4j.core.functions.Either.left(e))
                        * 1_000_000);
            }
        }
    }

    // ---- order

    /** Sets and maps of the JDK that are iterated in an order of the day: here it is that of their words. */
    public static <T> Set<T> steady(Set<T> set) {
        LinkedHashSet<T> steady = new LinkedHashSet<>();
        set.stream()
                .sorted((a, b) -> String.valueOf(a).compareTo(String.valueOf(b)))
                .forEach(steady::add);
        return Collections.unmodifiableSet(steady);
    }

    public static <K, V> Map<K, V> steady(Map<K, V> map) {
        LinkedHashMap<K, V> steady = new LinkedHashMap<>();
        map.keySet().stream()
                .sorted((a, b) -> String.valueOf(a).compareTo(String.valueOf(b)))
                .forEach(k -> steady.put(k, map.get(k)));
        return Collections.unmodifiableMap(steady);
    }

    public static Stream<?> parallelStream(Collection<?> of) {
        return of.stream();
    }

    // ---- files that are not opened by a path

    public static Path of(String first, String[] more) {
        return SimFileSystem.path(Path.of(first, more).toString());
    }

    public static class RandomAccess extends RandomAccessFile {
        private final Disk.Node node;
        private long at;

        /** Opens nothing: the one above is closed at once. */
        @SuppressWarnings("this-escape")
        public RandomAccess(File file, String mode) throws IOException {
            super(new File("/dev/null"), "r");
            super.close();
            node = SimFileSystem.open(file.getPath(), mode.contains("w"));
            if (node == null) {
                throw new FileNotFoundException(file.getPath());
            }
        }

        @Override
        public void setLength(long length) throws IOException {
            node.resize(length);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            World.point();
            node.write(ByteBuffer.wrap(bytes, from, count), at);
            at += count;
        }

        @Override
        public void close() {}
    }

    private static final class Descriptors {
        final Map<FileDescriptor, Disk.Node> nodes = new IdentityHashMap<>();
    }

    public static FileDescriptor getFD(RandomAccessFile file) {
        FileDescriptor descriptor = new FileDescriptor();
        descriptors().put(descriptor, ((RandomAccess) file).node);
        return descriptor;
    }

    public static void sync(FileDescriptor descriptor) throws java.io.SyncFailedException {
        try {
            descriptors().remove(descriptor).sync();
        } catch (IOException e) {
            throw new java.io.SyncFailedException(e.getMessage());
        }
    }

    private static Map<FileDescriptor, Disk.Node> descriptors() {
        return World.current().attic(Descriptors.class, Descriptors::new).nodes;
    }

    // ---- logs become part of the story

    public static Logger getLogger(Class<?> of) {
        return new Story(of.getSimpleName());
    }

    private static final class Story extends LegacyAbstractLogger {
        Story(String name) {
            this.name = name;
        }

        @Override
        public boolean isTraceEnabled() {
            return false;
        }

        @Override
        public boolean isDebugEnabled() {
            return false;
        }

        @Override
        public boolean isInfoEnabled() {
            return World.current() != null && World.here() != null;
        }

        @Override
        public boolean isWarnEnabled() {
            return isInfoEnabled();
        }

        @Override
        public boolean isErrorEnabled() {
            return isInfoEnabled();
        }

        @Override
        protected String getFullyQualifiedCallerName() {
            return null;
        }

        @Override
        protected void handleNormalizedLoggingCall(
                Level level, Marker marker, String message, Object[] arguments, Throwable thrown) {
            String text = MessageFormatter.basicArrayFormat(message, arguments);
            World w = World.current();
            w.say(World.here().name(), name + " " + (level == Level.INFO ? "" : level + " ") + text + trace(w, thrown));
            if (text.contains("never flushed may be missing")) {
                w.count("losses told");
            }
            if (text.contains("our own bug") || text.contains("impossible state")) {
                w.violation("the product found a bug of its own: " + text + trace(thrown));
            }
        }

        private static String trace(World w, Throwable thrown) {
            return thrown == null
                    ? ""
                    : w.tells() ? trace(thrown) : ": " + thrown.getClass().getName();
        }

        private static String trace(Throwable thrown) {
            if (thrown == null) {
                return "";
            }
            java.io.StringWriter trace = new java.io.StringWriter();
            thrown.printStackTrace(new java.io.PrintWriter(trace));
            return "\n" + trace;
        }
    }

    public static System.Logger getLogger(String name) {
        return new System.Logger() {
            @Override
            public String getName() {
                return name;
            }

            @Override
            public boolean isLoggable(Level level) {
                return level.getSeverity() >= Level.INFO.getSeverity();
            }

            @Override
            public void log(Level level, ResourceBundle bundle, String message, Throwable thrown) {
                if (isLoggable(level)) {
                    World.current().say(World.here().name(), name + " " + message);
                }
            }

            @Override
            public void log(Level level, ResourceBundle bundle, String format, Object... parameters) {
                if (isLoggable(level)) {
                    World.current().say(World.here().name(), name + " " + format);
                }
            }
        };
    }
}
