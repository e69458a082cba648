package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;

/** What cannot be set is told in a sentence with the value and the rule, and not as a trace. */
class AgentPropertiesTest {

    @Test
    void aSocketForNbdIsAPathAndNoneUnlessItIsSet() {
        assertThat(bound(Map.of("agent.name", "a")).nbdSocket()).isNull();
        assertThat(bound(Map.of("agent.name", "a", "agent.nbd-socket", "/run/terminus/nbd.sock"))
                        .nbdSocket())
                .isEqualTo(Path.of("/run/terminus/nbd.sock"));
    }

    private static AgentProperties bound(Map<String, String> settings) {
        return new Binder(new MapConfigurationPropertySource(settings))
                .bind("agent", AgentProperties.class)
                .get();
    }

    @ParameterizedTest
    @CsvSource({
        "lease-ttl, -4s, agent.lease-ttl of PT-4S breaks the rule 300 ms to 10 min",
        "lease-ttl, 100h, agent.lease-ttl of PT100H breaks the rule 300 ms to 10 min",
        "nbd-port, 70000, agent.nbd-port of 70000 breaks the rule 0 to 65535",
    })
    void whatCannotBeSetIsTold(String key, String value, String said) {
        Binder settings =
                new Binder(new MapConfigurationPropertySource(Map.of("agent.name", "a", "agent." + key, value)));

        Throwable refused = catchThrowable(() -> settings.bind("agent", AgentProperties.class));

        assertThat(AgentApplication.sentence(refused)).endsWith(said);
    }
}
