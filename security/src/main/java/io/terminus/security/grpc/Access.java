package io.terminus.security.grpc;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.terminus.security.Audit;
import io.terminus.security.Identity;
import io.terminus.security.Role;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * Which role may call what. A call that no rule names is for admins alone. Who may not is refused with PERMISSION_DENIED and a
 * sentence that names the role needed and the roles had; that, and every call of a rule that says {@link Builder#changes}, is
 * kept in the audit log.
 *
 * <p>Of a message the log has the plain fields: no bytes, no ids of sessions, which let their owner speak for a session.
 */
public final class Access implements ServerInterceptor {

    private static final int LONGEST_WHAT = 400;

    private record Rule(Set<Role> roles, boolean audited) {}

    private static final Rule ADMIN_ONLY = new Rule(Set.of(Role.ADMIN), true);

    private final Map<String, Rule> rules;
    private final Audit audit;

    private Access(Map<String, Rule> rules, Audit audit) {
        this.rules = Map.copyOf(rules);
        this.audit = audit;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** Rules by method, as SERVICE/METHOD, or by service, as SERVICE/*. */
    public static final class Builder {
        private final Map<String, Rule> rules = new HashMap<>();

        /** Calls that change nothing, or whose service keeps its own record of them. */
        public Builder reads(String methods, Role... roles) {
            return rule(methods, false, roles);
        }

        public Builder changes(String methods, Role... roles) {
            return rule(methods, true, roles);
        }

        /** For everyone who has a certificate at all: is it alive? */
        public Builder anyone(String methods) {
            return rule(methods, false, Role.values());
        }

        public Access build(Audit audit) {
            return new Access(rules, audit);
        }

        private Builder rule(String methods, boolean audited, Role... roles) {
            String service = methods.substring(0, methods.indexOf('/') + 1);
            for (String method : methods.substring(service.length()).split(",")) {
                rules.put(service + method.strip(), new Rule(EnumSet.copyOf(Set.of(roles)), audited));
            }
            return this;
        }
    }

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        Caller caller =
                new Caller(Identity.of(call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION)), address(call));
        String method = call.getMethodDescriptor().getFullMethodName();
        Rule rule = rule(method);
        if (!caller.identity().hasAny(rule.roles)) {
            String why = caller.identity().refusal(method, rule.roles);
            audit.record(caller.toString(), method, "", "PERMISSION_DENIED: " + why);
            call.close(Status.PERMISSION_DENIED.withDescription(why), new Metadata());
            return new ServerCall.Listener<>() {};
        }
        Context context = Context.current().withValue(Caller.KEY, caller);
        if (!rule.audited) {
            return Contexts.interceptCall(context, call, headers, next);
        }
        Audited<Q, A> audited = new Audited<>(call, caller, method);
        if (call.getMethodDescriptor().getType() == MethodType.BIDI_STREAMING) {
            audit.record(caller.toString(), method, "", "begun"); // its end may be months away
        }
        return new SimpleForwardingServerCallListener<>(Contexts.interceptCall(context, audited, headers, next)) {
            @Override
            public void onMessage(Q message) {
                audited.asked(message);
                super.onMessage(message);
            }

            @Override
            public void onCancel() {
                audited.over("cancelled by the caller; whether it was done is not known here");
                super.onCancel();
            }
        };
    }

    /** Is there a rule for it? What none names is for admins alone, be it meant so or forgotten. */
    public boolean names(String method) {
        return rules.containsKey(method) || rules.containsKey(wholeService(method));
    }

    private Rule rule(String method) {
        Rule exact = rules.get(method);
        if (exact != null) {
            return exact;
        }
        return rules.getOrDefault(wholeService(method), ADMIN_ONLY);
    }

    private static String wholeService(String method) {
        return method.substring(0, method.indexOf('/')) + "/*";
    }

    private static String address(ServerCall<?, ?> call) {
        SocketAddress remote = call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
        return remote instanceof InetSocketAddress inet
                ? inet.getAddress().getHostAddress() + ":" + inet.getPort()
                : String.valueOf(remote);
    }

    /** The record is written before the status leaves. */
    private final class Audited<Q, A> extends SimpleForwardingServerCall<Q, A> {
        private final Caller caller;
        private final String method;
        private volatile String what = "";
        private boolean over; // guarded by this

        Audited(ServerCall<Q, A> call, Caller caller, String method) {
            super(call);
            this.caller = caller;
            this.method = method;
        }

        void asked(Q message) {
            if (what.isEmpty() && message instanceof Message asked) {
                what = what(asked);
            }
        }

        synchronized void over(String outcome) {
            if (!over) {
                over = true;
                audit.record(caller.toString(), method, what, outcome);
            }
        }

        @Override
        public void close(Status status, Metadata trailers) {
            over(status.isOk() ? "done" : status.getCode() + ": " + status.getDescription());
            super.close(status, trailers);
        }
    }

    static String what(Message message) {
        StringBuilder what = new StringBuilder();
        for (Map.Entry<FieldDescriptor, Object> field : message.getAllFields().entrySet()) {
            FieldDescriptor f = field.getKey();
            boolean secret =
                    f.getType() == FieldDescriptor.Type.BYTES || f.getName().equals("session_id");
            if (f.isRepeated() || secret) {
                continue;
            }
            Object value = field.getValue();
            String text = value instanceof Message inner ? "{" + what(inner) + "}" : String.valueOf(value);
            what.append(what.isEmpty() ? "" : " ")
                    .append(f.getName())
                    .append('=')
                    .append(text);
        }
        return what.length() > LONGEST_WHAT ? what.substring(0, LONGEST_WHAT) + "..." : what.toString();
    }
}
