/** Runs of the whole product under a seed, and the class loader that puts it into the simulated world. */
@org.jspecify.annotations.NullMarked
package io.terminus.simulation;
