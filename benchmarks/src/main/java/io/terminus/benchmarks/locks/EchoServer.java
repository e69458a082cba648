package io.terminus.benchmarks.locks;

import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;

/**
 * What any service built on a gRPC stream costs at least: takes a message, answers with one, with the defaults of gRPC. No
 * protobuf: the bytes are not looked at, but for how long the answer is to be.
 *
 * <pre>
 *   request    0  int32  length of the answer in bytes, at least 0
 *              4  filler
 * </pre>
 */
final class EchoServer {

    static final int MIN_REQUEST_BYTES = Integer.BYTES;

    /** Bytes as they are. */
    private static final Marshaller<byte[]> BYTES = new Marshaller<>() {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    };

    static final MethodDescriptor<byte[], byte[]> METHOD = MethodDescriptor.newBuilder(BYTES, BYTES)
            .setType(MethodType.BIDI_STREAMING)
            .setFullMethodName(MethodDescriptor.generateFullMethodName("terminus.bench.Echo", "Echo"))
            .build();

    private EchoServer() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        ServerServiceDefinition service = ServerServiceDefinition.builder("terminus.bench.Echo")
                .addMethod(METHOD, ServerCalls.asyncBidiStreamingCall(EchoServer::echo))
                .build();
        Server server = NettyServerBuilder.forAddress(
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0])))
                .addService(service)
                .build()
                .start();
        server.awaitTermination();
    }

    private static StreamObserver<byte[]> echo(StreamObserver<byte[]> out) {
        return new StreamObserver<>() {
            @Override
            public void onNext(byte[] request) {
                out.onNext(new byte[ByteBuffer.wrap(request).getInt(0)]);
            }

            @Override
            public void onError(Throwable broken) {
                // The client went away.
            }

            @Override
            public void onCompleted() {
                out.onCompleted();
            }
        };
    }
}
