/** Non-blocking byte streams: one owner thread per socket, sends from any thread, file regions in order with buffers. */
@NullMarked
package io.terminus.agent.net;

import org.jspecify.annotations.NullMarked;
