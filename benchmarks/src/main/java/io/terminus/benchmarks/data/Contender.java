package io.terminus.benchmarks.data;

import java.util.List;

/**
 * A block device somebody serves.
 *
 * @param name in the names of figures
 * @param uri its NBD URI. The export's name is of this run alone, so that nobody else's server can answer for it
 * @param processes whose CPU time is spent on it
 */
record Contender(String name, String uri, List<Daemon> processes) {

    @Override
    public String toString() {
        return name;
    }
}
