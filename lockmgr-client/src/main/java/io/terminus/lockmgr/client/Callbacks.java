package io.terminus.lockmgr.client;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The one thread on which a client's callbacks run, of all groups that it has to do with. Any thread may call. */
final class Callbacks {

    /** When the client is closed, the thread ends if it has had nothing to do for so long. */
    private static final long LINGER_SECONDS = 1;

    private final String owner;
    // Bounded by what it carries: one task for each run of a loop's owner that had something to tell.
    private final ThreadPoolExecutor executor;
    private volatile @Nullable Thread thread;

    Callbacks(String owner) {
        this.owner = owner;
        this.executor = new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), this::thread);
    }

    private Thread thread(Runnable task) {
        Thread made = new Thread(task, "lock-callbacks-" + owner);
        made.setDaemon(true);
        thread = made;
        return made;
    }

    void execute(Runnable task) {
        executor.execute(task);
    }

    boolean isThread(Thread one) {
        return one.equals(thread);
    }

    /** Callbacks of what is still asked come on that thread too, and not on one that may hold what they wait for. */
    void linger() {
        executor.setKeepAliveTime(LINGER_SECONDS, TimeUnit.SECONDS);
        executor.allowCoreThreadTimeOut(true);
    }
}
