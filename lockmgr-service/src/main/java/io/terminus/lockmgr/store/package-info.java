/** The standalone store: every decision in a small log, grants and sessions in off-heap maps behind it. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.store;
