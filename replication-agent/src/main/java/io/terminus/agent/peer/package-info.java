/** Journal runs between agents: the streams that feed peers, the links that land them, seals and tails of elections. */
@org.jspecify.annotations.NullMarked
package io.terminus.agent.peer;
