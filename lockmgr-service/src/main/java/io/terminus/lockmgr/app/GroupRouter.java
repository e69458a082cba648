package io.terminus.lockmgr.app;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.util.MutableHandlerRegistry;
import io.terminus.lockmgr.grpc.LockService;
import io.terminus.proto.lock.Groups;
import io.terminus.proto.lock.v1.LockAdminGrpc;
import io.terminus.proto.lock.v1.LockClusterGrpc;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Brings each call to the group that its header names, see {@link Groups}, as that group serves it at that moment. */
final class GroupRouter {

    private GroupRouter() {}

    /** @param groups what each of them serves, now and later */
    static void route(MutableHandlerRegistry to, List<MutableHandlerRegistry> groups, int longestMessageBytes) {
        List<ServerServiceDefinition> shapes = List.of(
                LockService.shape(longestMessageBytes),
                new LockAdminGrpc.LockAdminImplBase() {}.bindService(),
                new LockClusterGrpc.LockClusterImplBase() {}.bindService());
        for (ServerServiceDefinition shape : shapes) {
            ServerServiceDefinition.Builder routed = ServerServiceDefinition.builder(shape.getServiceDescriptor());
            for (ServerMethodDefinition<?, ?> method : shape.getMethods()) {
                route(routed, method, groups);
            }
            var unused = to.addService(routed.build());
        }
    }

    private static <Q, A> void route(
            ServerServiceDefinition.Builder to,
            ServerMethodDefinition<Q, A> method,
            List<MutableHandlerRegistry> groups) {
        String name = method.getMethodDescriptor().getFullMethodName();
        ServerCallHandler<Q, A> handler = (call, headers) -> {
            int group;
            try {
                group = Groups.of(headers, groups.size());
            } catch (IllegalArgumentException e) {
                return refuse(call, Status.INVALID_ARGUMENT.withDescription(e.getMessage()));
            }
            ServerMethodDefinition<Q, A> served = served(groups.get(group), name);
            return served == null
                    ? refuse(call, Status.UNIMPLEMENTED.withDescription("there is no method " + name))
                    : served.getServerCallHandler().startCall(call, headers);
        };
        to.addMethod(method.getMethodDescriptor(), handler);
    }

    /** What serves a method has the types that its messages are read and written as: each service has one shape. */
    @SuppressWarnings("unchecked")
    private static <Q, A> @Nullable ServerMethodDefinition<Q, A> served(MutableHandlerRegistry group, String method) {
        return (ServerMethodDefinition<Q, A>) group.lookupMethod(method, null);
    }

    private static <Q, A> ServerCall.Listener<Q> refuse(ServerCall<Q, A> call, Status why) {
        call.close(why, new Metadata());
        return new ServerCall.Listener<>() {};
    }
}
