import com.sun.management.OperatingSystemMXBean;
import com.sun.nio.file.ExtendedOpenOption;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;
import java.util.function.ToDoubleFunction;
import java.util.zip.CRC32C;

/**
 * Where should a captured journal record land?
 *
 * <p>Compares landings for a journal of recycled 64 MiB segments whose records are also
 * forwarded to a peer with {@link FileChannel#transferTo} (sendfile):
 *
 * <ul>
 *   <li><b>mapped</b>: the record is copied straight into the mapped segment file; a background
 *       thread calls {@code force(false)}. "mapped" pre-writes in units of 1 MiB, which leaves large
 *       folios in the page cache of recent kernels; "mapped-4k" pre-writes in units of 4 KiB.
 *   <li><b>ring</b>: the record is copied into a mapped ring on a memory file (tmpfs) and sent from
 *       there; a background thread writes the ring to the segment through the page cache, then
 *       {@code force(false)}.
 *   <li><b>ring-direct</b>: as ring, but the background thread writes with {@code DIRECT}.
 *   <li><b>written</b> (control): no mapping; the capture thread writes each record to the segment
 *       file with one gathering write, and a background thread calls {@code force(false)}.
 * </ul>
 *
 * <p>Run: {@code java Landing.java [key=value ...]} in a directory of the disk file system.
 * Options: dir (segments, default "."), memory (ring, default /dev/shm), rounds, seconds,
 * flushSeconds, variants (comma-separated subset of the names above), cases (comma-separated subset
 * of 4K,1M,4K-nosend,1M-nosend,flush), source (this file, for starting the peer process).
 *
 * <p>Threads: capture (main), send, ack, sync; the peer that reads and discards is a second process.
 * Every round checks the sequence of records at the peer and, afterwards, the CRC32C of the records
 * in the last segment on the disk. "max" and the percentiles of the full-speed cases are the time of
 * one capture (copy and CRC32C) without the waits of the run-ahead bound; those of the flush case are
 * the time from the request to the end of the force. "machine" is sampled by the kernel's tick and
 * includes the peer and any neighbour, so it is only a hint.
 *
 * <p>Positions are logical: {@code position / SEGMENT} counts segments for ever, and a landing maps
 * a position to its file by taking the remainder. A record never straddles two segments; the tail
 * of a segment that is too short for a record stays unused and is neither sent nor synced.
 */
public class Landing {
    static final int SEGMENT = 64 << 20;
    static final int SEGMENTS = 8;           // recycled working set of one variant
    static final long AHEAD = 256L << 20;    // capture may run this far ahead of sync and of the peer
    static final long SYNC_BYTES = 32L << 20;
    static final long SYNC_NANOS = 50_000_000L;
    static final int HEADER = 128;           // sequence (8), payload length (4), CRC32C (4), filler
    static final int RUN_MIN = 256 << 10;
    static final int RUN_MAX = 1 << 20;
    static final int BLOCK = 4096;           // alignment of DIRECT writes

    // ------------------------------------------------------------------ landings

    /** The three candidates differ only in these operations. */
    interface Target extends AutoCloseable {
        /** Lands one record at the position; fills in the CRC32C of the payload in the header. */
        default void capture(long position, ByteBuffer header, ByteBuffer payload, CRC32C crc) throws IOException {
            ByteBuffer buffer = buffer(position);
            int index = index(position);
            buffer.put(index + HEADER, payload, payload.position(), payload.remaining());
            crc.update(buffer.slice(index + HEADER, payload.remaining())); // over the landed bytes
            header.putInt(12, (int) crc.getValue());
            buffer.put(index, header, 0, HEADER);
        }

        /** Mapped buffer that holds the position; {@link #index} is the place in it. */
        ByteBuffer buffer(long position);

        int index(long position);

        /** File to send the position from; the file offset equals {@link #index}. */
        FileChannel sendFrom(long position);

        /** Makes [from, to) durable in one segment file; the range lies within one segment. */
        void sync(long from, long to) throws IOException;

        /** Reads a whole segment back from its file, for checking. */
        ByteBuffer readSegment(long position) throws IOException;

        @Override
        void close() throws IOException;
    }

    static int slot(long position) {
        return (int) (position / SEGMENT % SEGMENTS);
    }

    static int offset(long position) {
        return (int) (position % SEGMENT);
    }

    /**
     * Opens (creating and pre-writing with noise) the recycled segment files of a variant. The unit
     * of pre-writing decides how large the folios of the page cache become on recent kernels.
     */
    static FileChannel[] segments(Path dir, String name, boolean direct, int unit) throws IOException {
        ByteBuffer noise = ByteBuffer.allocateDirect(unit + BLOCK).alignedSlice(BLOCK).slice(0, unit);
        Random random = new Random(7);
        while (noise.remaining() >= 8) {
            noise.putLong(random.nextLong());
        }
        FileChannel[] files = new FileChannel[SEGMENTS];
        for (int i = 0; i < SEGMENTS; i++) {
            Path path = dir.resolve("landing-" + name + "-" + i + ".seg");
            var options = new HashSet<OpenOption>(List.of(StandardOpenOption.CREATE,
                    StandardOpenOption.READ, StandardOpenOption.WRITE));
            if (direct) {
                options.add(ExtendedOpenOption.DIRECT);
            }
            files[i] = FileChannel.open(path, options);
            for (long at = 0; at < SEGMENT; at += noise.capacity()) {
                writeFully(files[i], noise.clear(), at);
            }
            files[i].force(true);
            path.toFile().deleteOnExit();
        }
        return files;
    }

    static void writeFully(FileChannel file, ByteBuffer from, long at) throws IOException {
        while (from.hasRemaining()) {
            at += file.write(from, at);
        }
    }

    /** Positional reads, so that the position of the channel stays. */
    static ByteBuffer readFully(FileChannel file) throws IOException {
        ByteBuffer all = ByteBuffer.allocateDirect(SEGMENT + BLOCK).alignedSlice(BLOCK).slice(0, SEGMENT);
        while (all.hasRemaining() && file.read(all, (long) all.position()) > 0) { }
        return all.flip();
    }

    /** (1) The mapped segment file itself. */
    static final class Mapped implements Target {
        final FileChannel[] files;
        final MappedByteBuffer[] maps = new MappedByteBuffer[SEGMENTS];

        Mapped(Path dir, String name, int unit) throws IOException {
            files = segments(dir, name, false, unit);
            for (int i = 0; i < SEGMENTS; i++) {
                maps[i] = files[i].map(FileChannel.MapMode.READ_WRITE, 0, SEGMENT);
            }
        }

        public ByteBuffer buffer(long position) { return maps[slot(position)]; }

        public int index(long position) { return offset(position); }

        public FileChannel sendFrom(long position) { return files[slot(position)]; }

        public void sync(long from, long to) throws IOException { files[slot(from)].force(false); }

        public ByteBuffer readSegment(long position) throws IOException {
            return readFully(files[slot(position)]);
        }

        public void close() throws IOException {
            for (FileChannel file : files) {
                file.close();
            }
        }
    }

    /** Control: no mapping at all, the capture thread writes to the segment file (page cache). */
    static final class Written implements Target {
        final FileChannel[] files;

        Written(Path dir) throws IOException { files = segments(dir, "written", false, 1 << 20); }

        public void capture(long position, ByteBuffer header, ByteBuffer payload, CRC32C crc) throws IOException {
            FileChannel file = files[slot(position)];
            if (offset(position) == 0) {
                file.position(0); // records follow one another, so one gathering write each is enough
            }
            crc.update(payload.duplicate()); // over the source: the landing is not mapped
            ByteBuffer[] parts = {header.putInt(12, (int) crc.getValue()).clear(), payload};
            do {
                file.write(parts);
            } while (payload.hasRemaining());
        }

        public ByteBuffer buffer(long position) { throw new UnsupportedOperationException(); }

        public int index(long position) { return offset(position); }

        public FileChannel sendFrom(long position) { return files[slot(position)]; }

        public void sync(long from, long to) throws IOException { files[slot(from)].force(false); }

        public ByteBuffer readSegment(long position) throws IOException {
            return readFully(files[slot(position)]);
        }

        public void close() throws IOException {
            for (FileChannel file : files) {
                file.close();
            }
        }
    }

    /** (2) and (2b) A ring on a memory file, copied to the segment file by the sync. */
    static final class Ring implements Target {
        final FileChannel[] files;
        final FileChannel memory;
        final MappedByteBuffer ring;
        final boolean direct;

        Ring(Path dir, Path memoryDir, boolean direct) throws IOException {
            this.direct = direct;
            String name = direct ? "ring-direct" : "ring";
            files = segments(dir, name, direct, 1 << 20);
            Path path = memoryDir.resolve("landing-" + name + ".mem");
            memory = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ,
                    StandardOpenOption.WRITE);
            path.toFile().deleteOnExit();
            ring = memory.map(FileChannel.MapMode.READ_WRITE, 0, AHEAD);
            for (int i = 0; i < AHEAD; i += BLOCK) {
                ring.put(i, (byte) 1); // allocate every page before measuring
            }
        }

        public ByteBuffer buffer(long position) { return ring; }

        public int index(long position) { return (int) (position % AHEAD); }

        public FileChannel sendFrom(long position) { return memory; }

        public void sync(long from, long to) throws IOException {
            FileChannel file = files[slot(from)];
            if (direct) {
                // Whole blocks: rewrites the shared first block; bytes after `to` are rewritten later.
                from = from / BLOCK * BLOCK;
                to = (to + BLOCK - 1) / BLOCK * BLOCK;
            }
            while (from < to) {
                int length = (int) Math.min(to - from, 4 << 20);
                writeFully(file, ring.slice(index(from), length), offset(from));
                from += length;
            }
            file.force(false);
        }

        public ByteBuffer readSegment(long position) throws IOException {
            return readFully(files[slot(position)]);
        }

        public void close() throws IOException {
            memory.close();
            for (FileChannel file : files) {
                file.close();
            }
        }
    }

    // ------------------------------------------------------------------ one round

    /** What one round measured. */
    record Result(double captured, double sent, double cpuPerGiB, double machineCpuPerGiB,
            double faultsPerGiB, double syncMillis, double p50, double p99, double max) { }

    static final int[] SAMPLES = new int[8 << 20]; // nanoseconds, per record or per flush

    /** State shared by the threads of one round. */
    static final class Round {
        final Target target;
        final int recordSize;
        final long dataPerSegment;
        final boolean flush;
        final boolean send;
        final long nonce;
        volatile long published; // logical positions
        volatile long synced;
        volatile long acked;     // bytes the peer has confirmed (not a position)
        volatile boolean captureDone;
        volatile long lastAckNanos;
        volatile Throwable failure;
        volatile SocketChannel peer;
        long syncCalls;
        long syncNanos;

        Round(Target target, int payload, boolean flush, boolean send, long nonce) {
            this.target = target;
            this.recordSize = HEADER + payload;
            this.dataPerSegment = SEGMENT / recordSize * (long) recordSize;
            this.flush = flush;
            this.send = send;
            this.nonce = nonce;
        }

        /** First position that may not be overwritten yet, by sync and by the peer. */
        long held() {
            long bySync = synced / BLOCK * BLOCK;
            if (!send) {
                return bySync;
            }
            // sendfile hands over pages, not bytes: they must stay unchanged until acknowledged.
            long bytes = acked;
            return Math.min(bySync, bytes / dataPerSegment * SEGMENT + bytes % dataPerSegment);
        }

        /** End of the records in the segment of the position. */
        long dataEnd(long position) {
            return position / SEGMENT * SEGMENT + dataPerSegment;
        }

        /** Syncs everything up to the position, segment by segment. */
        void syncTo(long to) throws IOException {
            long from = synced;
            while (from < to) {
                long end = Math.min(to, dataEnd(from));
                if (from < end) {
                    long start = System.nanoTime();
                    target.sync(from, end);
                    syncNanos += System.nanoTime() - start;
                    syncCalls++;
                }
                from = end == to ? to : (from / SEGMENT + 1) * SEGMENT;
            }
            synced = to;
        }

        /** Background sync: after 32 MiB or 50 ms, whichever comes first. */
        void syncLoop() throws IOException {
            long last = System.nanoTime();
            while (true) {
                boolean done = captureDone;
                long to = published;
                if (done || to - synced >= SYNC_BYTES || System.nanoTime() - last >= SYNC_NANOS) {
                    syncTo(to);
                    last = System.nanoTime();
                    if (done) {
                        return;
                    }
                } else {
                    LockSupport.parkNanos(200_000);
                }
            }
        }

        /** Sends published runs of at most 1 MiB; waits for 256 KiB unless flushing or at an end. */
        void sendLoop(SocketChannel peer) throws IOException {
            long at = 0;
            while (true) {
                boolean done = captureDone;
                long to = published;
                if (at == dataEnd(at) && to > at) {
                    at = (at / SEGMENT + 1) * SEGMENT;
                }
                long end = Math.min(to, dataEnd(at));
                long ready = end - at;
                if (ready <= 0 && done) {
                    peer.shutdownOutput();
                    return;
                }
                if (ready >= RUN_MIN || ready > 0 && (done || flush || end == dataEnd(at))) {
                    long run = Math.min(ready, RUN_MAX);
                    FileChannel file = target.sendFrom(at);
                    while (run > 0) {
                        long n = file.transferTo(target.index(at), run, peer);
                        at += n;
                        run -= n;
                    }
                } else {
                    LockSupport.parkNanos(50_000);
                }
            }
        }

        /** Reads the cumulative byte counts that the peer acknowledges; negative means bad data. */
        void ackLoop(SocketChannel peer) throws IOException {
            ByteBuffer in = ByteBuffer.allocateDirect(8);
            while (true) {
                while (in.hasRemaining()) {
                    if (peer.read(in) < 0) {
                        return;
                    }
                }
                long value = in.flip().getLong(0);
                in.clear();
                if (value < 0) {
                    throw new IOException("the peer saw a wrong record");
                }
                acked = value;
                lastAckNanos = System.nanoTime();
            }
        }

        Thread start(String name, Body body) {
            return Thread.ofPlatform().name(name).start(() -> {
                try {
                    body.run();
                } catch (Throwable e) {
                    failure = e;
                    try {
                        if (peer != null) {
                            peer.close(); // ends the other threads of the round
                        }
                    } catch (IOException ignored) { }
                }
            });
        }

        Result run(double seconds, ByteBuffer source, int port) throws Exception {
            var os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            List<Thread> threads = new ArrayList<>();
            if (send) {
                peer = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                peer.write(ByteBuffer.allocate(16).putLong(nonce).putLong(recordSize).flip());
            }
            long cpu0 = os.getProcessCpuTime();
            double machine0 = machineCpuSeconds();
            long faults0 = minorFaults();
            long start = System.nanoTime();
            if (send) {
                threads.add(start("send", () -> sendLoop(peer)));
                threads.add(start("ack", () -> ackLoop(peer)));
            }
            if (!flush) {
                threads.add(start("sync", this::syncLoop));
            }
            long records = 0;
            int samples = 0;
            try {
                long stop = start + (long) (seconds * 1e9);
                int payload = recordSize - HEADER;
                ByteBuffer header = ByteBuffer.allocateDirect(HEADER);
                CRC32C crc = new CRC32C();
                long at = 0;
                while (System.nanoTime() < stop && failure == null) {
                    if (at + recordSize > dataEnd(at)) {
                        at = (at / SEGMENT + 1) * SEGMENT;
                    }
                    while (at + recordSize > held() + AHEAD && failure == null) {
                        LockSupport.parkNanos(100_000); // bounded run-ahead
                    }
                    long t0 = System.nanoTime();
                    long sequence = nonce + records;
                    header.putLong(0, sequence).putInt(8, payload);
                    crc.reset();
                    int from = (int) (sequence * payload & source.capacity() - 1);
                    target.capture(at, header, source.slice(from, payload), crc);
                    at += recordSize;
                    published = at;
                    records++;
                    if (flush) {
                        t0 = System.nanoTime(); // the flush only: from the request to durable
                        syncTo(at);
                    }
                    long t1 = System.nanoTime();
                    if (samples < SAMPLES.length) {
                        SAMPLES[samples++] = (int) Math.min(t1 - t0, Integer.MAX_VALUE);
                    }
                    if (flush) {
                        LockSupport.parkNanos(500_000);
                    }
                }
            } finally {
                captureDone = true;
            }
            long captured = System.nanoTime();
            for (Thread thread : threads) {
                thread.join();
            }
            long cpu = os.getProcessCpuTime() - cpu0;
            double machine = machineCpuSeconds() - machine0;
            long faults = minorFaults() - faults0;
            if (peer != null) {
                peer.close();
            }
            if (failure != null) {
                throw new IllegalStateException("round failed", failure);
            }
            long bytes = records * recordSize;
            if (send && acked != bytes) {
                throw new IllegalStateException("peer confirmed " + acked + " of " + bytes);
            }
            check(records);
            Arrays.sort(SAMPLES, 0, samples);
            double gib = bytes / (double) (1 << 30);
            return new Result(bytes / 1e6 / ((captured - start) / 1e9),
                    send ? bytes / 1e6 / ((lastAckNanos - start) / 1e9) : 0,
                    cpu / 1e9 / gib, machine / gib, faults / gib, syncNanos / 1e6 / Math.max(1, syncCalls),
                    SAMPLES[samples / 2] / 1e3, SAMPLES[(int) (samples * 0.99)] / 1e3, SAMPLES[samples - 1] / 1e3);
        }

        /** After a round: the last segment on the disk holds exactly the expected records. */
        void check(long records) throws IOException {
            long perSegment = dataPerSegment / recordSize;
            long first = (records - 1) / perSegment * perSegment;
            ByteBuffer segment = target.readSegment(first / perSegment * SEGMENT);
            CRC32C crc = new CRC32C();
            for (long i = first; i < records; i++) {
                int at = (int) ((i - first) * recordSize);
                crc.reset();
                crc.update(segment.slice(at + HEADER, recordSize - HEADER));
                if (segment.getLong(at) != nonce + i || segment.getInt(at + 12) != (int) crc.getValue()) {
                    throw new IOException("record " + i + " is wrong on the disk");
                }
            }
        }
    }

    interface Body {
        void run() throws Exception;
    }

    // ------------------------------------------------------------------ the peer (second process)

    /** Reads and discards; checks each record's sequence number; acknowledges every 1 MiB. */
    static void receive() throws IOException {
        try (var server = ServerSocketChannel.open()) {
            server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            System.out.println(((InetSocketAddress) server.getLocalAddress()).getPort());
            ByteBuffer buffer = ByteBuffer.allocateDirect(RUN_MAX);
            ByteBuffer ack = ByteBuffer.allocateDirect(8);
            while (true) {
                try (SocketChannel agent = server.accept()) {
                    ByteBuffer hello = ByteBuffer.allocate(16);
                    while (hello.hasRemaining() && agent.read(hello) >= 0) { }
                    long nonce = hello.getLong(0);
                    long recordSize = hello.getLong(8);
                    long total = 0;
                    long told = 0;
                    int n;
                    while ((n = agent.read(buffer.clear())) >= 0) {
                        long record = (total + recordSize - 1) / recordSize;
                        for (; record * recordSize + 8 <= total + n; record++) {
                            if (buffer.getLong((int) (record * recordSize - total)) != nonce + record) {
                                agent.write(ack.clear().putLong(0, -1));
                            }
                        }
                        total += n;
                        if (total - told >= 1 << 20) {
                            agent.write(ack.clear().putLong(0, total));
                            told = total;
                        }
                    }
                    agent.write(ack.clear().putLong(0, total));
                } catch (IOException e) {
                    System.err.println("peer: " + e);
                }
            }
        }
    }

    // ------------------------------------------------------------------ counters of the machine

    /** Busy CPU-seconds of the whole machine: this process, the peer, kernel threads, neighbours. */
    static double machineCpuSeconds() throws IOException {
        String[] f = Files.readAllLines(Path.of("/proc/stat")).getFirst().split("\\s+");
        long ticks = 0;
        for (int i : new int[] {1, 2, 3, 6, 7}) { // user, nice, system, irq, softirq
            ticks += Long.parseLong(f[i]);
        }
        return ticks / 100.0;
    }

    static long minorFaults() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[7]);
    }

    static String proc(String path) throws IOException {
        return Files.readString(Path.of(path)).strip();
    }

    // ------------------------------------------------------------------ the schedule

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && args[0].equals("receive")) {
            receive();
            return;
        }
        Map<String, String> options = new LinkedHashMap<>();
        for (String arg : args) {
            options.put(arg.substring(0, arg.indexOf('=')), arg.substring(arg.indexOf('=') + 1));
        }
        Path dir = Path.of(options.getOrDefault("dir", "."));
        Path memory = Path.of(options.getOrDefault("memory", "/dev/shm"));
        int rounds = Integer.parseInt(options.getOrDefault("rounds", "4"));
        double seconds = Double.parseDouble(options.getOrDefault("seconds", "5"));
        double flushSeconds = Double.parseDouble(options.getOrDefault("flushSeconds", "2"));
        List<String> cases = List.of(options.getOrDefault("cases", "4K,1M,flush").split(","));
        List<String> variants = List.of(options.getOrDefault("variants",
                "mapped,mapped-4k,ring,ring-direct,written").split(","));
        String self = options.getOrDefault("source", "Landing.java"); // for the second process

        String java = ProcessHandle.current().info().command().orElse("java");
        Process peer = new ProcessBuilder(java, "-Xmx64m", "-XX:+UseSerialGC", self, "receive")
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Map<String, Target> targets = new LinkedHashMap<>();
        try {
            for (String name : variants) {
                targets.put(name, switch (name) {
                    case "mapped" -> new Mapped(dir, name, 1 << 20);
                    case "mapped-4k" -> new Mapped(dir, name, BLOCK);
                    case "written" -> new Written(dir);
                    case "ring" -> new Ring(dir, memory, false);
                    case "ring-direct" -> new Ring(dir, memory, true);
                    default -> throw new IllegalArgumentException(name);
                });
            }
            int port = Integer.parseInt(peer.inputReader().readLine());
            System.out.println("congestion control " + proc("/proc/sys/net/ipv4/tcp_congestion_control")
                    + ", processors " + Runtime.getRuntime().availableProcessors());
            ByteBuffer source = ByteBuffer.allocateDirect(1 << 20);
            Random random = new Random(11);
            while (source.remaining() >= 8) {
                source.putLong(random.nextLong());
            }
            Map<String, List<Result>> results = new LinkedHashMap<>();
            List<String> names = new ArrayList<>(targets.keySet());
            for (int round = 0; round <= rounds; round++) { // round 0 warms up
                List<String> order = new ArrayList<>(names);
                Collections.rotate(order, round / 2);
                if (round % 2 == 1) {
                    order = order.reversed();
                }
                for (String kind : cases) {
                    for (String name : order) {
                        boolean flush = kind.equals("flush");
                        String load = proc("/proc/loadavg").substring(0, 4);
                        var run = new Round(targets.get(name), kind.startsWith("1M") ? 1 << 20 : 4096, flush,
                                !kind.endsWith("nosend"), ((long) System.nanoTime() & 0x7fffff) << 40);
                        double time = flush ? flushSeconds : seconds;
                        Result r = run.run(round == 0 ? Math.min(3, time) : time, source, port);
                        System.out.printf("%d %-9s %-11s captured %5.0f sent %5.0f MB/s  cpu %.2f machine %.2f s/GiB"
                                + "  faults %6.0f /GiB  sync %.2f ms  p50 %.1f p99 %.1f max %.0f us  load %s%n",
                                round, kind, name, r.captured, r.sent, r.cpuPerGiB, r.machineCpuPerGiB,
                                r.faultsPerGiB, r.syncMillis, r.p50, r.p99, r.max, load);
                        if (round > 0) {
                            results.computeIfAbsent(kind + " " + name, _ -> new ArrayList<>()).add(r);
                        }
                        Thread.sleep(300);
                    }
                }
            }
            System.out.println("\nmedian [lowest-highest] of " + rounds + " rounds");
            results.forEach((key, list) -> System.out.printf(
                    "%-20s captured %s sent %s MB/s  cpu %s machine %s s/GiB  faults %s  sync %s ms"
                    + "  p50 %s p99 %s max %s us%n", key,
                    spread(list, Result::captured, "%.0f"), spread(list, Result::sent, "%.0f"),
                    spread(list, Result::cpuPerGiB, "%.2f"), spread(list, Result::machineCpuPerGiB, "%.2f"),
                    spread(list, Result::faultsPerGiB, "%.0f"), spread(list, Result::syncMillis, "%.2f"),
                    spread(list, Result::p50, "%.1f"), spread(list, Result::p99, "%.1f"),
                    spread(list, Result::max, "%.0f")));
            System.out.println("load " + proc("/proc/loadavg"));
        } finally {
            peer.destroy();
            for (Target target : targets.values()) {
                target.close();
            }
        }
    }

    static String spread(List<Result> list, ToDoubleFunction<Result> field, String format) {
        double[] v = list.stream().mapToDouble(field).sorted().toArray();
        double median = v.length % 2 == 1 ? v[v.length / 2] : (v[v.length / 2 - 1] + v[v.length / 2]) / 2;
        return String.format(format + " [" + format + "-" + format + "]", median, v[0], v[v.length - 1]);
    }
}
