/** The lock manager for operators, over HTTP. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.admin;
