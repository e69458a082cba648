package io.terminus.agent.nbd;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A fixed set of exports; {@code elsewhere} names what is known but not served here, and why. */
public record MemoryExports(Map<String, Export> here, Map<String, String> elsewhere) implements Exports {

    static MemoryExports of(Export... exports) {
        Map<String, Export> here = new TreeMap<>();
        for (Export export : exports) {
            here.put(export.name(), export);
        }
        return new MemoryExports(here, Map.of());
    }

    public static MemoryExports named(int sizeBytes, String... names) {
        return of(Arrays.stream(names)
                .map(name -> new MemoryExport(name, sizeBytes))
                .toArray(Export[]::new));
    }

    MemoryExports andElsewhere(String name, String why) {
        return new MemoryExports(here, Map.of(name, why));
    }

    @Override
    public List<Export> list() {
        return List.copyOf(here.values());
    }

    @Override
    public Lookup find(String name) {
        Export export =
                name.isEmpty() && here.size() == 1 ? here.values().iterator().next() : here.get(name);
        if (export != null) {
            return new Lookup.Found(export);
        }
        String why = elsewhere.get(name);
        return why == null ? new Lookup.Unknown() : new Lookup.Unavailable(why);
    }
}
