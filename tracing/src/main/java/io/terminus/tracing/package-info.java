/** Traces of writes and grants: what is traced, which ids it has, and where it goes. */
@NullMarked
package io.terminus.tracing;

import org.jspecify.annotations.NullMarked;
