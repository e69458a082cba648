package io.terminus.security;

/** PEM files that make no TLS; the message names the setting, the file and what is wrong with it. */
public final class KeysRefusedException extends Exception {
    KeysRefusedException(String message, Throwable cause) {
        super(message, cause);
    }

    KeysRefusedException(String message) {
        super(message);
    }
}
