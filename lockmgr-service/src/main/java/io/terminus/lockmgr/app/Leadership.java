package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.terminus.lockmgr.grpc.LockAdminService;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.lockmgr.grpc.ServiceLimits;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.ha.GroupMember;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.lockmgr.lock.Share;
import io.terminus.security.Audit;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * All that lives as long as this member leads: a table made from what the log adds up to, its turns, and the services that ask it. Begun and
 * ended by one thread; any may ask the manager.
 *
 * @param epoch by which it is known: what is said of another one does not concern it
 * @param inherited in words, for people
 */
record Leadership(long epoch, LockManager manager, GroupJournal journal, Serving serving, String inherited) {

    /** So long every session has under a new leader at least, to find it and to renew its lease there. */
    private static final long GRACE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** What it is that is served, and by what rules. Outlives the leadership. */
    record Rules(Settings table, Share share, ServiceLimits limits, int watchers) {}

    /** Of the member, for all its leaderships. */
    record Records(LockMetrics metrics, Audit audit, LongAdder commits, LongAdder decisions) {}

    private record Serving(SessionDesk desk, WatchDesk watches, ServiceLimits limits, Audit audit) {}

    /**
     * @param onEnd the turns have ended by themselves; true: because the group takes them no more, false: something is broken
     * @throws IllegalStateException if what the log adds up to breaks a rule of locks
     */
    static Leadership begin(
            GroupMember group,
            GroupMember.Inheritance inheritance,
            Rules rules,
            Records records,
            Consumer<Boolean> onEnd) {
        LockTable table = new LockTable(
                rules.table(), rules.share(), inheritance.epoch(), inheritance.timeNanos(), inheritance.timeNanos());
        table.restore(inheritance.changes());
        inheritance
                .renewals()
                .forEach((session, renewed) ->
                        table.restoreLease(session, renewed, inheritance.timeNanos() + GRACE_NANOS));
        GroupJournal journal = new GroupJournal(
                group, inheritance.epoch(), inheritance.timeNanos(), records.commits(), records.decisions());
        SessionDesk desk = new SessionDesk();
        WatchDesk watches = new WatchDesk(rules.watchers());
        records.metrics().startOver();
        LockManager manager = new LockManager(
                table,
                journal,
                desk,
                watches,
                records.audit(),
                new GroupClock(new BootClock(), inheritance.timeNanos()),
                records.metrics(),
                () -> onEnd.accept(journal.over()));
        String inherited =
                table.sessionCount() + " sessions and " + table.volumes().size() + " volumes";
        manager.start(); // The table is its own from here on.
        return new Leadership(
                inheritance.epoch(),
                manager,
                journal,
                new Serving(desk, watches, rules.limits(), records.audit()),
                inherited);
    }

    void serve(MutableHandlerRegistry registry, Supplier<@Nullable Executor> eventLoop) {
        var unused = registry.addService(
                new LockService(manager, serving.desk, serving.watches, serving.limits, epoch, eventLoop).bind());
        unused = registry.addService(new LockAdminService(manager, serving.desk, serving.audit).bind());
    }

    int watchers() {
        return serving.watches.count();
    }

    /** The group is over it: what waits now is not decided here any more. */
    void cutOff() {
        journal.end();
        manager.close();
    }

    /** What is queued is still decided, and clients are told. */
    void close() {
        manager.close();
    }
}
