package io.terminus.agent.nbd;

import java.util.List;

/** The exports of this agent. Called by any connection's reader; must not block for long. */
public interface Exports {

    /** What is served here now. */
    List<Export> list();

    /** {@code ""} is the default export: the only one, if there is exactly one. */
    Lookup find(String name);

    /** What a name led to. */
    sealed interface Lookup {

        record Found(Export export) implements Lookup {}

        /** Known, but not served here now; the client is told why. */
        record Unavailable(String why) implements Lookup {}

        record Unknown() implements Lookup {}
    }
}
