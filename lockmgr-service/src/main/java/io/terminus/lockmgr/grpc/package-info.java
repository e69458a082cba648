/** The lock manager's gRPC face: session streams, unary calls, administration. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.grpc;
