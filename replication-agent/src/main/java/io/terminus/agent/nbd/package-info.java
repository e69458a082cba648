/**
 * The NBD server: fixed newstyle handshake, transmission with structured replies, several connections per export. The
 * protocol is decided by two state machines without a socket ({@code Handshake}, {@code Transmission}); a
 * {@code Connection} is the thin shell around them. What is served is declared here and implemented elsewhere.
 *
 * <p>Protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
@NullMarked
package io.terminus.agent.nbd;

import org.jspecify.annotations.NullMarked;
