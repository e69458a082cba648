package io.terminus.lockmgr.app;

import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.terminus.lockmgr.ha.Member;
import io.terminus.lockmgr.lock.Share;
import java.util.Optional;
import java.util.function.Supplier;

/** A service as a member offers it that does not lead: it says who does, to people in a sentence and to programs in a trailer. */
final class NotLeading {

    static final Metadata.Key<String> LEADER = Metadata.Key.of("terminus-leader", Metadata.ASCII_STRING_MARSHALLER);

    private NotLeading() {}

    static ServerServiceDefinition service(
            ServiceDescriptor service, String node, Share share, Supplier<Optional<Member>> leader) {
        ServerServiceDefinition.Builder refusing = ServerServiceDefinition.builder(service);
        for (MethodDescriptor<?, ?> method : service.getMethods()) {
            refuse(refusing, method, node, share, leader);
        }
        return refusing.build();
    }

    private static <Q, A> void refuse(
            ServerServiceDefinition.Builder to,
            MethodDescriptor<Q, A> method,
            String node,
            Share share,
            Supplier<Optional<Member>> leader) {
        ServerCallHandler<Q, A> refusal = (call, headers) -> {
            Optional<Member> leads = leader.get();
            call.close(Status.UNAVAILABLE.withDescription(sentence(node, share, leads)), trailers(leads));
            return new ServerCall.Listener<>() {};
        };
        to.addMethod(method, refusal);
    }

    static Metadata trailers(Optional<Member> leads) {
        Metadata trailers = new Metadata();
        leads.ifPresent(member -> trailers.put(LEADER, member.clientAddress()));
        return trailers;
    }

    static String sentence(String node, Share share, Optional<Member> leads) {
        return "lock manager " + node + " does not lead "
                + (share.groups() == 1 ? "its group" : "group " + share.group())
                + "; "
                + leads.map(member -> member.id() + " does, at " + member.clientAddress())
                        .orElse("nobody does, as far as it knows");
    }
}
