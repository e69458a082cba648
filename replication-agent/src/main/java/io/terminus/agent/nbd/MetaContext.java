package io.terminus.agent.nbd;

/**
 * Something a client may ask about every extent of an export.
 *
 * @param name namespace, colon, leaf
 */
public record MetaContext(String name) {

    /** Flags: {@link #HOLE}, {@link #ZERO}; neither for data. The protocol's own, and what sparse reads are cut by. */
    public static final MetaContext ALLOCATION = new MetaContext("base:allocation");

    /** {@link #ALLOCATION}: no space is known to be allocated; a write may find none. */
    public static final int HOLE = 1;

    /** {@link #ALLOCATION}: reads as zeros. */
    public static final int ZERO = 2;

    public MetaContext {
        if (namespaceEnd(name) <= 0) {
            throw new IllegalArgumentException("context \"" + name + "\" has no namespace");
        }
    }

    /** Whether a client that lists contexts means this one: by its name, or by its namespace and nothing else. */
    boolean listedBy(String query) {
        return query.equals(name) || query.equals(name.substring(0, namespaceEnd(name) + 1));
    }

    private static int namespaceEnd(String name) {
        return name.indexOf(':');
    }
}
