@org.jspecify.annotations.NullMarked
package io.terminus.agent.app;
