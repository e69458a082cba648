/** The lock rules: a pure state machine. No thread, socket, file, clock or framework in here. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.lock;
