package io.terminus.lockmgr.grpc;

import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ServerCalls;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;

/** Binds the session method so that what it sends is bytes written by {@link ServerMessageWriter}, and no message object. */
final class EncodedSession {

    /** Stands for a message that is longer than allowed, which is not read. */
    private static final ClientMessage TOO_LONG = ClientMessage.newBuilder().build();

    private EncodedSession() {}

    static ServerServiceDefinition bind(
            ServerServiceDefinition service,
            int longestMessageBytes,
            ServerCalls.BidiStreamingMethod<ClientMessage, byte[]> session) {
        MethodDescriptor<ClientMessage, byte[]> encoded = LockServiceGrpc.getSessionMethod().toBuilder(
                        new Bounded(LockServiceGrpc.getSessionMethod().getRequestMarshaller(), longestMessageBytes),
                        new Bytes())
                .build();
        ServiceDescriptor original = service.getServiceDescriptor();
        ServiceDescriptor.Builder descriptor =
                ServiceDescriptor.newBuilder(original.getName()).setSchemaDescriptor(original.getSchemaDescriptor());
        for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
            descriptor.addMethod(isSession(method) ? encoded : method.getMethodDescriptor());
        }
        ServerServiceDefinition.Builder bound = ServerServiceDefinition.builder(descriptor.build());
        ServerCallHandler<ClientMessage, byte[]> handler = ServerCalls.asyncBidiStreamingCall(session);
        for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
            if (isSession(method)) {
                bound.addMethod(encoded, handler);
            } else {
                bound.addMethod(method);
            }
        }
        return bound.build();
    }

    @SuppressWarnings("ReferenceEquality") // an empty message equals it, and is none
    static boolean isTooLong(ClientMessage message) {
        return message == TOO_LONG;
    }

    private static boolean isSession(ServerMethodDefinition<?, ?> method) {
        return method.getMethodDescriptor()
                .getFullMethodName()
                .equals(LockServiceGrpc.getSessionMethod().getFullMethodName());
    }

    private record Bounded(Marshaller<ClientMessage> marshaller, int longestBytes)
            implements Marshaller<ClientMessage> {

        @Override
        public InputStream stream(ClientMessage message) {
            return marshaller.stream(message);
        }

        @Override
        public ClientMessage parse(InputStream stream) {
            try {
                if (stream instanceof KnownLength && stream.available() > longestBytes) {
                    return TOO_LONG;
                }
            } catch (IOException e) {
                throw new UncheckedIOException("a message of known length has none", e);
            }
            return marshaller.parse(stream);
        }
    }

    private static final class Bytes implements Marshaller<byte[]> {

        @Override
        public InputStream stream(byte[] message) {
            return new MessageStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            throw new UnsupportedOperationException("the server does not read its own messages");
        }
    }

    /** Lets gRPC copy the message once, straight into its own buffer. */
    private static final class MessageStream extends ByteArrayInputStream implements Drainable, KnownLength {

        MessageStream(byte[] message) {
            super(message);
        }

        @Override
        public int drainTo(OutputStream target) throws IOException {
            int drained = available();
            target.write(buf, pos, drained);
            pos = count;
            return drained;
        }
    }
}
