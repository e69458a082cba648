/** The product as its users meet it: real services, real clients, real signals. */
@org.jspecify.annotations.NullMarked
package io.terminus.cli.acceptance;
