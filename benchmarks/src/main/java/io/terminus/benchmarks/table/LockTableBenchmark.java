package io.terminus.benchmarks.table;

import io.terminus.lockmgr.lock.Command;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.LockTable.Decision;
import io.terminus.lockmgr.lock.Mode;
import io.terminus.lockmgr.lock.Notice;
import io.terminus.lockmgr.lock.Settings;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * What a decision costs: commands into the table, decisions out, nothing around it. Time stands still, so that no lease ends and no wait runs out.
 *
 * <p>The volume is full of exclusive 64 KiB slots that alternate with free ones; every operation is of a slot at random, because
 * neighbours in time are rarely neighbours on a volume.
 */
@State(Scope.Benchmark)
@BenchmarkMode(org.openjdk.jmh.annotations.Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@SuppressWarnings("NullAway.Init") // JMH calls setUp before anything else
public class LockTableBenchmark {

    private static final long SLOT_BYTES = 64 << 10;
    private static final long SECOND = 1_000_000_000L;
    private static final String VOLUME = "volume-1";
    private static final String UUID = "0b5e1f2c-7a34-4d57-9a0e-2f6d1c3b4a59";
    private static final int QUEUE_SESSIONS = 256;

    @Param({"1000", "100000", "1000000"})
    public int held;

    private LockTable table;
    private SplittableRandom random;
    private long requests;
    private long[] lockIds;

    /** Who holds the contended range, and who waits for it in turn. */
    private int queueHead;

    private long queueLockId;

    @Setup(Level.Trial)
    public void setUp() {
        table = new LockTable(Settings.defaults(), 1, 0);
        random = new SplittableRandom(1);
        requests = 0;
        apply(new Command.OpenSession("holder", "bench", 60 * SECOND));
        lockIds = new long[held];
        for (int slot = 0; slot < held; slot++) {
            lockIds[slot] = acquire("holder", 2L * slot);
        }
        // On a range behind all others: one session holds it, the rest wait in a row.
        for (int session = 0; session < QUEUE_SESSIONS; session++) {
            apply(new Command.OpenSession("queue-" + session, "bench", 60 * SECOND));
            long lockId = acquire("queue-" + session, 2L * held);
            if (session == 0) {
                queueLockId = lockId;
            }
        }
        queueHead = 0;
    }

    /** Gives back one lock and takes it again. */
    @Benchmark
    public Decision pair() {
        int slot = random.nextInt(held);
        apply(new Command.Release("holder", ++requests, lockIds[slot]));
        Decision decision = request("holder", 2L * slot);
        lockIds[slot] = granted(decision, "holder");
        return decision;
    }

    /** The holder of a range that {@value #QUEUE_SESSIONS} - 1 others wait for gives it to the next, and joins the end of the queue. */
    @Benchmark
    public Decision handOff() {
        String holder = "queue-" + queueHead;
        queueHead = (queueHead + 1) % QUEUE_SESSIONS;
        Decision decision = apply(new Command.Release(holder, ++requests, queueLockId));
        queueLockId = granted(decision, "queue-" + queueHead);
        return request(holder, 2L * held);
    }

    private long acquire(String session, long slot) {
        return granted(request(session, slot), session);
    }

    private Decision request(String session, long slot) {
        long start = slot * SLOT_BYTES;
        return apply(new Command.Acquire(
                session, ++requests, VOLUME, UUID, start, start + SLOT_BYTES, Mode.EX, 3600 * SECOND, false));
    }

    /** 0: it waits. */
    private static long granted(Decision decision, String session) {
        for (Notice notice : decision.notices()) {
            if (notice instanceof Notice.Granted granted && granted.sessionId().equals(session)) {
                return granted.lockId();
            }
            if (notice instanceof Notice.Refused refused) {
                throw new IllegalStateException(refused.toString());
            }
        }
        return 0;
    }

    private Decision apply(Command command) {
        return table.apply(command, 0);
    }
}
