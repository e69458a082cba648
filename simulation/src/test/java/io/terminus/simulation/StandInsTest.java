package io.terminus.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.volume.Volumes;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.proto.agent.v1.PeerControlGrpc;
import io.terminus.ranges.BlockRange;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Walks every class of the product and looks at what it calls: a call that reaches the real world would make runs differ. */
class StandInsTest {

    /** Where threads, time, chance, files, sockets and the order of things come from. */
    private static final List<String> FAMILIES = List.of(
            "java/lang/Thread.",
            "java/lang/Thread$",
            "java/lang/ProcessHandle",
            "java/lang/Process.",
            "java/util/concurrent/",
            "java/util/Random.",
            "java/util/SplittableRandom.",
            "java/util/Timer.",
            "java/nio/channels/",
            "java/nio/file/",
            "java/io/File.",
            "java/io/RandomAccessFile",
            "java/net/Socket.",
            "java/net/ServerSocket.",
            "java/net/InetAddress.",
            "java/net/http/",
            "java/time/Clock",
            "java/time/Instant",
            "java/time/LocalDateTime",
            "java/lang/foreign/Linker",
            "java/security/SecureRandom",
            "net/openhft/",
            "io/netty/",
            "io/grpc/netty/",
            "io/github/resilience4j/",
            "org/slf4j/LoggerFactory");

    /** Single methods that do, of classes that otherwise do not. */
    private static final Set<String> METHODS = Set.of(
            "java/lang/Object.wait",
            "java/lang/Object.notify",
            "java/lang/Object.notifyAll",
            "java/lang/System.nanoTime",
            "java/lang/System.currentTimeMillis",
            "java/lang/System.getLogger",
            "java/lang/System.exit",
            "java/lang/System.identityHashCode",
            "java/lang/Runtime.exit",
            "java/lang/Runtime.halt",
            "java/lang/Runtime.availableProcessors",
            "java/lang/Math.random",
            "java/util/UUID.randomUUID",
            "java/util/Collection.parallelStream",
            "java/util/Collections.shuffle",
            "io/grpc/stub/ClientCalls.blockingUnaryCall",
            "io/grpc/stub/AbstractStub.withDeadlineAfter");

    /** What does no harm as it is; each for the reason in front of it. */
    private static final List<String> HARMLESS = List.of(
            // Never waits, and one task runs at a time.
            "java/util/concurrent/atomic/",
            "java/util/concurrent/ConcurrentHashMap",
            "java/util/concurrent/ConcurrentMap",
            "java/util/concurrent/ConcurrentSkipListMap",
            "java/util/concurrent/ConcurrentNavigableMap",
            "java/util/concurrent/ConcurrentLinkedQueue",
            "java/util/concurrent/ConcurrentLinkedDeque",
            "java/util/concurrent/CopyOnWriteArrayList",
            "java/util/concurrent/LinkedBlockingQueue.<init>",
            "java/lang/ThreadLocal",
            // Arithmetic.
            "java/util/concurrent/TimeUnit.to",
            "java/util/concurrent/TimeUnit.convert",
            "java/time/Instant.get",
            "java/time/Instant.to",
            // An exception.
            "java/util/concurrent/ExecutionException",
            "java/util/concurrent/CompletionException",
            "java/util/concurrent/CancellationException",
            "java/util/concurrent/TimeoutException",
            "java/util/concurrent/RejectedExecutionException",
            "java/nio/channels/ClosedChannelException",
            "java/nio/file/NoSuchFileException",
            "java/nio/file/AccessDeniedException",
            "java/nio/file/FileAlreadyExistsException",
            "java/net/SocketTimeoutException",
            "java/net/SocketException",
            // Completes, or runs what follows on the task that completes: nothing waits.
            "java/util/concurrent/CompletableFuture.<init>",
            "java/util/concurrent/CompletableFuture.cancel",
            "java/util/concurrent/CompletableFuture.complete",
            "java/util/concurrent/CompletableFuture.completeExceptionally",
            "java/util/concurrent/CompletableFuture.completedFuture",
            "java/util/concurrent/CompletableFuture.copy",
            "java/util/concurrent/CompletableFuture.failedFuture",
            "java/util/concurrent/CompletableFuture.handle(",
            "java/util/concurrent/CompletableFuture.isDone",
            "java/util/concurrent/CompletableFuture.thenAccept(",
            "java/util/concurrent/CompletableFuture.thenApply(",
            "java/util/concurrent/CompletableFuture.thenCompose(",
            "java/util/concurrent/CompletableFuture.whenComplete(",
            "java/util/concurrent/CompletionStage",
            // Called on what a stand-in has made.
            "java/util/concurrent/Executor.",
            "java/util/concurrent/ExecutorService.",
            "java/util/concurrent/ScheduledExecutorService.",
            "java/util/concurrent/ThreadPoolExecutor.",
            "java/util/concurrent/ScheduledThreadPoolExecutor.",
            "java/util/concurrent/ScheduledFuture.",
            "java/util/concurrent/ThreadFactory.",
            "java/util/concurrent/Semaphore.",
            "java/util/concurrent/CountDownLatch.",
            "java/util/concurrent/locks/Condition.",
            "java/util/concurrent/locks/Lock.",
            "java/util/concurrent/locks/ReentrantLock.",
            "java/util/concurrent/locks/ReentrantReadWriteLock",
            "java/util/concurrent/locks/StampedLock.",
            "java/io/RandomAccessFile.",
            "java/security/SecureRandom.nextBytes",
            "java/net/Socket.connect",
            "java/nio/channels/SelectionKey.",
            "java/nio/channels/Selector.",
            "java/nio/channels/SocketChannel.",
            "java/nio/channels/ServerSocketChannel.",
            // Goes through the path's own file system, which is the simulated one.
            "java/nio/channels/FileChannel.",
            "java/nio/channels/FileLock.",
            "java/nio/file/DirectoryStream.",
            "java/nio/file/FileStore.",
            "java/nio/file/Files.",
            "java/nio/file/Path.",
            "java/nio/file/attribute/",
            "java/io/File.",
            // A name or a setting; nothing is opened or asked.
            "java/lang/Thread$Builder$OfPlatform.name",
            "java/lang/Thread$Builder$OfPlatform.daemon",
            "java/lang/Thread$Builder$OfVirtual.name",
            "java/lang/Thread.ofPlatform",
            "java/lang/Thread.ofVirtual",
            "java/lang/Thread.equals",
            "java/lang/Thread.getName",
            "java/net/InetAddress.getHostAddress",
            "io/grpc/netty/NettyChannelBuilder.",
            "io/github/resilience4j/circuitbreaker/CircuitBreaker.executeCompletionStage",
            "io/github/resilience4j/circuitbreaker/CircuitBreakerConfig",
            "io/github/resilience4j/core/IntervalFunction.apply",
            "io/github/resilience4j/ratelimiter/RateLimiterConfig",
            "io/github/resilience4j/ratelimiter/RateLimiter.of",
            "io/github/resilience4j/ratelimiter/RateLimiter.getRateLimiterConfig",
            "io/github/resilience4j/retry/RetryConfig",
            "io/github/resilience4j/retry/Retry.of",
            // In LockClient.connect(Config), which has a seam.
            "io/netty/channel/EventLoopGroup.next",
            "net/openhft/chronicle/map/ChronicleMap.",
            "net/openhft/chronicle/hash/ChronicleHashCorruption.message");

    /** Not loaded in a run: its place is taken, or it belongs to what a run leaves out. */
    private static final List<String> LEFT_OUT = List.of(
            // Spring's part, which the worlds put together themselves.
            "io/terminus/agent/app/AgentApplication",
            "io/terminus/agent/app/AgentServers",
            "io/terminus/agent/app/NbdKeys",
            "io/terminus/lockmgr/app/GrpcServer",
            "io/terminus/lockmgr/app/LockManagerApplication",
            // What only operators ask for: no world has any.
            "io/terminus/lockmgr/agents/Agents",
            "io/terminus/lockmgr/grpc/VolumesWatch",
            // The worlds have one lock manager.
            "io/terminus/lockmgr/ha/GroupMember",
            "io/terminus/lockmgr/ha/RaftHost",
            "io/terminus/lockmgr/app/Roster",
            // NBD clients of the worlds come without sockets.
            "io/terminus/agent/nbd/Relay",
            // SIGSTOP on command, for tests of real processes.
            "io/terminus/agent/app/StopFiles",
            // Where the product reaches the system: see Rewriting.SEAMS.
            "io/terminus/agent/image/NativeFile",
            "io/terminus/lockmgr/app/BootClock",
            "io/terminus/lockmgr/client/BootClock",
            "io/terminus/lockmgr/client/LockClient$EventLoops",
            // Memory alone.
            "io/terminus/agent/nbd/ElasticBuffer",
            // An operator's command.
            "io/terminus/agent/volume/JournalTool");

    private static boolean counts(String owner, String name) {
        return METHODS.contains(owner + "." + name) || FAMILIES.stream().anyMatch((owner + ".")::startsWith);
    }

    @Test
    void whateverTheProductCallsOfTheOutsideWorldHasAStandIn() throws Exception {
        // given
        Rewriting rewriting = new Rewriting(StandInsTest.class.getClassLoader());
        Map<String, byte[]> classes = productClasses();
        Set<String> without = new TreeSet<>();

        // when
        classes.forEach((name, bytes) -> {
            if (LEFT_OUT.stream().noneMatch(out -> name.equals(out) || name.startsWith(out + "$"))) {
                for (String call : rewriting.callsWithout(bytes, StandInsTest::counts)) {
                    if (HARMLESS.stream().noneMatch(call::startsWith)) {
                        without.add(call + " in " + name);
                    }
                }
            }
        });

        // then
        assertThat(classes).hasSizeGreaterThan(500);
        assertThat(without).isEmpty();
    }

    @Test
    void everyClassOfTheProductCanBeRewritten() throws Exception {
        // given
        Rewriting rewriting = new Rewriting(StandInsTest.class.getClassLoader());
        List<String> failed = new ArrayList<>();

        // when
        productClasses().forEach((name, bytes) -> {
            try {
                rewriting.rewritten(bytes);
            } catch (RuntimeException e) {
                failed.add(name + ": " + e);
            }
        });

        // then
        assertThat(failed).isEmpty();
    }

    private static Map<String, byte[]> productClasses() throws IOException, URISyntaxException {
        Map<String, byte[]> classes = new HashMap<>();
        for (Class<?> one :
                List.of(Volumes.class, LockClient.class, LockTable.class, BlockRange.class, PeerControlGrpc.class)) {
            Path at = Path.of(
                    one.getProtectionDomain().getCodeSource().getLocation().toURI());
            if (Files.isDirectory(at)) {
                collect(at, classes);
            } else {
                try (FileSystem jar = FileSystems.newFileSystem(URI.create("jar:" + at.toUri()), Map.of())) {
                    collect(jar.getPath("/"), classes);
                }
            }
        }
        return classes;
    }

    private static void collect(Path root, Map<String, byte[]> into) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                String name = root.relativize(file).toString();
                boolean message = name.startsWith("io/terminus/proto/") && !name.contains("Grpc");
                boolean spring = name.contains("__");
                if (name.startsWith("io/terminus/") && name.endsWith(".class") && !message && !spring) {
                    try (InputStream in = Files.newInputStream(file)) {
                        into.put(name.substring(0, name.length() - ".class".length()), in.readAllBytes());
                    }
                }
            }
        }
    }
}
