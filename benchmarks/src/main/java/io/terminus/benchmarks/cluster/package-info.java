/** A group of lock managers beside a group of etcd, on one machine. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.cluster;
