package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.regex.Pattern;

/**
 * One lock that is wanted.
 *
 * @param volume 1 to 128 characters of [A-Za-z0-9._-]; it comes into being with its first use
 * @param waitTime zero: try once; else wait at most this long, at most 24 h; a standby may wait {@link #FOREVER}
 * @param standby causes no recall, counts as no contention and is passed by any ordinary request
 */
public record AcquireRequest(String volume, LockRange range, LockMode mode, Duration waitTime, boolean standby) {

    /** The wait of a standby that has no end of its own. */
    public static final Duration FOREVER = Duration.ofMillis(-1);

    private static final Duration LONGEST_WAIT = Duration.ofHours(24);
    private static final Pattern VOLUME = Pattern.compile("[A-Za-z0-9._-]{1,128}");

    public AcquireRequest {
        requireVolume(volume);
        if (waitTime.equals(FOREVER)) {
            if (!standby) {
                throw new IllegalArgumentException("only a standby request may wait for ever");
            }
        } else {
            requireWait(waitTime);
        }
    }

    /** An ordinary request. */
    public static AcquireRequest of(String volume, LockRange range, LockMode mode, Duration waitTime) {
        return new AcquireRequest(volume, range, mode, waitTime, false);
    }

    /** A request that waits, for ever, until the lock is free without asking anybody to give it up. */
    public static AcquireRequest standby(String volume, LockRange range, LockMode mode) {
        return new AcquireRequest(volume, range, mode, FOREVER, true);
    }

    static String requireVolume(String volume) {
        if (!VOLUME.matcher(volume).matches()) {
            throw new IllegalArgumentException("volume '" + volume + "' is not 1 to 128 characters of [A-Za-z0-9._-]");
        }
        return volume;
    }

    static Duration requireWait(Duration wait) {
        if (wait.isNegative() || wait.compareTo(LONGEST_WAIT) > 0) {
            throw new IllegalArgumentException("wait " + wait + " is not within 0 and 24 h");
        }
        return wait;
    }
}
