/**
 * A replicated volume: who writes, what is committed, what is applied.
 *
 * <p>Pure decisions: {@link io.terminus.agent.volume.Membership} (which positions are committed, who is in sync) and
 * {@link io.terminus.agent.volume.Election} (which tail a new writer takes). Everything that touches files is in
 * {@link io.terminus.agent.volume.Replica}; what a writer adds to it is in {@link io.terminus.agent.volume.Writer}; who
 * is what at which time is decided in {@link io.terminus.agent.volume.Volume}.
 */
@org.jspecify.annotations.NullMarked
package io.terminus.agent.volume;
