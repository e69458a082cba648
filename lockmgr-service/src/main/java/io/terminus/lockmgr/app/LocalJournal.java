package io.terminus.lockmgr.app;

import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.store.DecisionStore;
import java.util.List;

/** The decisions of a lock manager of one process, on its disk. Synced where {@link DecisionStore#mustBeSynced} says so. */
final class LocalJournal implements Journal {

    private final DecisionStore store;
    private boolean mustSync;

    LocalJournal(DecisionStore store) {
        this.store = store;
    }

    @Override
    public void append(List<Change> changes) {
        store.append(changes);
        mustSync |= DecisionStore.mustBeSynced(changes);
    }

    @Override
    public boolean gathersRenewals() {
        return false;
    }

    /** A restart gives every session one full ttl. */
    @Override
    public void renewed(String sessionId, long nowNanos) {}

    @Override
    public boolean mayWait(boolean heard, long nowNanos) {
        return mustSync || store.flushMayWait();
    }

    @Override
    public void commit(boolean heard, long nowNanos) {
        if (mustSync) {
            store.sync();
            mustSync = false;
        } else {
            store.flush();
        }
    }

    @Override
    public void recoveryOver() {
        store.recoveryOver();
    }

    @Override
    public long syncs() {
        return store.syncs();
    }

    @Override
    public long appends() {
        return store.appends();
    }

    @Override
    public void close() {
        store.close();
    }
}
