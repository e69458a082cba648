package io.terminus.simulation.kernel;

import java.util.List;

/** What a run is about. Made anew for each. */
public interface Scenario {

    /** What will go wrong, and when: drawn from the seed, before anything runs. */
    List<Fault> faults(World world);

    /** Sets the machines up and what runs on them. */
    void begin(World world);

    /** One fault happens, in an event. */
    void strike(World world, Fault fault);
}
