package io.terminus.agent.peer;

import com.github.luben.zstd.util.Native;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import net.jpountz.lz4.LZ4Factory;
import org.jspecify.annotations.Nullable;

/** How the runs of a link are compressed, if both its agents are set to the same. */
public enum Compression {
    NONE,
    LZ4,
    ZSTD;

    /** As the settings spell it. */
    public String setting() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * @param key of the setting, for the message
     * @throws IllegalArgumentException naming the value and what is allowed
     */
    public static Compression of(String key, String setting) {
        for (Compression c : values()) {
            if (c.setting().equals(setting)) {
                return c;
            }
        }
        List<String> known = Arrays.stream(values()).map(Compression::setting).toList();
        throw new IllegalArgumentException(key + " of \"" + setting + "\" is not among " + known);
    }

    /**
     * Loads what it needs: a machine that has not got it is to say so at its start, and not in the middle of a stream.
     *
     * @throws UnsatisfiedLinkError naming what is missing
     */
    public void load() {
        switch (this) {
            case NONE -> {}
            case LZ4 -> LZ4Factory.fastestInstance();
            case ZSTD -> Native.load();
        }
    }

    /** One for each thread that packs or unpacks; null: runs travel as they are. */
    @Nullable
    RunCodec codec() {
        return switch (this) {
            case NONE -> null;
            case LZ4 -> new Lz4Codec();
            case ZSTD -> new ZstdCodec();
        };
    }
}
