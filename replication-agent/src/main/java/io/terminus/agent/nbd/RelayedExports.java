package io.terminus.agent.nbd;

import java.util.List;

/**
 * The exports as a relayed client sees them: the one that it was let in to where it came in. Behind that option the other agent passes on
 * bytes and looks at none of them, so whatever else is asked for is refused here.
 */
record RelayedExports(Exports all, String only) implements Exports {

    @Override
    public List<Export> list() {
        return all.list().stream().filter(export -> export.name().equals(only)).toList();
    }

    @Override
    public Lookup find(String name) {
        Lookup found = all.find(name);
        return switch (found) {
            case Lookup.Found here -> here.export().name().equals(only) ? found : new Lookup.Unknown();
            case Lookup.Elsewhere elsewhere -> elsewhere.name().equals(only) ? found : new Lookup.Unknown();
            case Lookup.Unavailable unavailable -> name.equals(only) ? found : new Lookup.Unknown();
            case Lookup.Unknown unknown -> found;
        };
    }

    @Override
    public String writer(String name) {
        return all.writer(name);
    }
}
