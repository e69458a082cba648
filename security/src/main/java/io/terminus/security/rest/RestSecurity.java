package io.terminus.security.rest;

import io.terminus.security.Audit;
import io.terminus.security.Exposure;
import io.terminus.security.KeysRefusedException;
import io.terminus.security.ServiceTls;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import java.time.Duration;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.convert.DurationStyle;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.env.Environment;

/** The keys of a service, which ports it may open, and what its HTTP port asks of callers: alike in every service, but for {@link Of}. */
@Configuration(proxyBeanMethods = false)
public class RestSecurity {

    private static final String REQUEST_TIME = "server.tomcat.connection-timeout";

    /**
     * What is a service's own. It also has one {@link Audit}.
     *
     * @param setting of its keys, such as {@code agent.tls}
     * @param files null: none are configured
     * @param agent whose certificate it has to be; empty: of no agent in particular
     * @param rules of REST
     * @param keepsOwnRecord see {@link RestAccess}
     * @param refused ends a start, with a sentence for the operator
     */
    public record Of(
            String setting,
            @Nullable TlsFiles files,
            String agent,
            List<RestAccess.Rule> rules,
            boolean keepsOwnRecord,
            Function<String, ? extends RuntimeException> refused) {}

    @Bean
    ServiceTls serviceTls(Of service) {
        try {
            ServiceTls tls = ServiceTls.load(service.setting(), service.files());
            TlsKeys keys = tls.keys();
            String agent = service.agent();
            if (keys != null && !agent.isEmpty() && !keys.identity().agent().equals(agent)) {
                String who = keys.identity().toString();
                tls.close();
                throw service.refused()
                        .apply(service.setting() + ".cert is not the certificate of agent " + agent
                                + ", which needs the name terminus:agent/" + agent + ": " + who);
            }
            return tls;
        } catch (KeysRefusedException e) {
            throw service.refused().apply(String.valueOf(e.getMessage()));
        }
    }

    @Bean
    Exposure exposure(Environment environment) {
        return new Exposure(environment.getProperty(Exposure.SETTING, Boolean.class, false));
    }

    @Bean
    RestTls restTls(Of service, ServiceTls tls, Exposure exposure) {
        return new RestTls(tls.keys(), exposure, service.setting(), service.refused());
    }

    /** The audit log is asked for when there is something to keep: it opens behind the port. */
    @Bean
    FilterRegistrationBean<RestAccess> restAccess(
            Of service, ServiceTls tls, ObjectProvider<Audit> audit, Environment environment) {
        Duration requestTime = DurationStyle.detectAndParse(environment.getRequiredProperty(REQUEST_TIME));
        RestAccess access = new RestAccess(
                tls::on,
                service.rules(),
                (who, action, what, outcome) -> audit.getObject().record(who, action, what, outcome),
                service.keepsOwnRecord(),
                requestTime);
        FilterRegistrationBean<RestAccess> first = new FilterRegistrationBean<>(access);
        first.setOrder(Ordered.HIGHEST_PRECEDENCE);
        return first;
    }
}
