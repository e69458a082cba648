/** The overlap index beside what else could do its work. */
@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.index;
