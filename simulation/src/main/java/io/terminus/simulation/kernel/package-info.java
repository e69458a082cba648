/** One run's time, machines, disks and links, and whose turn it is. */
@org.jspecify.annotations.NullMarked
package io.terminus.simulation.kernel;
