/** What of a write goes into a trace, at its writer and at replicas. */
@NullMarked
package io.terminus.agent.trace;

import org.jspecify.annotations.NullMarked;
