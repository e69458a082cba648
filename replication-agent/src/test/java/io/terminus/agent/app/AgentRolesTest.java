package io.terminus.agent.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.MethodDescriptor;
import io.terminus.proto.agent.v1.AgentControlGrpc;
import io.terminus.proto.agent.v1.PeerControlGrpc;
import io.terminus.security.grpc.Access;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class AgentRolesTest {

    @Test
    void everyMethodThatIsServedHasARule() {
        Access access = AgentRoles.access((who, action, what, outcome) -> {});

        List<String> without = Stream.of(
                        AgentControlGrpc.getServiceDescriptor(), PeerControlGrpc.getServiceDescriptor())
                .flatMap(service -> service.getMethods().stream())
                .map(MethodDescriptor::getFullMethodName)
                .filter(method -> !access.names(method))
                .toList();

        assertThat(without).isEmpty();
    }
}
