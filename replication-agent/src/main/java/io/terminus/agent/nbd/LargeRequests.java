package io.terminus.agent.nbd;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.LinkedHashSet;

/**
 * Places for connections with a request that is larger than a reader keeps room for anyway: a client that sends half of
 * 32 MiB and stalls costs one of these, not the memory of everybody. Who gets none waits in line, and holds nothing
 * meanwhile, so that nobody waits for somebody who waits. Any thread.
 */
final class LargeRequests {

    private final int places;

    @GuardedBy("this")
    private int taken;

    @GuardedBy("this")
    private final LinkedHashSet<Connection> waiting = new LinkedHashSet<>();

    LargeRequests(int places) {
        this.places = places;
    }

    /** False: the connection stands in line, and is woken when it is worth asking again. */
    synchronized boolean take(Connection who) {
        boolean first = waiting.isEmpty() || waiting.getFirst().equals(who);
        if (taken < places && first) {
            waiting.remove(who);
            taken++;
            wakeFirst();
            return true;
        }
        waiting.add(who);
        return false;
    }

    /** {@code had}: this connection has a place; otherwise it only leaves the line. */
    synchronized void give(Connection who, boolean had) {
        waiting.remove(who);
        if (had) {
            taken--;
        }
        wakeFirst();
    }

    private synchronized void wakeFirst() {
        if (taken < places && !waiting.isEmpty()) {
            waiting.getFirst().wake();
        }
    }
}
