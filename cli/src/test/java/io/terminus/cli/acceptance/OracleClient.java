package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.terminus.cli.acceptance.Oracle.Kind;
import io.terminus.cli.acceptance.Oracle.Read;
import io.terminus.cli.acceptance.Oracle.Violation;
import io.terminus.cli.acceptance.Oracle.Write;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A client that writes, zeroes, trims, flushes and reads at random, many requests at a time, half of them in a few hot blocks,
 * and tells the oracle of all. It follows whichever agent serves the volume; one that does not answer for a while it leaves.
 */
final class OracleClient implements AutoCloseable {

    private static final int DEPTH = 8;
    private static final int HOT_BLOCKS = 16;
    private static final int SECTORS_PER_BLOCK = 8;
    private static final int CONNECT_MILLIS = 700;
    /** Long enough for a replica to be given up by the writer, short enough to see the next writer soon. */
    private static final int GIVE_UP_MILLIS = 2_500;

    private static final int TICK_MILLIS = 100;
    /** A volume whose disk is full may take that long to say so. */
    private static final int LEAVE_MILLIS = 60_000;

    private static final int ENOSPC = 28;

    /** One under way; exactly one of these is set. */
    private record Request(@Nullable Write write, @Nullable Read read, Oracle.@Nullable Flush flush) {}

    private final int number;
    private final Oracle oracle;
    private final Stamp stamp;
    private final List<InetSocketAddress> agents;
    private final String export;
    private final Random chance;
    private final Thread thread;

    private final List<Violation> violations = new CopyOnWriteArrayList<>();
    private final Map<Integer, Integer> errors = new TreeMap<>();
    /** Connections that are left, and not closed by their servers yet. */
    private final AtomicInteger leaving = new AtomicInteger();

    private volatile boolean running;
    private volatile boolean closed;
    private volatile boolean idle = true;
    /** Requests a second at most. */
    private volatile int pace = 1_000;

    private volatile boolean hotOnly;

    private volatile @Nullable Throwable failure;

    OracleClient(int number, Oracle oracle, Stamp stamp, List<InetSocketAddress> agents, String export, long seed) {
        this.number = number;
        this.oracle = oracle;
        this.stamp = stamp;
        this.agents = agents;
        this.export = export;
        this.chance = new Random(seed);
        this.thread = Thread.ofPlatform().name("client-" + number).daemon().unstarted(this::run);
        thread.start();
    }

    /**
     * @param requestsPerSecond at most so many
     * @param hot overwrites the hot blocks and nothing else
     */
    void resume(int requestsPerSecond, boolean hot) {
        pace = requestsPerSecond;
        hotOnly = hot;
        idle = false;
        running = true;
    }

    /** Issues no more. */
    void stop() {
        running = false;
    }

    /** Returns when nothing is under way, and no server is still at something that this client gave up. */
    void awaitQuiet() {
        await("client " + number + " is through")
                .atMost(LiveSet.PATIENCE)
                .until(() -> failure != null || idle && leaving.get() == 0);
    }

    List<Violation> violations() {
        return violations;
    }

    @Nullable
    Throwable failure() {
        return failure;
    }

    /** How often each error was answered. */
    Map<Integer, Integer> errors() {
        synchronized (errors) {
            return new TreeMap<>(errors);
        }
    }

    @Override
    public void close() {
        running = false;
        closed = true;
        try {
            thread.join(TimeUnit.SECONDS.toMillis(30));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        try {
            while (!closed) {
                if (!running) {
                    idle = true;
                    Thread.sleep(5);
                    continue;
                }
                idle = false;
                NbdConnection connection = connect();
                if (connection != null) {
                    new Session(connection).run();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (Throwable e) {
            failure = e;
        }
        idle = true;
    }

    private @Nullable NbdConnection connect() throws InterruptedException {
        for (InetSocketAddress agent : agents) {
            try {
                return NbdConnection.open(agent, export, CONNECT_MILLIS);
            } catch (IOException notHere) {
                // The other one, or nobody yet.
            }
        }
        Thread.sleep(30);
        return null;
    }

    /** One connection, to its end. */
    private final class Session {

        private final NbdConnection connection;
        private final Semaphore room = new Semaphore(DEPTH);
        private final Map<Long, Request> underWay = new HashMap<>();
        private volatile @Nullable String broken;
        private volatile boolean ending;
        /** Guarded by {@link #underWay}: nobody hears an answer any more. */
        private boolean deaf;

        private long cookie;

        Session(NbdConnection connection) {
            this.connection = connection;
        }

        void run() throws InterruptedException {
            Thread receiver = Thread.ofPlatform()
                    .name("client-" + number + "-answers")
                    .daemon()
                    .start(this::receive);
            long nextNanos = System.nanoTime();
            try {
                while (running && broken == null) {
                    if (room.tryAcquire(TICK_MILLIS, TimeUnit.MILLISECONDS)) {
                        send();
                        nextNanos = Math.max(nextNanos + TimeUnit.SECONDS.toNanos(1) / pace, System.nanoTime());
                        long restNanos = nextNanos - System.nanoTime();
                        if (restNanos > 0) {
                            TimeUnit.NANOSECONDS.sleep(restNanos);
                        }
                    }
                }
            } catch (IOException e) {
                fail("sending: " + e.getMessage());
            }
            ending = true;
            receiver.join();
        }

        private void send() throws IOException {
            int blocks = oracle.size() / SECTORS_PER_BLOCK;
            boolean hot = hotOnly || chance.nextBoolean();
            int first = (hot ? chance.nextInt(HOT_BLOCKS) : chance.nextInt(blocks)) * SECTORS_PER_BLOCK
                    + (chance.nextInt(4) == 0 ? chance.nextInt(SECTORS_PER_BLOCK) : 0);
            int sectors = Math.min(hotOnly ? SECTORS_PER_BLOCK : sectors(), oracle.size() - first);
            int kind = hotOnly ? 100 : chance.nextInt(100);
            if (kind < 12) {
                request(
                        new Request(null, oracle.beginRead(first, sectors), null),
                        NbdConnection.READ,
                        0,
                        first,
                        sectors);
            } else if (kind < 15) {
                request(new Request(null, null, oracle.issueFlush()), NbdConnection.FLUSH, 0, 0, 0);
            } else if (kind < 21) {
                boolean trim = chance.nextInt(3) == 0;
                boolean through = chance.nextInt(10) == 0;
                int flags =
                        (through ? NbdConnection.FUA : 0) | (!trim && chance.nextBoolean() ? NbdConnection.NO_HOLE : 0);
                Write write = oracle.issue(number, Kind.ZEROS, through, first, sectors);
                request(
                        new Request(write, null, null),
                        trim ? NbdConnection.TRIM : NbdConnection.WRITE_ZEROES,
                        flags,
                        first,
                        sectors);
            } else {
                boolean through = chance.nextInt(20) == 0;
                Write write = oracle.issue(number, Kind.DATA, through, first, sectors);
                request(
                        new Request(write, null, null),
                        NbdConnection.WRITE,
                        through ? NbdConnection.FUA : 0,
                        first,
                        sectors);
            }
        }

        private int sectors() {
            return switch (chance.nextInt(20)) {
                case 0, 1, 2 -> 1 + chance.nextInt(15);
                case 3, 4 -> SECTORS_PER_BLOCK * (1 + chance.nextInt(16));
                case 5 -> chance.nextInt(8) == 0 ? 2 * (1 + chance.nextInt(3072)) : 256;
                default -> SECTORS_PER_BLOCK;
            };
        }

        private void request(Request request, int command, int flags, int first, int sectors) throws IOException {
            long mine;
            synchronized (underWay) {
                if (deaf) {
                    giveUp(request, "never sent");
                    return;
                }
                mine = ++cookie;
                underWay.put(mine, request);
            }
            Write write = request.write;
            byte[] payload = command == NbdConnection.WRITE && write != null
                    ? stamp.payload(write.id, first, sectors)
                    : new byte[0];
            connection.send(
                    command, flags, mine, (long) first * Stamp.SECTOR_BYTES, sectors * Stamp.SECTOR_BYTES, payload);
        }

        private void receive() {
            long heardNanos = System.nanoTime();
            boolean left = true;
            try {
                while (broken == null) {
                    boolean waiting;
                    synchronized (underWay) {
                        waiting = !underWay.isEmpty();
                    }
                    if (!waiting) {
                        heardNanos = System.nanoTime();
                        if (ending) {
                            connection.disconnect();
                            fail("done");
                            left = false;
                            break;
                        }
                    }
                    try {
                        answered(connection.receive(TICK_MILLIS));
                        heardNanos = System.nanoTime();
                    } catch (SocketTimeoutException silence) {
                        if (System.nanoTime() - heardNanos > TimeUnit.MILLISECONDS.toNanos(GIVE_UP_MILLIS)) {
                            fail("no answer for " + GIVE_UP_MILLIS + " ms");
                        }
                    }
                }
            } catch (IOException e) {
                // The server is through with it.
                left = false;
                fail(String.valueOf(e.getMessage()));
            } catch (Throwable e) {
                failure = e;
                fail(e.toString());
            }
            giveUpWhatIsUnderWay();
            if (left) {
                leaving.incrementAndGet();
                Thread.ofPlatform().daemon().start(this::leave);
            } else {
                leave(100);
            }
        }

        private void answered(NbdConnection.Answer answer) throws IOException {
            Request request;
            synchronized (underWay) {
                request = underWay.get(answer.cookie());
            }
            if (request == null) {
                throw new AssertionError("an answer to nothing that was asked");
            }
            if (answer.error() != 0) {
                synchronized (errors) {
                    errors.merge(answer.error(), 1, Integer::sum);
                }
                giveUp(request, "error " + answer.error());
            } else if (request.write() != null) {
                oracle.acknowledged(request.write());
            } else if (request.flush() != null) {
                oracle.flushed(request.flush());
            } else if (request.read() != null) {
                Read read = request.read();
                byte[] data = connection.data(read.sectors * Stamp.SECTOR_BYTES);
                violations.addAll(oracle.ended(read, stamp.read(data, read.first)));
            }
            synchronized (underWay) {
                underWay.remove(answer.cookie());
            }
            room.release();
            if (answer.error() != 0 && answer.error() != ENOSPC) {
                fail("error " + answer.error());
            }
        }

        private void fail(String why) {
            if (broken == null) {
                broken = why;
            }
        }

        private void giveUpWhatIsUnderWay() {
            synchronized (underWay) {
                deaf = true;
                underWay.values().forEach(request -> giveUp(request, String.valueOf(broken)));
                underWay.clear();
            }
        }

        private void giveUp(Request request, String why) {
            if (request.write() != null) {
                oracle.unknown(request.write(), why);
            } else if (request.read() != null) {
                oracle.giveUp(request.read());
            }
        }

        private void leave() {
            leave(LEAVE_MILLIS);
            leaving.decrementAndGet();
        }

        private void leave(int timeoutMillis) {
            try (connection) {
                connection.leave(timeoutMillis);
            } catch (IOException closed) {
                // By the server, or never; whoever waits is told by the deadline of the whole.
            }
        }
    }
}
