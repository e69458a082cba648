/** What {@code terminus bench} runs: commands, goals, and how results are shown. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks;
