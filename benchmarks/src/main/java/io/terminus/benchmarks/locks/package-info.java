/** The lock manager as its clients find it: a process of its own, asked over gRPC. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.locks;
