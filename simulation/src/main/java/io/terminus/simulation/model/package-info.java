/** The hand-over as a small machine. */
@org.jspecify.annotations.NullMarked
package io.terminus.simulation.model;
