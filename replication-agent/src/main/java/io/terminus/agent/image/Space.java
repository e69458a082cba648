package io.terminus.agent.image;

/** What stands behind a part of an image. */
public enum Space {
    /** Bytes may be stored there. */
    DATA,
    /** Reads as zeros, and has its space. */
    ALLOCATED,
    /** Reads as zeros, and is not known to have space. */
    HOLE
}
