package io.terminus.lockmgr.app;

import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminController;
import io.terminus.lockmgr.admin.BrowserRules;
import io.terminus.lockmgr.admin.ConsoleController;
import io.terminus.lockmgr.admin.ConsolePages;
import io.terminus.lockmgr.admin.OperatorLog;
import io.terminus.lockmgr.admin.Permissions;
import io.terminus.lockmgr.agents.Agents;
import io.terminus.lockmgr.grpc.SessionDesk;
import io.terminus.lockmgr.grpc.WatchDesk;
import io.terminus.lockmgr.lock.LockTable;
import io.terminus.lockmgr.lock.Settings;
import io.terminus.lockmgr.store.DecisionStore;
import io.terminus.lockmgr.store.StoreRefusedException;
import io.terminus.lockmgr.store.StoreSettings;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.aot.AotDetector;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.BindException;
import org.springframework.boot.web.server.PortInUseException;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.aot.AbstractAotProcessor;
import org.springframework.core.SpringProperties;
import org.springframework.util.ClassUtils;

/**
 * The lock manager's process. Ends with 1 if it cannot start (one sentence on standard error says why), with
 * {@value #EXIT_FAILED} if it had to stop because the store failed.
 */
@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
@EnableConfigurationProperties({LockManagerProperties.class, RestProperties.class})
@Import({AdminController.class, ConsoleController.class, ConsolePages.class})
public class LockManagerApplication {

    private static final Logger LOG = LoggerFactory.getLogger(LockManagerApplication.class);

    static final int EXIT_REFUSED = 1;
    static final int EXIT_FAILED = 3;

    public static void main(String[] args) {
        try {
            useBeansOfTheBuild();
            run(args);
        } catch (SpringApplication.AbandonedRunException e) {
            throw e; // the build only wants to know which beans there are
        } catch (Throwable e) {
            String sentence = sentence(e);
            if (sentence != null) {
                System.err.println("lockmgr: " + sentence);
            } else {
                e.printStackTrace();
            }
            System.exit(EXIT_REFUSED);
        }
    }

    /** Which beans there are is found out by the build, where it is this very program that finds it out. */
    private static void useBeansOfTheBuild() {
        boolean build = SpringProperties.getFlag(AbstractAotProcessor.AOT_PROCESSING);
        if (!build
                && ClassUtils.isPresent(
                        LockManagerApplication.class.getName() + "__ApplicationContextInitializer", null)) {
            SpringProperties.setFlag(AotDetector.AOT_ENABLED);
        }
    }

    static ConfigurableApplicationContext run(String... args) {
        return new SpringApplication(LockManagerApplication.class).run(args);
    }

    @Bean
    DecisionStore decisionStore(LockManagerProperties properties) {
        return DecisionStore.open(new StoreSettings(
                properties.dataDir(),
                DecisionStore.kernelBootId(),
                properties.compactAfter().toBytes(),
                properties.maxLocks(),
                properties.maxTtl().toNanos(),
                properties.epochAtLeast()));
    }

    @Bean
    SessionDesk sessionDesk() {
        return new SessionDesk();
    }

    @Bean
    WatchDesk watchDesk(LockManagerProperties properties) {
        return new WatchDesk(properties.limits().watchers());
    }

    @Bean
    AuditLog auditLog(LockManagerProperties properties) {
        return new AuditLog(properties.dataDir());
    }

    @Bean
    LockManager lockManager(
            LockManagerProperties properties,
            DecisionStore store,
            SessionDesk desk,
            WatchDesk watches,
            AuditLog audit,
            MeterRegistry registry) {
        BootClock clock = new BootClock();
        LockTable table = table(properties, store, clock.getAsLong());
        LockManager manager = new LockManager(
                table,
                store,
                desk,
                watches,
                audit,
                clock,
                new LockMetrics(registry, store, watches::count),
                () -> new Thread(() -> System.exit(EXIT_FAILED), "exit").start());
        manager.start();
        return manager;
    }

    @Bean
    TableHealth tableHealth(LockManager manager, LockManagerProperties properties) {
        return new TableHealth(manager::nanosSinceTick, properties.minTtl().toNanos());
    }

    @Bean
    Agents agents() {
        return new Agents();
    }

    @Bean
    OperatorLog operatorLog(AuditLog audit) {
        return audit::record;
    }

    @Bean
    Permissions permissions(RestProperties properties) {
        return request -> properties.changes();
    }

    @Bean
    BrowserRules browserRules(Permissions permissions) {
        return new BrowserRules(permissions);
    }

    @Bean
    GrpcServer grpcServer(
            LockManagerProperties properties,
            LockManager manager,
            DecisionStore store,
            SessionDesk desk,
            WatchDesk watches,
            AuditLog audit) {
        return new GrpcServer(properties, manager, desk, watches, audit, store.epoch());
    }

    /** The table as the store remembers it, with the recovery window that the store asks for. */
    static LockTable table(LockManagerProperties properties, DecisionStore store, long nowNanos) {
        Settings settings;
        try {
            settings = properties.table().withMaxLocks(store.mostLocks());
            properties.service();
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException("the settings cannot be used: " + e.getMessage(), e);
        }
        long recoveryTtlNanos = store.recoveryTtlNanos();
        long recoveryNanos = recoveryTtlNanos == 0 ? 0 : recoveryTtlNanos + LockTable.marginNanos(recoveryTtlNanos);
        if (recoveryNanos > 0) {
            LOG.warn(
                    "grants may have been forgotten by the machine: nothing is granted for {} s",
                    recoveryNanos / 1_000_000_000L);
        }
        LockTable table = new LockTable(settings, store.epoch(), nowNanos, nowNanos + recoveryNanos);
        try {
            table.restore(store.restored());
        } catch (IllegalStateException e) {
            throw new StartRefusedException("data directory damaged: " + e.getMessage(), e);
        }
        LOG.info(
                "epoch {}, data in {}, {} sessions and {} volumes restored",
                store.epoch(),
                properties.dataDir().toAbsolutePath(),
                table.sessions().size(),
                table.volumes().size());
        return table;
    }

    /** What the operator is to be told; null if it is not known what is wrong, and the whole trace is wanted. */
    static @Nullable String sentence(Throwable failure) {
        for (Throwable e = failure; e != null; e = e.getCause()) {
            if (e instanceof StartRefusedException || e instanceof StoreRefusedException) {
                return e.getMessage();
            }
            if (e instanceof PortInUseException inUse) {
                return "HTTP cannot listen on port " + inUse.getPort() + ": Address already in use (set server.port)";
            }
            if (e instanceof BindException wrong) {
                Throwable why = wrong;
                while (why.getCause() != null) {
                    why = why.getCause();
                }
                return "cannot use the setting " + wrong.getName() + ": " + why.getMessage();
            }
        }
        return null;
    }
}
