/** Who is on the other side of a connection, what it may do, and what is kept of what it did. */
@org.jspecify.annotations.NullMarked
package io.terminus.security;
