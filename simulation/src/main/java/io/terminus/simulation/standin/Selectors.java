package io.terminus.simulation.standin;

import java.nio.channels.Selector;

/** {@code Selector.open}. */
public final class Selectors {

    private Selectors() {}

    public static Selector open() {
        return Sockets.openSelector();
    }
}
