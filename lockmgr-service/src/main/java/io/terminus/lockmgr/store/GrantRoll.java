package io.terminus.lockmgr.store;

import java.util.HashMap;
import java.util.Map;

/**
 * Puts generations of the log over the map of grants and over what is remembered besides. What a lock went through is netted
 * first, for {@value #WINDOW} locks at a time: one that came and went is never put into the map, and since ids rise, its
 * end need not be looked for there either.
 */
final class GrantRoll implements LogItemCodec.Taker {

    /** A few MiB of heap. */
    private static final int WINDOW = 1 << 14;

    private static final byte[] GONE = {};

    private final GrantMap map;
    private final Remembered remembered;
    private final Runnable betweenWindows;
    private final Map<Long, byte[]> window = new HashMap<>();

    /** @param betweenWindows run often enough that nothing else waits long for this */
    GrantRoll(GrantMap map, Remembered remembered, Runnable betweenWindows) {
        this.map = map;
        this.remembered = remembered;
        this.betweenWindows = betweenWindows;
    }

    @Override
    public void take(LogItem item) {
        if (item instanceof LogItem.Opening opening && opening.forgets()) {
            window.clear();
            map.clear();
        }
        remembered.take(item);
    }

    @Override
    public void takeLock(long lockId, byte[] lockPut) {
        window.put(lockId, lockPut);
        finishIfFull();
    }

    @Override
    public void takeLockGone(long lockId) {
        if (map.mayHold(lockId)) {
            window.put(lockId, GONE);
            finishIfFull();
        } else {
            window.remove(lockId);
        }
    }

    private void finishIfFull() {
        if (window.size() >= WINDOW) {
            finish();
        }
    }

    /** After this the map has all that was taken. */
    void finish() {
        window.forEach((lockId, lockPut) -> {
            if (lockPut.length == 0) {
                map.remove(lockId);
            } else {
                map.put(lockId, lockPut);
            }
        });
        window.clear();
        betweenWindows.run();
    }
}
