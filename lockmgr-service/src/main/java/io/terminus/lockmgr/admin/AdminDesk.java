package io.terminus.lockmgr.admin;

import io.terminus.lockmgr.lock.LockTable;
import java.util.List;
import java.util.function.Predicate;

/** What the operators' face needs of the thread that owns the table. Any thread may call; all verbs wait for their turn. */
public interface AdminDesk {

    /** Of the group that a volume belongs to. What a desk is asked itself is for the first group that is led here. */
    default AdminDesk ofVolume(String volume) {
        return this;
    }

    /** Of the group that a session is one of. */
    default AdminDesk ofSession(String sessionId) {
        return this;
    }

    /** One for each group that is led here, by their numbers; one that refuses, and says who leads, if there is none. */
    default List<AdminDesk> led() {
        return List.of(this);
    }

    /** Asks one question of the table at one moment. */
    <T> T ask(Question<T> question);

    /** Takes a lock from its holder. {@code who} is kept in the audit log, here as below. */
    void forceRelease(String who, String volume, long lockId);

    /** Sets how long ranges of a volume stay closed when a holder vanished; the volume comes into being if need be. */
    void configureVolume(String who, String volume, long lockDelayMillis);

    /** Ends a session and releases what it holds. Returns false if there is no such session. */
    boolean closeSession(String who, String sessionId);

    /** Runs on the owner thread: must neither wait nor keep the table. */
    interface Question<T> {
        T of(LockTable table, Predicate<String> attached, long nowNanos);
    }
}
