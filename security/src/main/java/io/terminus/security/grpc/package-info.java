/** TLS and roles on gRPC ports. */
@org.jspecify.annotations.NullMarked
package io.terminus.security.grpc;
