/** What of the lock manager's contract cannot be said in its proto files. */
package io.terminus.proto.lock;
