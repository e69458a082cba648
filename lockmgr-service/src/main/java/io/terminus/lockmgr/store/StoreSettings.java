package io.terminus.lockmgr.store;

import java.nio.file.Path;

/**
 * @param directory belongs to one process at a time
 * @param bootId names this run of the kernel; what was not synced outlives the process only under the same one
 * @param compactAfterBytes a new generation of the log is begun when the newest has grown longer than this
 * @param maxLocks locks the map is laid out for; fixed when the directory is made, three times as many fit for sure
 * @param maxTtlNanos longest lease this server gives; the largest one ever is remembered
 * @param epochAtLeast the operator's way to raise the epoch after an older copy of the directory was put back; else 0
 */
public record StoreSettings(
        Path directory, String bootId, long compactAfterBytes, long maxLocks, long maxTtlNanos, long epochAtLeast) {}
