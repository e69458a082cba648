package io.terminus.agent.journal;

/** Sees the records of a range of positions in order. */
@FunctionalInterface
public interface RecordVisitor<X extends Exception> {

    /**
     * @param view shows the record during this call only
     * @return whether to go on
     */
    boolean visit(RecordView view) throws X;
}
