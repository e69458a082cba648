/** {@code terminus bench data}: volumes as their clients find them, beside what is there already. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.data;
