/** A group of lock managers that are one: its log, its members, who leads. Knows nothing of clients. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.ha;
