/**
 * The {@code terminus} command: runs a set of services on this machine, shows what they do, and passes an operator's
 * wishes to them over gRPC.
 */
@org.jspecify.annotations.NullMarked
package io.terminus.cli;
