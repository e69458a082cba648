/** What operators and other tools ask of the agent: the control service and the admin REST. */
@org.jspecify.annotations.NullMarked
package io.terminus.agent.admin;
