package io.terminus.lockmgr.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.InvalidProtocolBufferException;
import io.terminus.proto.lock.v1.Acquire;
import io.terminus.proto.lock.v1.Attach;
import io.terminus.proto.lock.v1.Cancel;
import io.terminus.proto.lock.v1.ClientMessage;
import io.terminus.proto.lock.v1.LostAck;
import io.terminus.proto.lock.v1.Operation;
import io.terminus.proto.lock.v1.Range;
import io.terminus.proto.lock.v1.Release;
import io.terminus.proto.lock.v1.Renew;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What the reader reads is what protobuf's own parser would, also of what nobody should send. */
class ClientMessageReaderTest {

    private static final long SEED = Long.getLong("terminus.seed", 1);

    @Test
    void readsWhatTheParserReads() throws InvalidProtocolBufferException {
        Random random = new Random(SEED);
        for (int round = 0; round < 2000; round++) {
            ClientMessage message = message(random);

            SessionMessage read = ClientMessageReader.read(message.toByteArray());

            assertThat(again(read)).as("seed %d", SEED).isEqualTo(message);
        }
    }

    @Test
    void acquiresOfOneRangeAndReleasesAreNoMessageObjects() throws InvalidProtocolBufferException {
        ClientMessage message = ClientMessage.newBuilder()
                .addOperations(Operation.newBuilder()
                        .setRequestId(1)
                        .setAcquire(Acquire.newBuilder()
                                .setVolume("vol")
                                .setRange(Range.newBuilder().setStart(65536).setEnd(131072))
                                .setModeValue(6)
                                .setWaitMillis(60_000)))
                .addOperations(Operation.newBuilder()
                        .setRequestId(2)
                        .setRelease(Release.newBuilder().setLockId(7)))
                .build();

        SessionMessage read = ClientMessageReader.read(message.toByteArray());

        assertThat(read.operations())
                .containsExactly(
                        new SessionMessage.Acquire(1, "vol", 65536, 131072, 6, 60_000),
                        new SessionMessage.Release(2, 7));
    }

    @Test
    void damagedMessagesAreReadAsTheParserDoesOrRefused() {
        Random random = new Random(SEED);
        for (int round = 0; round < 20_000; round++) {
            byte[] bytes = message(random).toByteArray();
            for (int damage = random.nextInt(3); damage >= 0 && bytes.length > 0; damage--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
            ClientMessage expected = parsed(bytes);

            ClientMessage read = readAgain(bytes);

            if (expected != null) {
                assertThat(read == null ? null : withoutUnknown(read))
                        .as("seed %d", SEED)
                        .isEqualTo(withoutUnknown(expected));
            }
        }
    }

    private static @org.jspecify.annotations.Nullable ClientMessage parsed(byte[] bytes) {
        try {
            return ClientMessage.parseFrom(bytes);
        } catch (InvalidProtocolBufferException e) {
            return null;
        }
    }

    private static @org.jspecify.annotations.Nullable ClientMessage readAgain(byte[] bytes) {
        try {
            return again(ClientMessageReader.read(bytes));
        } catch (InvalidProtocolBufferException e) {
            return null;
        }
    }

    /** A message of the same meaning. */
    private static ClientMessage withoutUnknown(ClientMessage message) {
        return again(SessionMessage.of(message));
    }

    private static ClientMessage again(SessionMessage read) {
        ClientMessage.Builder message = ClientMessage.newBuilder();
        Attach attach = read.attach();
        if (attach != null) {
            message.setAttach(attach);
        }
        List<Operation> operations = new ArrayList<>();
        for (SessionMessage.Asked asked : read.operations()) {
            operations.add(
                    switch (asked) {
                        case SessionMessage.Acquire acquire ->
                            Operation.newBuilder()
                                    .setRequestId(acquire.requestId())
                                    .setAcquire(Acquire.newBuilder()
                                            .setVolume(acquire.volume())
                                            .setRange(Range.newBuilder()
                                                    .setStart(acquire.start())
                                                    .setEnd(acquire.end()))
                                            .setModeValue(acquire.mode())
                                            .setWaitMillis(acquire.waitMillis()))
                                    .build();
                        case SessionMessage.Release release ->
                            Operation.newBuilder()
                                    .setRequestId(release.requestId())
                                    .setRelease(Release.newBuilder().setLockId(release.lockId()))
                                    .build();
                        case SessionMessage.Other other -> normal(other.operation());
                    });
        }
        message.addAllOperations(operations);
        if (read.renews()) {
            message.setRenew(Renew.newBuilder().setSequence(read.renewal()));
        }
        return message.build();
    }

    /** An acquire of no range is one of [0, 0), and what this version does not know has no meaning to it. */
    private static Operation normal(Operation operation) {
        Operation.Builder normal =
                operation.toBuilder().setUnknownFields(com.google.protobuf.UnknownFieldSet.getDefaultInstance());
        if (operation.hasAcquire()) {
            Acquire.Builder acquire = operation.getAcquire().toBuilder()
                    .setUnknownFields(com.google.protobuf.UnknownFieldSet.getDefaultInstance());
            acquire.setRange(Range.newBuilder()
                    .setStart(acquire.getRange().getStart())
                    .setEnd(acquire.getRange().getEnd()));
            normal.setAcquire(acquire);
        }
        if (operation.hasRelease()) {
            normal.setRelease(
                    Release.newBuilder().setLockId(operation.getRelease().getLockId()));
        }
        return normal.build();
    }

    private static ClientMessage message(Random random) {
        ClientMessage.Builder message = ClientMessage.newBuilder();
        if (random.nextInt(10) == 0) {
            message.setAttach(Attach.newBuilder().setOwner("me").setTtlMillis(random.nextInt(100_000)));
        }
        for (int i = random.nextInt(10); i > 0; i--) {
            message.addOperations(operation(random));
        }
        if (random.nextInt(4) == 0) {
            message.setRenew(Renew.newBuilder().setSequence(1 + number(random)));
        }
        return message.build();
    }

    private static Operation operation(Random random) {
        Operation.Builder operation = Operation.newBuilder().setRequestId(number(random));
        switch (random.nextInt(8)) {
            case 0 -> operation.setCancel(Cancel.newBuilder().setAcquireRequestId(number(random)));
            case 1 -> operation.setLostAck(LostAck.newBuilder().setLockId(number(random)));
            case 2, 3, 4 -> operation.setRelease(Release.newBuilder().setLockId(number(random)));
            default -> {
                Acquire.Builder acquire = Acquire.newBuilder()
                        .setVolume("v".repeat(random.nextInt(140)))
                        .setRange(Range.newBuilder().setStart(number(random)).setEnd(number(random)))
                        .setModeValue(random.nextInt(9))
                        .setWaitMillis(number(random));
                if (random.nextInt(4) == 0) {
                    acquire.setStandby(true);
                }
                if (random.nextInt(4) == 0) {
                    acquire.setDesired(Range.newBuilder().setEnd(number(random)));
                }
                operation.setAcquire(acquire);
            }
        }
        return operation.build();
    }

    /** Of every length, 0 and negative ones among them. */
    private static long number(Random random) {
        return random.nextLong() >> random.nextInt(64);
    }
}
