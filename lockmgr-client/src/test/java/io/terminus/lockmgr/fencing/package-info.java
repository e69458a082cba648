@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.fencing;
