/** A volume's image: the sparse file that holds the volume's blocks, and what Linux can do with its holes. */
@NullMarked
package io.terminus.agent.image;

import org.jspecify.annotations.NullMarked;
