package io.terminus.lockmgr.app;

import io.micrometer.core.instrument.MeterRegistry;
import io.terminus.lockmgr.admin.AdminController;
import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.lockmgr.admin.BrowserRules;
import io.terminus.lockmgr.admin.ConsoleController;
import io.terminus.lockmgr.admin.ConsolePages;
import io.terminus.lockmgr.admin.Permissions;
import io.terminus.lockmgr.agents.Agents;
import io.terminus.lockmgr.store.StoreRefusedException;
import io.terminus.security.Audit;
import io.terminus.security.Exposure;
import io.terminus.security.Role;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsMetrics;
import io.terminus.security.rest.RestAccess;
import io.terminus.security.rest.RestSecurity;
import io.terminus.tracing.Tracing;
import java.util.List;
import org.jspecify.annotations.Nullable;
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
@Import({AdminController.class, ConsoleController.class, ConsolePages.class, RestSecurity.class})
public class LockManagerApplication {

    static final int EXIT_REFUSED = 1;
    static final int EXIT_FAILED = 3;

    public static void main(String[] args) {
        try {
            useBeansOfTheBuild();
            Roster.lookNamesUpAnew();
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
    RestSecurity.Of restSecurity(LockManagerProperties properties) {
        return new RestSecurity.Of("lockmgr.tls", properties.tls(), "", List.of(), true, StartRefusedException::new);
    }

    /** Made before the node, which looks whether something is traced when it begins. */
    @Bean
    Traces traces(LockManagerProperties properties) {
        String node = properties.cluster().node();
        try {
            return new Traces(Tracing.begin("lockmgr-service", node.isEmpty() ? "lockmgr" : node));
        } catch (IllegalArgumentException e) {
            throw new StartRefusedException(String.valueOf(e.getMessage()), e);
        }
    }

    /** @param tracing null: nothing is traced */
    record Traces(@Nullable Tracing tracing) implements AutoCloseable {
        @Override
        public void close() {
            if (tracing != null) {
                tracing.close();
            }
        }
    }

    @Bean(destroyMethod = "") // The gRPC server ends it, before its port closes.
    LockNode lockNode(
            LockManagerProperties properties,
            MeterRegistry registry,
            ServiceTls tls,
            Exposure exposure,
            Traces traces) {
        TlsMetrics.show(registry, tls.keys());
        Runnable onFailure = () -> new Thread(() -> System.exit(EXIT_FAILED), "exit").start();
        return switch (properties.mode()) {
            case STANDALONE -> SingleNode.start(properties, registry, onFailure);
            case CLUSTER -> new ClusterNode(properties, registry, tls, exposure, Roster.hostName(), onFailure);
        };
    }

    @Bean(destroyMethod = "")
    AdminDesk adminDesk(LockNode node) {
        return node.admin();
    }

    @Bean
    TableHealth tableHealth(LockNode node, LockManagerProperties properties) {
        return new TableHealth(node::nanosSinceTick, properties.minTtl().toNanos());
    }

    @Bean
    GroupHealth groupHealth(LockNode node) {
        return new GroupHealth(node::whyNotReady);
    }

    @Bean
    Agents agents(ServiceTls tls) {
        return new Agents(tls.keys());
    }

    @Bean(destroyMethod = "") // the node's
    Audit audit(LockNode node) {
        return node.audit();
    }

    @Bean
    Permissions permissions(RestProperties properties, ServiceTls tls) {
        return request -> properties.changes() && (!tls.on() || RestAccess.has(request, Role.OPERATOR));
    }

    @Bean
    BrowserRules browserRules(Permissions permissions) {
        return new BrowserRules(permissions);
    }

    @Bean
    GrpcServer grpcServer(LockManagerProperties properties, LockNode node, ServiceTls tls, Exposure exposure) {
        return new GrpcServer(properties, node, tls.keys(), exposure);
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
