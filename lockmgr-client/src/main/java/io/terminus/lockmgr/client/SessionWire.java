package io.terminus.lockmgr.client;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.Status;
import io.terminus.proto.lock.v1.LockServiceGrpc;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;

/** The session method as one stream calls it: sends bytes, hears {@link Received}. */
final class SessionWire {

    private SessionWire() {}

    static MethodDescriptor<byte[], Received> method() {
        return LockServiceGrpc.getSessionMethod().toBuilder(new Bytes(), new Messages())
                .build();
    }

    private static final class Messages implements Marshaller<Received> {

        private final ServerMessageReader reader = new ServerMessageReader();

        @Override
        public InputStream stream(Received message) {
            throw new UnsupportedOperationException("a client does not send what the lock manager says");
        }

        @Override
        public Received parse(InputStream stream) {
            try {
                return reader.read(stream.readAllBytes());
            } catch (InvalidProtocolBufferException e) {
                throw Status.INTERNAL
                        .withDescription("the lock manager sent what is no ServerMessage: " + e.getMessage())
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
            throw new UnsupportedOperationException("a client does not read its own messages");
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
