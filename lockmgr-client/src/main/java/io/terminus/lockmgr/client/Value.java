package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.ValueBlock;
import java.util.Arrays;

/**
 * A volume's value block as the lock manager had it when it answered.
 *
 * @param version 0: never written
 * @param bytes at most {@link #MAX_LENGTH_BYTES}; copied on the way in and out
 */
public record Value(String volume, String volumeUuid, long version, byte[] bytes) {

    public static final int MAX_LENGTH_BYTES = 4096;

    public Value {
        bytes = bytes.clone();
    }

    @Override
    public byte[] bytes() {
        return bytes.clone();
    }

    static Value of(ValueBlock block) {
        return new Value(
                block.getVolume(),
                block.getVolumeUuid(),
                block.getVersion(),
                block.getValue().toByteArray());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Value that
                && volume.equals(that.volume)
                && volumeUuid.equals(that.volumeUuid)
                && version == that.version
                && Arrays.equals(bytes, that.bytes);
    }

    @Override
    public int hashCode() {
        return volumeUuid.hashCode() * 31 + Long.hashCode(version);
    }

    @Override
    public String toString() {
        return "Value[" + volume + " " + volumeUuid + " version " + version + ", " + bytes.length + " bytes]";
    }
}
