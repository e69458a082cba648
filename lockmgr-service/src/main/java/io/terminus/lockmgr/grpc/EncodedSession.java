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

/** Binds the session method so that what it sends is bytes written by {@link ServerMessageWriter}, and no message object. */
final class EncodedSession {

    private EncodedSession() {}

    static ServerServiceDefinition bind(
            ServerServiceDefinition service, ServerCalls.BidiStreamingMethod<ClientMessage, byte[]> session) {
        MethodDescriptor<ClientMessage, byte[]> encoded = LockServiceGrpc.getSessionMethod().toBuilder(
                        LockServiceGrpc.getSessionMethod().getRequestMarshaller(), new Bytes())
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

    private static boolean isSession(ServerMethodDefinition<?, ?> method) {
        return method.getMethodDescriptor()
                .getFullMethodName()
                .equals(LockServiceGrpc.getSessionMethod().getFullMethodName());
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
