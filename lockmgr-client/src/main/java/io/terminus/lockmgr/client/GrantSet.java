package io.terminus.lockmgr.client;

import java.util.Iterator;
import java.util.List;

/**
 * Grants that were taken together, in the order in which they were asked for. Each is a grant of its own and may be released singly;
 * closing the set closes them all.
 */
public record GrantSet(List<Grant> grants) implements AutoCloseable, Iterable<Grant> {

    public GrantSet {
        grants = List.copyOf(grants);
    }

    public Grant get(int index) {
        return grants.get(index);
    }

    public int size() {
        return grants.size();
    }

    /** All of them are. */
    public boolean believed() {
        for (Grant grant : grants) {
            if (!grant.believed()) {
                return false;
            }
        }
        return true;
    }

    @Override
    public Iterator<Grant> iterator() {
        return grants.iterator();
    }

    @Override
    public void close() {
        grants.forEach(Grant::close);
    }
}
