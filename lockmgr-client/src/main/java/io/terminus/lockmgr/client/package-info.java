/**
 * The client library of the lock manager. Start at {@link io.terminus.lockmgr.client.LockClient}.
 *
 * <pre>
 *   LockClient      what programs hold: futures, listeners, one owner thread, the gRPC stream, reconnects
 *     SessionCore   what is decided: pure, driven by events and time; also driven by the simulator
 *     Grant         a lock that is held; {@code believed()} is the guard of every write
 *       Belief      until when the session's locks may be trusted; one per session, read by any thread
 * </pre>
 */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.client;
