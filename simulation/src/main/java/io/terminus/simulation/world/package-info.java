/** What runs are about: machines, clients, faults, and what must hold. */
@org.jspecify.annotations.NullMarked
package io.terminus.simulation.world;
