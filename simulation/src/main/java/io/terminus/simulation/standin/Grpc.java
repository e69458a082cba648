package io.terminus.simulation.standin;

import io.grpc.Attributes;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.terminus.simulation.kernel.Host;
import io.terminus.simulation.kernel.Net;
import io.terminus.simulation.kernel.World;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Stand in for gRPC's channels and servers, over {@link Net}: one connection of a channel at a time, messages in order, the
 * product's own marshallers and handlers. What a call hears, it hears on a task of its own, in order. Messages are delivered
 * as they are requested. A channel that finds no answer to its attempt to connect fails its calls after
 * {@value #CONNECT_SECONDS} s; one that is idle notices a cut only by what it sends.
 */
public final class Grpc {

    private static final long CONNECT_SECONDS = 2;

    private Grpc() {}

    // ---- what the product calls

    /** Real builders, which open nothing: only what {@code build} makes of them differs. */
    private static final Map<Object, String> TARGETS = new WeakHashMap<>();

    public static NettyChannelBuilder forTarget(String target) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
        TARGETS.put(builder, target);
        return builder;
    }

    public static ManagedChannel build(NettyChannelBuilder builder) {
        return channel(TARGETS.get(builder));
    }

    public static ManagedChannel channel(String target) {
        int colon = target.lastIndexOf(':');
        return new SimChannel(target.substring(0, colon), Integer.parseInt(target.substring(colon + 1)));
    }

    private static final Deadline.Ticker TICKER = new Deadline.Ticker() {
        @Override
        public long nanoTime() {
            return World.here().nanoTime();
        }
    };

    public static AbstractStub<?> withDeadlineAfter(AbstractStub<?> stub, long time, TimeUnit unit) {
        return stub.withDeadline(Deadline.after(time, unit, TICKER));
    }

    public static Object blockingUnaryCall(
            Channel channel, MethodDescriptor<Object, Object> method, CallOptions options, Object request) {
        CompletableFuture<Object> answer = new CompletableFuture<>();
        ClientCalls.asyncUnaryCall(channel.newCall(method, options), request, new StreamObserver<Object>() {
            @Override
            public void onNext(Object value) {
                answer.complete(value);
            }

            @Override
            public void onError(Throwable t) {
                answer.completeExceptionally(t);
            }

            @Override
            public void onCompleted() {
                answer.completeExceptionally(
                        Status.INTERNAL.withDescription("no answer").asRuntimeException());
            }
        });
        try {
            return Sync.get(answer);
        } catch (ExecutionException e) {
            Status status = Status.fromThrowable(e.getCause());
            throw new StatusRuntimeException(status, Status.trailersFromThrowable(e.getCause()));
        } catch (InterruptedException e) {
            throw Status.CANCELLED.withCause(e).asRuntimeException();
        }
    }

    // ---- the wire

    private record Open(int call, String method, String authority) {}

    private record Message(int call, byte[] bytes) {}

    private record HalfClose(int call) {}

    private record Cancel(int call) {}

    private record Headers(int call) {}

    private record Closed(int call, Status status, Metadata trailers) {}

    private static byte[] bytes(InputStream stream) {
        try (stream) {
            if (stream instanceof io.grpc.Drainable drainable) {
                java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
                drainable.drainTo(out);
                return out.toByteArray();
            }
            return stream.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Runs what it is given one after the other, on tasks of the process that made it. */
    private static final class Serial {
        private final Host.Process process = World.here().process();
        private final String name;
        private final ArrayDeque<Runnable> queue = new ArrayDeque<>();
        private boolean running;

        Serial(String name) {
            this.name = name;
        }

        void run(Runnable what) {
            queue.add(what);
            if (!running && !process.dead()) {
                running = true;
                World.current().spawn(process, name, this::drain);
            }
        }

        private void drain() {
            Runnable next = queue.poll();
            while (next != null) {
                next.run();
                next = queue.poll();
            }
            running = false;
        }
    }

    // ---- clients

    private static final class SimChannel extends ManagedChannel {
        private final String host;
        private final int port;
        private Transport transport;
        private boolean shutdown;

        SimChannel(String host, int port) {
            this.host = host;
            this.port = port;
        }

        @Override
        public <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> method, CallOptions options) {
            if (transport == null || transport.failed) {
                transport = new Transport(this);
            }
            return new Call<>(transport, method, options, shutdown);
        }

        @Override
        public void enterIdle() {
            Transport old = transport;
            transport = null;
            if (old != null) {
                old.leaveWhenQuiet();
            }
        }

        @Override
        public ManagedChannel shutdown() {
            shutdown = true;
            return this;
        }

        @Override
        public boolean isShutdown() {
            return shutdown;
        }

        @Override
        public boolean isTerminated() {
            return shutdown;
        }

        @Override
        public ManagedChannel shutdownNow() {
            shutdown = true;
            Transport old = transport;
            transport = null;
            if (old != null) {
                old.fail(Status.UNAVAILABLE.withDescription("Channel shutdownNow invoked"));
            }
            return this;
        }

        @Override
        public boolean awaitTermination(long time, TimeUnit unit) {
            return true;
        }

        @Override
        public String authority() {
            return host + ":" + port;
        }
    }

    /** One connection, and what waits for it. */
    private static final class Transport implements Net.Receiver {
        private final Map<Integer, Call<?, ?>> calls = new LinkedHashMap<>();
        private final ArrayDeque<Object> early = new ArrayDeque<>();
        private Net.Connection connection;
        private boolean failed;
        private boolean leaving;
        private int lastCall;

        Transport(SimChannel channel) {
            World w = World.current();
            w.net()
                    .connect(
                            channel.host,
                            channel.port,
                            c -> {
                                if (failed) {
                                    c.reset(0, "given up");
                                    return;
                                }
                                connection = c;
                                c.receiver(0, this);
                                early.forEach(m -> c.send(0, m));
                                early.clear();
                            },
                            () -> fail(Status.UNAVAILABLE
                                    .withDescription("io exception")
                                    .withCause(new ConnectException("Connection refused: " + channel.authority()))));
            w.after(CONNECT_SECONDS * 1_000_000_000L, () -> {
                if (connection == null && !failed) {
                    fail(Status.UNAVAILABLE
                            .withDescription("io exception")
                            .withCause(new java.net.SocketTimeoutException("connect timed out")));
                }
            });
        }

        void send(Object what) {
            if (connection != null) {
                connection.send(0, what);
            } else if (!failed) {
                early.add(what);
            }
        }

        void fail(Status status) {
            if (!failed) {
                failed = true;
                if (connection != null) {
                    connection.close(0);
                }
                List.copyOf(calls.values()).forEach(c -> c.end(status, new Metadata()));
                calls.clear();
            }
        }

        void over(int call) {
            calls.remove(call);
            if (leaving) {
                leaveWhenQuiet();
            }
        }

        void leaveWhenQuiet() {
            leaving = true;
            if (calls.isEmpty() && !failed) {
                failed = true;
                if (connection != null) {
                    connection.close(0);
                }
            }
        }

        @Override
        public void received(Object what) {
            switch (what) {
                case Message m -> {
                    Call<?, ?> call = calls.get(m.call);
                    if (call != null) {
                        call.message(m.bytes);
                    }
                }
                case Headers h -> {
                    Call<?, ?> call = calls.get(h.call);
                    if (call != null) {
                        call.headers();
                    }
                }
                case Closed c -> {
                    Call<?, ?> call = calls.get(c.call);
                    if (call != null) {
                        call.end(c.status, c.trailers);
                    }
                }
                default -> throw new IllegalStateException("not for a client: " + what);
            }
        }

        @Override
        public void ended() {
            fail(Status.UNAVAILABLE.withDescription("Network closed for unknown reason"));
        }

        @Override
        public void reset(String why) {
            fail(Status.UNAVAILABLE.withDescription("io exception").withCause(new IOException(why)));
        }
    }

    private static final class Call<Q, A> extends ClientCall<Q, A> {
        private final Transport transport;
        private final MethodDescriptor<Q, A> method;
        private final CallOptions options;
        private final int id;
        private final Serial serial;
        private final ArrayDeque<byte[]> unread = new ArrayDeque<>();
        private final boolean refused;
        private Listener<A> listener;
        private int requested;
        private boolean over;
        private Runnable last;

        Call(Transport transport, MethodDescriptor<Q, A> method, CallOptions options, boolean refused) {
            this.transport = transport;
            this.method = method;
            this.options = options;
            this.refused = refused;
            this.id = ++transport.lastCall;
            this.serial = new Serial("call-" + method.getBareMethodName());
        }

        @Override
        public void start(Listener<A> listener, io.grpc.Metadata headers) {
            this.listener = listener;
            if (refused || transport.failed) {
                end(Status.UNAVAILABLE.withDescription("the channel is closed"), new Metadata());
                return;
            }
            transport.calls.put(id, this);
            transport.send(new Open(id, method.getFullMethodName(), ""));
            Deadline deadline = options.getDeadline();
            if (deadline != null) {
                long left = deadline.timeRemaining(TimeUnit.NANOSECONDS);
                World.current().after(left, () -> {
                    if (!over) {
                        transport.send(new Cancel(id));
                        end(Status.DEADLINE_EXCEEDED.withDescription("deadline exceeded"), new Metadata());
                    }
                });
            }
        }

        void headers() {
            serial.run(() -> listener.onHeaders(new Metadata()));
        }

        void message(byte[] bytes) {
            unread.add(bytes);
            deliver();
        }

        private void deliver() {
            while (requested > 0 && !unread.isEmpty()) {
                requested--;
                byte[] bytes = unread.remove();
                serial.run(() -> {
                    A parsed;
                    try {
                        parsed = method.parseResponse(new ByteArrayInputStream(bytes));
                    } catch (StatusRuntimeException e) {
                        cancel("cannot be read", e);
                        return;
                    }
                    listener.onMessage(parsed);
                });
            }
            if (unread.isEmpty() && last != null) {
                serial.run(last);
                last = null;
            }
        }

        void end(Status status, Metadata trailers) {
            if (over) {
                return;
            }
            over = true;
            transport.over(id);
            last = () -> listener.onClose(status, trailers);
            if (!status.isOk()) {
                unread.clear();
            }
            deliver();
        }

        @Override
        public void request(int messages) {
            requested += messages;
            deliver();
        }

        @Override
        public void cancel(String message, Throwable cause) {
            if (!over) {
                transport.send(new Cancel(id));
                end(Status.CANCELLED.withDescription(message).withCause(cause), new Metadata());
            }
        }

        @Override
        public void halfClose() {
            if (!over) {
                transport.send(new HalfClose(id));
            }
        }

        @Override
        public void sendMessage(Q message) {
            World.point();
            if (!over) {
                transport.send(new Message(id, bytes(method.streamRequest(message))));
            }
        }

        @Override
        public boolean isReady() {
            return !over && transport.connection != null;
        }

        @Override
        public Attributes getAttributes() {
            return Attributes.EMPTY;
        }
    }

    // ---- servers

    /** Opens a port of this machine with these services, for the life of the process. */
    public static void serve(int port, List<Object> services) {
        Map<String, ServerMethodDefinition<?, ?>> methods = new HashMap<>();
        for (Object service : services) {
            ServerServiceDefinition bound =
                    service instanceof BindableService b ? b.bindService() : (ServerServiceDefinition) service;
            bound.getMethods().forEach(m -> methods.put(m.getMethodDescriptor().getFullMethodName(), m));
        }
        boolean free = World.current().net().listen(World.here().name(), port, c -> {
            c.receiver(1, new ServerConnection(c, methods));
            return true;
        });
        if (!free) {
            throw new IllegalStateException("port " + port + " is taken");
        }
    }

    private static final class ServerConnection implements Net.Receiver {
        private final Net.Connection connection;
        private final Map<String, ServerMethodDefinition<?, ?>> methods;
        private final Map<Integer, Answering<?, ?>> calls = new LinkedHashMap<>();

        ServerConnection(Net.Connection connection, Map<String, ServerMethodDefinition<?, ?>> methods) {
            this.connection = connection;
            this.methods = methods;
        }

        @Override
        public void received(Object what) {
            World w = World.current();
            w.as(w.host(connection.host(1)), () -> {
                hear(what);
                return null;
            });
        }

        private void hear(Object what) {
            switch (what) {
                case Open o -> {
                    ServerMethodDefinition<?, ?> method = methods.get(o.method);
                    if (method == null) {
                        connection.send(
                                1, new Closed(o.call, Status.UNIMPLEMENTED.withDescription(o.method), new Metadata()));
                        return;
                    }
                    Answering<?, ?> call = new Answering<>(this, o.call, method);
                    calls.put(o.call, call);
                    call.begin();
                }
                case Message m -> {
                    Answering<?, ?> call = calls.get(m.call);
                    if (call != null) {
                        call.message(m.bytes);
                    }
                }
                case HalfClose h -> {
                    Answering<?, ?> call = calls.get(h.call);
                    if (call != null) {
                        call.halfClose();
                    }
                }
                case Cancel c -> {
                    Answering<?, ?> call = calls.remove(c.call);
                    if (call != null) {
                        call.cancelled();
                    }
                }
                default -> throw new IllegalStateException("not for a server: " + what);
            }
        }

        @Override
        public void ended() {
            List.copyOf(calls.values()).forEach(Answering::cancelled);
            calls.clear();
            connection.close(1);
        }

        @Override
        public void reset(String why) {
            List.copyOf(calls.values()).forEach(Answering::cancelled);
            calls.clear();
            connection.close(1);
        }
    }

    private static final class Answering<Q, A> extends ServerCall<Q, A> {
        private final ServerConnection connection;
        private final int id;
        private final ServerMethodDefinition<Q, A> method;
        private final Serial serial;
        private final ArrayDeque<byte[]> unread = new ArrayDeque<>();
        private Listener<Q> listener;
        private int requested;
        private boolean halfClosed;
        private boolean cancelled;
        private boolean closed;

        Answering(ServerConnection connection, int id, ServerMethodDefinition<Q, A> method) {
            this.connection = connection;
            this.id = id;
            this.method = method;
            this.serial = new Serial("serve-" + method.getMethodDescriptor().getBareMethodName());
        }

        void begin() {
            serial.run(() -> {
                listener = method.getServerCallHandler().startCall(this, new Metadata());
                listener.onReady();
            });
        }

        void message(byte[] bytes) {
            unread.add(bytes);
            deliver();
        }

        private void deliver() {
            while (requested > 0 && !unread.isEmpty() && !cancelled) {
                requested--;
                byte[] bytes = unread.remove();
                serial.run(() -> {
                    try {
                        listener.onMessage(method.getMethodDescriptor().parseRequest(new ByteArrayInputStream(bytes)));
                    } catch (StatusRuntimeException e) {
                        close(e.getStatus(), new Metadata());
                    }
                });
            }
            if (halfClosed && unread.isEmpty() && !cancelled) {
                halfClosed = false;
                serial.run(() -> {
                    if (listener != null) {
                        listener.onHalfClose();
                    }
                });
            }
        }

        void halfClose() {
            halfClosed = true;
            deliver();
        }

        void cancelled() {
            if (!cancelled && !closed) {
                cancelled = true;
                serial.run(() -> listener.onCancel());
            }
        }

        @Override
        public void request(int messages) {
            requested += messages;
            deliver();
        }

        @Override
        public void sendHeaders(Metadata headers) {
            connection.connection.send(1, new Headers(id));
        }

        @Override
        public void sendMessage(A message) {
            World.point();
            connection.connection.send(
                    1, new Message(id, bytes(method.getMethodDescriptor().streamResponse(message))));
        }

        @Override
        public void close(Status status, Metadata trailers) {
            if (!closed) {
                closed = true;
                connection.calls.remove(id);
                connection.connection.send(1, new Closed(id, status.withCause(null), trailers));
                if (!cancelled) {
                    serial.run(() -> {
                        if (listener != null) {
                            listener.onComplete();
                        }
                    });
                }
            }
        }

        @Override
        public boolean isReady() {
            return !closed && !cancelled;
        }

        @Override
        public boolean isCancelled() {
            return cancelled;
        }

        @Override
        public Attributes getAttributes() {
            return Attributes.newBuilder()
                    .set(
                            io.grpc.Grpc.TRANSPORT_ATTR_REMOTE_ADDR,
                            Sockets.address(connection.connection.host(0), connection.connection.port(0)))
                    .build();
        }

        @Override
        public MethodDescriptor<Q, A> getMethodDescriptor() {
            return method.getMethodDescriptor();
        }

        @Override
        public String getAuthority() {
            return "";
        }
    }
}
