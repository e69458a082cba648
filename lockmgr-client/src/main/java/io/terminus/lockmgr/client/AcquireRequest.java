package io.terminus.lockmgr.client;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One lock that is wanted.
 *
 * @param volume 1 to 128 characters of [A-Za-z0-9._-]; it comes into being with its first use
 * @param waitTime zero: try once; else wait at most this long, at most 24 h; a standby may wait {@link #FOREVER}
 * @param standby causes no recall, counts as no contention and is passed by any ordinary request
 * @param desired contains {@code range}: the grant may be as large as this, up to whoever is in the way; null: not larger than range
 */
public record AcquireRequest(
        String volume,
        LockRange range,
        LockMode mode,
        Duration waitTime,
        boolean standby,
        @Nullable LockRange desired) {

    /** The wait of a standby that has no end of its own. */
    public static final Duration FOREVER = Duration.ofMillis(-1);

    /** So many locks can be asked for together. */
    public static final int MAX_TOGETHER = 64;

    private static final Duration LONGEST_WAIT = Duration.ofHours(24);
    private static final int MAX_NAME_LENGTH = 128;

    public AcquireRequest {
        // Here, on the thread of who asks: what was asked is used on threads that serve others.
        requireVolume(volume);
        Objects.requireNonNull(range, "range");
        Objects.requireNonNull(mode, "mode");
        Objects.requireNonNull(waitTime, "waitTime");
        if (waitTime.equals(FOREVER)) {
            if (!standby) {
                throw new IllegalArgumentException("only a standby request may wait for ever");
            }
        } else {
            requireWait(waitTime);
        }
        if (desired != null && !desired.contains(range)) {
            throw new IllegalArgumentException("desired " + desired + " does not contain range " + range);
        }
    }

    /** An ordinary request. */
    public static AcquireRequest of(String volume, LockRange range, LockMode mode, Duration waitTime) {
        return new AcquireRequest(volume, range, mode, waitTime, false, null);
    }

    /** A request that waits, for ever, until the lock is free without asking anybody to give it up. */
    public static AcquireRequest standby(String volume, LockRange range, LockMode mode) {
        return new AcquireRequest(volume, range, mode, FOREVER, true, null);
    }

    /** The same, but the grant may be as large as {@code desired}; it is asked to shrink when others need what was added. */
    public AcquireRequest withDesired(LockRange desired) {
        return new AcquireRequest(volume, range, mode, waitTime, standby, desired);
    }

    static String requireVolume(String volume) {
        Objects.requireNonNull(volume, "volume");
        boolean valid = !volume.isEmpty() && volume.length() <= MAX_NAME_LENGTH;
        for (int i = 0; valid && i < volume.length(); i++) {
            char c = volume.charAt(i);
            valid = c >= 'a' && c <= 'z'
                    || c >= 'A' && c <= 'Z'
                    || c >= '0' && c <= '9'
                    || c == '.'
                    || c == '_'
                    || c == '-';
        }
        if (!valid) {
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

    /** One atomic request. The lock manager refuses parts that conflict with each other. */
    static List<AcquireRequest> requireTogether(List<AcquireRequest> parts) {
        if (parts.isEmpty() || parts.size() > MAX_TOGETHER) {
            throw new IllegalArgumentException(parts.size() + " parts are not within 1 and " + MAX_TOGETHER);
        }
        for (AcquireRequest part : parts) {
            if (part.standby || part.desired != null) {
                throw new IllegalArgumentException(part + " is a standby or may grow: not as a part of several");
            }
            if (!part.waitTime.equals(parts.getFirst().waitTime)) {
                throw new IllegalArgumentException(
                        "parts wait together: " + part.waitTime + " is not " + parts.getFirst().waitTime);
            }
        }
        return List.copyOf(parts);
    }
}
