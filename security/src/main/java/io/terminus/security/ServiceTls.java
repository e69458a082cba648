package io.terminus.security;

import org.jspecify.annotations.Nullable;

/**
 * The keys of a service, if it has any.
 *
 * @param keys null: its callers are not authenticated
 */
public record ServiceTls(@Nullable TlsKeys keys) implements AutoCloseable {

    /** @param files null: none are configured */
    public static ServiceTls load(String setting, @Nullable TlsFiles files) throws KeysRefusedException {
        return new ServiceTls(files == null ? null : TlsKeys.load(setting, files));
    }

    public boolean on() {
        return keys != null;
    }

    @Override
    public void close() {
        if (keys != null) {
            keys.close();
        }
    }
}
