/** Half-open byte ranges, and the index that finds those which overlap. Needs nothing but the JDK. */
@org.jspecify.annotations.NullMarked
package io.terminus.ranges;
