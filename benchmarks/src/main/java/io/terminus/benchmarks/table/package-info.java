/** The lock table alone, without a service around it. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.table;
