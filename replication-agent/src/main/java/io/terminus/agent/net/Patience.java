package io.terminus.agent.net;

/**
 * How long a thread looks again and again for bytes that are about to come, before it sleeps. To be woken costs some ten
 * microseconds, in a virtual machine more than a small write itself; where requests come one by one these waits are most of
 * what a client sees. Looking pays where the bytes come soon, so it is given up where they did not, for longer each time:
 * who waits for nothing costs nothing. Not for several threads.
 */
public final class Patience {

    /** About what it costs to sleep and to be woken, twice. */
    private static final long MOST_NANOS = 60_000;

    private static final int MOST_SKIPPED = 1 << 10;

    private static final boolean ALONE = Runtime.getRuntime().availableProcessors() < 2;

    private int inVain;
    private int toSkip;

    /** How long to look now; 0: not at all. Followed by {@link #came} or {@link #didNotCome} unless it is 0. */
    public long nanos() {
        if (ALONE) {
            return 0; // whoever is waited for could not run
        }
        if (toSkip > 0) {
            toSkip--;
            return 0;
        }
        return MOST_NANOS;
    }

    public void came() {
        inVain = 0;
    }

    public void didNotCome() {
        inVain = Math.min(inVain + 1, 10);
        toSkip = Math.min(1 << inVain, MOST_SKIPPED);
    }
}
