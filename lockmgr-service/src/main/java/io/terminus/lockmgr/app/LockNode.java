package io.terminus.lockmgr.app;

import io.grpc.util.MutableHandlerRegistry;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.security.Audit;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** This process as a lock manager: alone, or one of a group. Any thread may call. */
interface LockNode extends AutoCloseable {

    /** What operators ask over REST. */
    AdminDesk admin();

    /**
     * The gRPC port is about to open: what is to be served there goes into the registry, now and whenever it changes.
     *
     * @param eventLoop of the calling thread; null where there is none
     */
    void serve(MutableHandlerRegistry services, Supplier<@Nullable Executor> eventLoop);

    /** Where what callers change is kept. */
    Audit audit();

    /** How long ago the table last heard what time it is; 0 where another process has the table. */
    long nanosSinceTick();

    /** Why clients and the rest of a group cannot count on this process; null: they can. */
    @Nullable
    String whyNotReady();

    /** Clients are told first; what they ask after that is refused as unavailable. */
    @Override
    void close();
}
