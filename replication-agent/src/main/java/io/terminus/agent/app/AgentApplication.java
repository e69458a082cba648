package io.terminus.agent.app;

import io.micrometer.core.instrument.MeterRegistry;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.terminus.agent.admin.AgentControlService;
import io.terminus.agent.admin.AgentController;
import io.terminus.agent.admin.ConsoleWay;
import io.terminus.agent.admin.Endpoints;
import io.terminus.agent.lock.LockManagerLink;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.LinkSettings;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import io.terminus.security.AuditLog;
import io.terminus.security.Exposure;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsKeys;
import io.terminus.security.grpc.GrpcTls;
import io.terminus.security.rest.RestSecurity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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

/** The replication agent's process. Ends with 1 if it cannot start; one sentence on standard error says why. */
@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
@EnableConfigurationProperties({AgentProperties.class, ConsoleProperties.class})
@Import({AgentController.class, RestSecurity.class})
public class AgentApplication {

    private static final int EXIT_REFUSED = 1;
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");

    public static void main(String[] args) {
        try {
            useBeansOfTheBuild();
            run(args);
        } catch (SpringApplication.AbandonedRunException e) {
            throw e; // the build only wants to know which beans there are
        } catch (Throwable e) {
            String sentence = sentence(e);
            if (sentence != null) {
                System.err.println("agent: " + sentence);
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
                && ClassUtils.isPresent(AgentApplication.class.getName() + "__ApplicationContextInitializer", null)) {
            SpringProperties.setFlag(AotDetector.AOT_ENABLED);
        }
    }

    static ConfigurableApplicationContext run(String... args) {
        return new SpringApplication(AgentApplication.class).run(args);
    }

    @Bean(destroyMethod = "")
    DataDirectory dataDirectory(AgentProperties p) {
        return DataDirectory.open(p.dataDir(), p.name());
    }

    @Bean
    RestSecurity.Of restSecurity(AgentProperties p) {
        return new RestSecurity.Of("agent.tls", p.tls(), p.name(), AgentRoles.REST, false, StartRefusedException::new);
    }

    @Bean
    AuditLog auditLog(DataDirectory directory) {
        return new AuditLog(directory.path());
    }

    @Bean(destroyMethod = "")
    LockManagerLink lockManagerLink(AgentProperties p, DataDirectory directory, ServiceTls tls) {
        TlsKeys keys = tls.keys();
        return new LockManagerLink(
                p.lockManager(),
                p.name(),
                p.leaseTtl(),
                directory.path().resolve("session"),
                keys == null ? null : GrpcTls.client(keys));
    }

    @Bean
    LinkSettings linkSettings(AgentProperties p, TestHooks hooks, ServiceTls tls) {
        try {
            p.compression().load();
        } catch (UnsatisfiedLinkError e) {
            throw new StartRefusedException(
                    "agent.peer-compression of \"" + p.peerCompression() + "\" cannot be had on this machine: "
                            + e.getMessage(),
                    e);
        }
        return new LinkSettings(p.compression(), p.peerTimeout(), hooks, tls.keys());
    }

    @Bean
    TestHooks testHooks(AgentProperties p) {
        Path dir = p.testHooksDir();
        return dir == null ? TestHooks.NONE : new StopFiles(dir);
    }

    @Bean(destroyMethod = "")
    GrpcPeerNetwork peerNetwork(AgentProperties p, LinkSettings links) {
        return new GrpcPeerNetwork(p.name(), links);
    }

    @Bean(destroyMethod = "")
    Volumes volumes(
            AgentProperties p, DataDirectory directory, LockManagerLink locks, GrpcPeerNetwork network, TestHooks hooks)
            throws IOException {
        Volume.Settings settings = new Volume.Settings(
                p.name(),
                Files.readString(BOOT_ID).strip(),
                (long) p.journalBudgetMib() << 20,
                p.peerTimeout(),
                p.electionTimeout(),
                p.drainTimeout(),
                hooks);
        return new Volumes(directory.path(), settings, locks::volume, network);
    }

    @Bean
    AgentControlService agentControlService(
            AgentProperties p, Volumes volumes, GrpcPeerNetwork network, LockManagerLink locks) {
        return new AgentControlService(
                volumes,
                network,
                new Endpoints(
                        p.advertiseHost() + ":" + p.nbdPort(),
                        p.nbdNeedsTls(),
                        p.advertiseHost() + ":" + p.peerPort(),
                        p.advertiseHost() + ":" + p.grpcPort(),
                        p.lockManager(),
                        locks::reachable));
    }

    @Bean
    ConsoleWay consoleWay(AgentProperties p, ConsoleProperties console) {
        return new ConsoleWay(console.url(), p.lockManager());
    }

    @Bean
    AgentServers agentServers(
            AgentProperties p,
            DataDirectory directory,
            LockManagerLink locks,
            LinkSettings links,
            GrpcPeerNetwork network,
            Volumes volumes,
            AgentControlService control,
            PrometheusRegistry metrics,
            MeterRegistry meters,
            Exposure exposure,
            AuditLog audit) {
        return new AgentServers(
                p, directory, locks, links, network, volumes, control, metrics, meters, exposure, audit);
    }

    @Bean
    ReplicasHealth replicas(Volumes volumes, LockManagerLink locks, AgentProperties p) {
        return new ReplicasHealth(volumes, locks::reachable, p.lockManager());
    }

    /** What the operator is to be told; null if it is not known what is wrong, and the whole trace is wanted. */
    static @Nullable String sentence(Throwable failure) {
        for (Throwable e = failure; e != null; e = e.getCause()) {
            if (e instanceof StartRefusedException) {
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
