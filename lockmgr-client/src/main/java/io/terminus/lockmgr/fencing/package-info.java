/** For programs that store data: refuses writers whose lock has gone to somebody else. Needs no lock manager and no client. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.fencing;
