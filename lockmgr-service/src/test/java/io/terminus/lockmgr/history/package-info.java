/** What clients saw of a real lock manager, written down and judged: nothing in here knows how it works inside. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.history;
