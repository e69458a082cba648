package io.terminus.agent.image;

/** Sees what stands behind a range of the image, in order and without gaps. */
@FunctionalInterface
public interface SpaceVisitor<X extends Exception> {

    /** Returns whether to go on. */
    boolean extent(long offset, long length, Space space) throws X;
}
