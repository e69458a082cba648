/**
 * The client library of the lock manager. Start at {@link io.terminus.lockmgr.client.LockClient}.
 *
 * <pre>
 *   LockClient        what programs hold: blocking calls, futures, listeners
 *     ClientLoop      the event loop that owns the core, one callback thread, the gRPC stream, reconnects
 *       SessionCore   what is decided: pure, driven by events and time; also driven by the simulator
 *   Grant, GrantSet   locks that are held; {@code believed()} is the guard of every write
 *     Belief          until when the session's locks may be trusted; one per session, read by any thread
 *   LockCache         grants that are kept after use and taken again without a call
 * </pre>
 *
 * <p>Lock some bytes, do something that only their holder may do, and give them back:
 *
 * <pre>{@code
 * LockClient locks = LockClient.connect(LockClient.Config.of("localhost:10811", "agent-a"));
 * try (Grant grant = locks.lock(AcquireRequest.of("vol1", LockRange.of(0, 4096), LockMode.EXCLUSIVE, Duration.ofSeconds(10)))) {
 *     write(grant.token());
 *     if (grant.believed()) reply(); // ask last; no belief, no reply
 * }
 * }</pre>
 *
 * <p>Who stores what lock holders write wants {@code FencingChecker} in the package beside this one.
 */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.client;
