/** What is deployed, rather than what runs: checked without a cluster and without a container. */
@NullMarked
package io.terminus.deploy;

import org.jspecify.annotations.NullMarked;
