/** The process: configuration, the loop around the table, the servers. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.app;
