/** TLS and roles on HTTP ports. */
@org.jspecify.annotations.NullMarked
package io.terminus.security.rest;
