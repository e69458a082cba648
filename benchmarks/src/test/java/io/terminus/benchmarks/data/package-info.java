@org.jspecify.annotations.NullMarked
package io.terminus.benchmarks.data;
