package io.terminus.agent.nbd;

import java.util.List;

/** The exports as a client sees them for whom there is no place: none, and each is refused with the reason. */
record NoExports(String why) implements Exports {

    @Override
    public List<Export> list() {
        return List.of();
    }

    @Override
    public Lookup find(String name) {
        return new Lookup.Unavailable(why);
    }
}
