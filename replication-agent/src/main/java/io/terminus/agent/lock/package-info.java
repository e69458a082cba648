/** The lock manager as the agent sees it: one session, a whole-volume lock and a value block per volume. */
@org.jspecify.annotations.NullMarked
package io.terminus.agent.lock;
