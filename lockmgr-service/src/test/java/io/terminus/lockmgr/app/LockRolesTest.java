package io.terminus.lockmgr.app;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.MethodDescriptor;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import io.terminus.security.grpc.Access;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class LockRolesTest {

    @Test
    void everyMethodThatIsServedHasARule() {
        Access access = LockRoles.access((who, action, what, outcome) -> {});

        List<String> without = Stream.of(
                        LockAdminGrpc.getServiceDescriptor(),
                        LockClusterGrpc.getServiceDescriptor(),
                        LockServiceGrpc.getServiceDescriptor())
                .flatMap(service -> service.getMethods().stream())
                .map(MethodDescriptor::getFullMethodName)
                .filter(method -> !access.names(method))
                .toList();

        assertThat(without).isEmpty();
    }
}
