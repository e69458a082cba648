package io.terminus.benchmarks.index;

/** The value of an entry: a lock, or a waiter. */
record Held(long start, long end, long id) {}
