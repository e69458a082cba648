/** The process: configuration, life cycle, wiring. */
@org.jspecify.annotations.NullMarked
package io.terminus.agent.app;
