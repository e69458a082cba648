package io.terminus.security.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.StringValue;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.ServerCalls;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.terminus.security.CertificateAuthority;
import io.terminus.security.Role;
import io.terminus.security.TlsFiles;
import io.terminus.security.TlsKeys;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A gRPC port under TLS, with callers of every kind. */
class AccessTest {

    private static final Instant LATER = Instant.now().plus(Duration.ofDays(1));
    private static final MethodDescriptor<StringValue, StringValue> LOOK = method("Look");
    private static final MethodDescriptor<StringValue, StringValue> CHANGE = method("Change");
    private static final MethodDescriptor<StringValue, StringValue> UNNAMED = method("Unnamed");

    @TempDir
    private Path directory;

    private final List<String> audited = new CopyOnWriteArrayList<>();
    private final List<AutoCloseable> opened = new ArrayList<>();
    private CertificateAuthority authority;
    private TlsKeys serverKeys;
    private TlsFiles serverFiles;
    private Server server;

    @BeforeEach
    void start() throws Exception {
        authority = CertificateAuthority.create(directory.resolve("ca"), "ours", LATER);
        serverFiles = authority.issue("server", List.of("terminus:agent/a"), List.of("localhost"), LATER);
        serverKeys = TlsKeys.load("test.tls", serverFiles);
        opened.add(serverKeys);
        start(new ServerLimits(3, 1, 600, 10, 4096));
    }

    private void start(ServerLimits limits) throws IOException {
        EventLoopGroup loops = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        Access access = Access.builder()
                .reads("test.S/Look", Role.READER)
                .changes("test.S/Change", Role.OPERATOR)
                .build((who, action, what, outcome) ->
                        audited.add(who + " | " + action + " | " + what + " | " + outcome));
        server = limits.on(NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)))
                .bossEventLoopGroup(loops)
                .workerEventLoopGroup(loops)
                .sslContext(GrpcTls.server(serverKeys))
                .intercept(access)
                .addService(new Echo())
                .build()
                .start();
        opened.add(() -> {
            server.shutdownNow().awaitTermination();
            loops.shutdownGracefully(0, 1, java.util.concurrent.TimeUnit.SECONDS);
        });
    }

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable each : opened.reversed()) {
            each.close();
        }
    }

    @Test
    void callersGetAsFarAsTheirRole() throws Exception {
        ManagedChannel reader = channel(issue("reader", "terminus:role/reader"));

        assertThat(call(reader, LOOK, "x")).isEqualTo("x");
        assertThatThrownBy(() -> call(reader, CHANGE, "x"))
                .satisfies(e -> assertThat(Status.fromThrowable(e).getCode()).isEqualTo(Status.Code.PERMISSION_DENIED))
                .hasMessageContaining("test.S/Change needs the role operator; CN=reader has reader");
    }

    @Test
    void whatNoRuleNamesIsForAdmins() throws Exception {
        assertThatThrownBy(() -> call(channel(issue("op", "terminus:role/operator")), UNNAMED, "x"))
                .hasMessageContaining("needs the role admin");
        assertThat(call(channel(issue("root", "terminus:role/admin")), UNNAMED, "x"))
                .isEqualTo("x");
    }

    @Test
    void changesAndRefusalsAreKeptWithWhoAndWhatAndLooksAreNot() throws Exception {
        ManagedChannel operator = channel(issue("anna", "terminus:role/operator"));
        ManagedChannel reader = channel(issue("bert", "terminus:role/reader"));

        call(operator, LOOK, "seen");
        call(operator, CHANGE, "vol1");
        assertThatThrownBy(() -> call(operator, CHANGE, "fail")).isInstanceOf(StatusRuntimeException.class);
        assertThatThrownBy(() -> call(reader, CHANGE, "vol2")).isInstanceOf(StatusRuntimeException.class);

        assertThat(audited).hasSize(3);
        assertThat(audited.get(0))
                .startsWith("CN=anna has operator, 127.0.0.1:")
                .endsWith("test.S/Change | value=vol1 | done");
        assertThat(audited.get(1)).endsWith("value=fail | ABORTED: as asked");
        assertThat(audited.get(2)).startsWith("CN=bert has reader, 127.0.0.1:").contains("PERMISSION_DENIED");
    }

    @Test
    void expiredForeignAndMissingCertificatesDoNotGetIn() throws Exception {
        Instant now = Instant.now();
        TlsFiles expired = authority.issue(
                "old", List.of("terminus:role/admin"), List.of(), now.minusSeconds(7200), now.minusSeconds(3600));
        CertificateAuthority other = CertificateAuthority.create(directory.resolve("other"), "other", LATER);
        TlsFiles foreign = other.issue("foreign", List.of("terminus:role/admin"), List.of(), LATER);
        TlsFiles trusting = new TlsFiles(foreign.cert(), foreign.key(), serverFiles.ca());

        assertUnavailable(channel(expired));
        assertUnavailable(channel(trusting));
        assertUnavailable(close(NettyChannelBuilder.forAddress("localhost", server.getPort())
                .sslContext(io.grpc.netty.GrpcSslContexts.forClient()
                        .trustManager(serverFiles.ca().toFile())
                        .build())
                .build()));
        assertUnavailable(close(NettyChannelBuilder.forAddress("localhost", server.getPort())
                .usePlaintext()
                .build()));
    }

    @Test
    void serverOfAnotherNameIsNotSpokenTo() throws Exception {
        authority.issue("server", List.of("terminus:agent/a"), List.of("elsewhere"), LATER);

        // The files are looked at once a second.
        await().ignoreExceptions()
                .untilAsserted(() -> assertUnavailable(channel(issue("root", "terminus:role/admin"))));
    }

    @Test
    void anotherAgentThanTheOneMeantIsToldNothing() throws Exception {
        TlsKeys keys = TlsKeys.load("client", issue("root", "terminus:role/admin"));
        opened.add(keys);
        ManagedChannel right = close(
                GrpcTls.channel("localhost:" + server.getPort(), keys, "a").build());
        ManagedChannel wrong = close(
                GrpcTls.channel("localhost:" + server.getPort(), keys, "b").build());

        assertThat(call(right, CHANGE, "x")).isEqualTo("x");
        assertThatThrownBy(() -> call(wrong, CHANGE, "y"))
                .satisfies(e -> assertThat(Status.fromThrowable(e).getCode()).isEqualTo(Status.Code.UNAVAILABLE))
                .hasStackTraceContaining("not agent b answers there: CN=server has agent (agent a)");
        assertThat(audited).hasSize(1);
    }

    @Test
    void newKeysAndAuthoritiesCountWithoutARestart() throws Exception {
        CertificateAuthority next = CertificateAuthority.create(directory.resolve("next"), "next", LATER);
        TlsFiles nextServer = next.issue("server", List.of("terminus:agent/a"), List.of("localhost"), LATER);
        TlsFiles nextAdmin = next.issue("root", List.of("terminus:role/admin"), List.of(), LATER);
        TlsFiles oldAdmin = issue("root", "terminus:role/admin");
        assertThat(call(channel(oldAdmin), LOOK, "x")).isEqualTo("x");

        for (var pair : List.of(
                List.of(nextServer.ca(), serverFiles.ca()),
                List.of(nextServer.cert(), serverFiles.cert()),
                List.of(nextServer.key(), serverFiles.key()))) {
            Files.copy(pair.getFirst(), pair.getLast(), StandardCopyOption.REPLACE_EXISTING);
        }

        await().ignoreExceptions()
                .untilAsserted(
                        () -> assertThat(call(channel(nextAdmin), LOOK, "x")).isEqualTo("x"));
        assertUnavailable(channel(oldAdmin));
    }

    @Test
    void oneThatDoesNotSayWhoItIsIsClosedAndOneTooManyAtOnce() throws Exception {
        try (Socket slow = new Socket(InetAddress.getLoopbackAddress(), server.getPort());
                Socket second = new Socket(InetAddress.getLoopbackAddress(), server.getPort());
                Socket third = new Socket(InetAddress.getLoopbackAddress(), server.getPort())) {
            Socket fourth = new Socket(InetAddress.getLoopbackAddress(), server.getPort());
            fourth.setSoTimeout(30_000);
            slow.setSoTimeout(30_000);

            assertThat(isClosed(fourth)).isTrue();
            assertThat(second.isConnected() && third.isConnected()).isTrue();
            assertThat(isClosed(slow)).isTrue();
        }
        ManagedChannel admin = channel(issue("root", "terminus:role/admin"));
        await().ignoreExceptions()
                .untilAsserted(() -> assertThat(call(admin, LOOK, "x")).isEqualTo("x"));
    }

    @Test
    void oversizedMessagesAndHeadersAreRefused() throws Exception {
        ManagedChannel admin = channel(issue("root", "terminus:role/admin"));
        Metadata large = new Metadata();
        large.put(Metadata.Key.of("x", Metadata.ASCII_STRING_MARSHALLER), "x".repeat(8192));

        assertThatThrownBy(() -> call(admin, LOOK, "x".repeat(5 << 20)))
                .satisfies(e -> assertThat(Status.fromThrowable(e).getCode())
                        .isIn(Status.Code.RESOURCE_EXHAUSTED, Status.Code.CANCELLED));
        assertThatThrownBy(() -> ClientCalls.blockingUnaryCall(
                        io.grpc.ClientInterceptors.intercept(admin, MetadataUtils.newAttachHeadersInterceptor(large)),
                        LOOK,
                        CallOptions.DEFAULT,
                        StringValue.of("x")))
                .isInstanceOf(StatusRuntimeException.class);
        assertThat(call(admin, LOOK, "x")).isEqualTo("x");
    }

    /** Reset or ended. */
    private static boolean isClosed(Socket socket) {
        try {
            return socket.getInputStream().readNBytes(1 << 10).length < 1 << 10;
        } catch (java.net.SocketTimeoutException e) {
            return false;
        } catch (IOException e) {
            return true;
        }
    }

    private TlsFiles issue(String name, String uri) throws IOException {
        return authority.issue(name, List.of(uri), List.of(), LATER);
    }

    private ManagedChannel channel(TlsFiles files) throws Exception {
        TlsKeys keys = TlsKeys.load("client", files);
        opened.add(keys);
        return close(NettyChannelBuilder.forAddress("localhost", server.getPort())
                .sslContext(GrpcTls.client(keys))
                .build());
    }

    private ManagedChannel close(ManagedChannel channel) {
        opened.add(channel::shutdownNow);
        return channel;
    }

    private static void assertUnavailable(ManagedChannel channel) {
        assertThatThrownBy(() -> call(channel, LOOK, "x"))
                .satisfies(e -> assertThat(Status.fromThrowable(e).getCode()).isEqualTo(Status.Code.UNAVAILABLE));
        channel.shutdownNow();
    }

    private static String call(
            ManagedChannel channel, MethodDescriptor<StringValue, StringValue> method, String value) {
        return ClientCalls.blockingUnaryCall(
                        channel,
                        method,
                        CallOptions.DEFAULT.withDeadlineAfter(20, java.util.concurrent.TimeUnit.SECONDS),
                        StringValue.of(value))
                .getValue();
    }

    private static MethodDescriptor<StringValue, StringValue> method(String name) {
        return MethodDescriptor.<StringValue, StringValue>newBuilder()
                .setType(MethodType.UNARY)
                .setFullMethodName("test.S/" + name)
                .setRequestMarshaller(ProtoUtils.marshaller(StringValue.getDefaultInstance()))
                .setResponseMarshaller(ProtoUtils.marshaller(StringValue.getDefaultInstance()))
                .build();
    }

    /** Answers with what it was asked; "fail" fails. */
    private static final class Echo implements BindableService {
        @Override
        public ServerServiceDefinition bindService() {
            ServerServiceDefinition.Builder service = ServerServiceDefinition.builder("test.S");
            for (var method : List.of(LOOK, CHANGE, UNNAMED)) {
                service.addMethod(method, ServerCalls.asyncUnaryCall((asked, out) -> {
                    if (asked.getValue().equals("fail")) {
                        out.onError(Status.ABORTED.withDescription("as asked").asRuntimeException());
                    } else {
                        out.onNext(asked);
                        out.onCompleted();
                    }
                }));
            }
            return service.build();
        }
    }
}
