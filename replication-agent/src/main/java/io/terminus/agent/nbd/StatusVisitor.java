package io.terminus.agent.nbd;

/** Is shown what a metadata context says about a range: in order, without gaps, from the start of what was asked. */
@FunctionalInterface
public interface StatusVisitor {

    /**
     * @param flags in the terms of the context; neighbours may have the same ones
     * @return whether to go on
     */
    boolean extent(long lengthBytes, int flags);
}
