package io.terminus.lockmgr.grpc;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.stub.ServerCalls;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;

/**
 * Binds the session method so that what it sends is bytes written by {@link ServerMessageWriter}, and what it hears is read by
 * {@link ClientMessageReader}: no message objects either way.
 */
final class EncodedSession {

    private EncodedSession() {}

    static ServerServiceDefinition bind(
            ServerServiceDefinition service,
            int longestMessageBytes,
            ServerCalls.BidiStreamingMethod<SessionMessage, byte[]> session) {
        MethodDescriptor<SessionMessage, byte[]> encoded = LockServiceGrpc.getSessionMethod().toBuilder(
                        new Bounded(longestMessageBytes), new Bytes())
                .build();
        ServiceDescriptor original = service.getServiceDescriptor();
        ServiceDescriptor.Builder descriptor =
                ServiceDescriptor.newBuilder(original.getName()).setSchemaDescriptor(original.getSchemaDescriptor());
        for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
            descriptor.addMethod(isSession(method) ? encoded : method.getMethodDescriptor());
        }
        ServerServiceDefinition.Builder bound = ServerServiceDefinition.builder(descriptor.build());
        ServerCallHandler<SessionMessage, byte[]> handler = ServerCalls.asyncBidiStreamingCall(session);
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
    static boolean isTooLong(SessionMessage message) {
        return message == SessionMessage.TOO_LONG;
    }

    private static boolean isSession(ServerMethodDefinition<?, ?> method) {
        return method.getMethodDescriptor()
                .getFullMethodName()
                .equals(LockServiceGrpc.getSessionMethod().getFullMethodName());
    }

    private record Bounded(int longestBytes) implements Marshaller<SessionMessage> {

        @Override
        public InputStream stream(SessionMessage message) {
            throw new UnsupportedOperationException("the server does not send what clients say");
        }

        @Override
        public SessionMessage parse(InputStream stream) {
            try {
                if (stream instanceof KnownLength && stream.available() > longestBytes) {
                    return SessionMessage.TOO_LONG;
                }
                return ClientMessageReader.read(stream.readAllBytes());
            } catch (InvalidProtocolBufferException e) {
                throw Status.INTERNAL
                        .withDescription("a message on the session stream is no ClientMessage: " + e.getMessage())
                        .withCause(e)
                        .asRuntimeException();
            } catch (IOException e) {
                throw new UncheckedIOException("what was received cannot be read", e);
            }
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
