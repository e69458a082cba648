package io.terminus.agent.image;

/** Sees the extents of a range of the image in order. */
@FunctionalInterface
public interface ExtentVisitor<X extends Exception> {

    /**
     * @param data whether bytes may be stored there; a hole reads as zeros
     * @return whether to go on
     */
    boolean extent(long offset, long length, boolean data) throws X;
}
