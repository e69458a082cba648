package io.terminus.agent.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.github.luben.zstd.Zstd;
import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalSpec;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.TermStart;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.CopyItem;
import io.terminus.agent.volume.Failover;
import io.terminus.agent.volume.PeerCursor.Greeting;
import io.terminus.agent.volume.TestHooks;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.VolumeAuthority;
import io.terminus.agent.volume.VolumeConfig;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.Accepted;
import io.terminus.proto.agent.v1.Fetch;
import io.terminus.proto.agent.v1.Hello;
import io.terminus.proto.agent.v1.Needs;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A real replica "b", fed by hand: frames as a writer "a" of term 1 would send them, and as it would not. */
@Timeout(120)
class HandMadeWriterTest {

    private static final UUID VOLUME = new UUID(1, 2);
    private static final int VOLUME_BYTES = 4 << 20;
    private static final int SEGMENT_BYTES = 1 << 20;
    private static final int BUDGET_SEGMENTS = 4;
    private static final long TERM = 1;
    private static final long TOKEN = 10;

    @TempDir
    private Path temp;

    private @Nullable Volumes volumes;
    private @Nullable PeerServer server;
    private @Nullable Journal journal;

    /** Nobody answers: the replica neither writes nor hears of newer value blocks. */
    private static final class NoLockManager implements VolumeAuthority {
        @Override
        public CompletableFuture<Block> read() {
            return new CompletableFuture<>();
        }

        @Override
        public Waiting lock(boolean standby, Duration wait, HolderEvents events) {
            throw new IllegalStateException("a replica that knows of no block asks for no lock");
        }

        @Override
        public CompletableFuture<String> revokeHolder() {
            return new CompletableFuture<>();
        }
    }

    @BeforeEach
    void theWritersJournal() throws IOException {
        Journal j = Journal.create(temp.resolve("a"), new JournalSpec(VOLUME, SEGMENT_BYTES, 16, "a"), 0);
        j.openTerm(TERM, "a", TOKEN, 0);
        journal = j;
    }

    @AfterEach
    void stop() throws IOException {
        if (volumes != null) {
            volumes.close();
        }
        if (server != null) {
            server.close();
        }
        journal().close();
    }

    // ---- what is spoken

    @Test
    void aWriterFromBeforeThereWereAbilitiesIsAnsweredAsItExpects() throws Exception {
        start(Compression.ZSTD);
        try (HandMade a = connect()) {
            a.send(Frame.HELLO.of(hello().clearAbilities().build().toByteArray()));

            Accepted accepted = Accepted.parseFrom(a.await(Frame.ACCEPTED));
            a.send(status(journal().end()));
            ByteBuffer ack = a.await(Frame.ACK);

            assertThat(accepted.getVersion()).isEqualTo(1);
            assertThat(accepted.getFeaturesList()).isEmpty();
            assertThat(ack.remaining()).isEqualTo(Frame.ACK_BODY_BYTES);
        }
    }

    @Test
    void withoutAVersionInCommonTheWriterHearsWhatBothSpeak() throws Exception {
        start(Compression.NONE);
        try (HandMade a = connect()) {
            a.send(Frame.HELLO.of(hello().setAbilities(new Abilities(7, 9, List.of()).toProto())
                    .build()
                    .toByteArray()));

            assertThat(a.refusal())
                    .isEqualTo("OTHER_VERSION: agent b speaks versions 1 to 1 of the peer protocol, and writer a"
                            + " versions 7 to 9");
        }
        try (HandMade c = connect()) {
            c.send(Frame.FETCH.of(Fetch.newBuilder()
                    .setVolumeUuid(VOLUME.toString())
                    .setTerm(TERM)
                    .setAbilities(new Abilities(2, 2, List.of()).toProto())
                    .build()
                    .toByteArray()));

            assertThat(c.refusal()).contains("versions 1 to 1").contains("the candidate of term 1 versions 2 to 2");
        }
    }

    @Test
    void acknowledgementsCountWhatCameIfThatWasAgreedOn() throws Exception {
        start(Compression.NONE);
        try (HandMade a = connect()) {
            greet(a);
            a.send(status(journal().end()));
            long counted;
            do {
                ByteBuffer ack = a.await(Frame.ACK);
                assertThat(ack.remaining()).isEqualTo(Frame.CREDIT_ACK_BODY_BYTES);
                counted = ack.getLong(40);
                assertThat(counted).isLessThanOrEqualTo(a.sentBytes());
            } while (counted < a.sentBytes());
        }
    }

    @Test
    void aLongFrameIsHeardBeforeItIsThereAsAWhole() throws Exception {
        start(Compression.NONE);
        try (HandMade a = connect()) {
            greet(a);
            long before = a.sentBytes();
            ByteBuffer frame = Frame.CONFIG.of(new byte[100_000]);

            a.send(frame.slice(0, 40_000));

            // An answer so soon after the last one is saved: it comes while the rest trickles in.
            long counted = 0;
            for (int at = 40_000; counted <= before && at < frame.limit() - 1; at++) {
                a.send(frame.slice(at, 1));
                LockSupport.parkNanos(100_000);
                if (a.available() > 0) {
                    counted = a.await(Frame.ACK).getLong(40);
                }
            }
            assertThat(counted).isGreaterThan(before);
        }
    }

    // ---- another volume's shape

    @Test
    void aWriterOfAVolumeOfAnotherSizeOrSegmentSizeIsRefused() throws Exception {
        start(Compression.NONE);
        assertRefused(
                Frame.HELLO.of(hello().setSizeBytes(2L * VOLUME_BYTES).build().toByteArray()),
                "OTHER_SHAPE: this replica of v has 4194304 bytes in segments of 1048576, not 8388608 in 1048576");
        assertRefused(
                Frame.HELLO.of(
                        hello().setSegmentBytes(2 * SEGMENT_BYTES).build().toByteArray()),
                "OTHER_SHAPE: this replica of v has 4194304 bytes in segments of 1048576, not 4194304 in 2097152");
        assertThat(replicasJournal().end()).isZero();
    }

    // ---- packed runs

    @Test
    void packedAndRawRunsLandAsTheWritersBytes() throws Exception {
        start(Compression.ZSTD);
        byte[] zeros = new byte[100_000];
        for (int i = 0; i < 5; i++) {
            journal().write(i * 100_000, ByteBuffer.wrap(zeros), 0, TOKEN, 0);
        }
        try (HandMade a = connect()) {
            Accepted accepted = greet(a);
            assertThat(accepted.getFeaturesList()).containsExactly("credit", "zstd");

            long end = journal().end();
            long at = 0;
            for (int i = 0; at < end; i++) {
                long to = Math.min(end, at + 70_001);
                a.send(i % 2 == 0 ? packed(at, to) : run(at, to));
                at = to;
            }

            awaitReceived(a, end);
            assertThat(bytes(replicasJournal(), end)).isEqualTo(bytes(journal(), end));
        }
    }

    @Test
    void aPackedRunThatWasNotAgreedOnIsRefused() throws Exception {
        start(Compression.NONE);
        try (HandMade a = connect()) {
            assertThat(greet(a).getFeaturesList()).containsExactly("credit");

            a.send(packed(0, journal().end()));

            assertThat(a.refusal()).contains("PACKED was not agreed on");
        }
    }

    @Test
    void packedRunsAreCheckedLikeAllOthers() throws Exception {
        start(Compression.ZSTD);
        try (HandMade a = connect()) {
            greet(a);
            byte[] damaged = bytes(journal(), journal().end());
            damaged[60] ^= 1;

            a.send(packed(0, damaged));

            assertThat(a.refusal()).startsWith("BAD_MESSAGE");
            assertThat(replicasJournal().end()).isZero();
        }
        try (HandMade a = connect()) {
            greet(a);

            a.send(packed(128, new byte[256]));

            assertThat(a.refusal()).contains("a run at position 128 does not follow 0");
        }
    }

    // ---- positions

    @Test
    void positionsThatNoJournalHasAreNamed() throws Exception {
        start(Compression.NONE);
        assertRefused(Frame.HELLO.of(hello().setEnd(130).build().toByteArray()), "end of the writer's journal 130");
        assertRefused(
                Frame.HELLO.of(hello().setOldest(1_280).setEnd(128).build().toByteArray()),
                "begin of the writer's journal 1280 is not within [0, 128]");
        for (ByteBuffer wrong : List.of(
                copy(1, CopyItem.Kind.END, 64),
                copy(1, CopyItem.Kind.END, 1 << 20),
                copy(1, CopyItem.Kind.END, -128))) {
            assertStreamRefuses(wrong, "the position of a COPY");
        }
        assertStreamRefuses(copy(2, CopyItem.Kind.END, 0), "with the number 2, not 1");
        assertStreamRefuses(copy(1, CopyItem.Kind.HORIZON, 0), "with the number 1, not 0");
        assertStreamRefuses(copy(1, CopyItem.Kind.END, 0), "this replica is whole");
        assertStreamRefuses(status(-128), "the end of the writer's journal -128");
        assertStreamRefuses(status(journal().end(), 100), "committed 100 is no multiple of 128");
        assertRefused(fetch(0, 100), "[0, 100) is not within this journal's [0, 0)");
    }

    @Test
    void aJournalThatEndsBeforeWhatItHasSentIsRefused() throws Exception {
        start(Compression.NONE);
        try (HandMade a = connect()) {
            greet(a);
            long end = journal().end();
            a.send(run(0, end));
            awaitReceived(a, end);

            a.send(status(end - 128));

            assertThat(a.refusal()).contains("the end of the writer's journal " + (end - 128));
        }
    }

    @Test
    void aRebuildBeginsWithinTheWritersJournalUnderAShortName() throws Exception {
        start(Compression.NONE);
        for (String name : List.of("", "n".repeat(65))) {
            assertRebuildRefused(name, 256, "characters");
        }
        assertRebuildRefused("copy", 130, "no multiple of 128");
        assertRebuildRefused("copy", 0, "the writer's journal begins there");
        assertThat(volume().journalFill()).isNotNull();
    }

    @Test
    void oneConnectionServesOnePurpose() throws Exception {
        start(Compression.NONE);
        assertStreamRefuses(Frame.HELLO.of(hello().build().toByteArray()), "a second greeting");
        assertStreamRefuses(fetch(0, 0), "a second greeting, or FETCH");
        try (HandMade a = connect()) {
            a.send(Frame.HELLO.of(needy().build().toByteArray()));
            a.await(Frame.NEEDS);

            a.send(fetch(0, 0));

            assertThat(a.refusal()).contains("a second greeting, or FETCH");
        }
    }

    // ---- a full journal

    @Test
    void aSealDoesNotWaitBehindAJournalThatIsFull() throws Exception {
        start(Compression.NONE);
        byte[] bytes = new byte[200_000];
        while (journal().end() < (BUDGET_SEGMENTS + 1L) * SEGMENT_BYTES) {
            journal().write(0, ByteBuffer.wrap(bytes), 0, TOKEN, 0);
        }
        try (HandMade a = connect()) {
            greet(a);
            Thread sender = Thread.ofVirtual().start(() -> {
                try {
                    for (long at = 0; at < journal().end(); ) {
                        long to = Math.min(
                                Math.min(journal().end(), at + 300_000),
                                journal().segmentEnd(at));
                        a.send(run(at, to));
                        at = to;
                    }
                } catch (IOException e) {
                    // The seal ends the stream.
                }
            });
            long full =
                    (long) BUDGET_SEGMENTS * SEGMENT_BYTES; // a reader waits for a moment for each segment before, too
            await().atMost(Duration.ofSeconds(60))
                    .until(() -> replicasJournal().end() == full && aReaderWaitsForASegment());

            long began = System.nanoTime();
            long received = volume().seal(TERM + 1, TOKEN + 1, 1, "c").received();
            long tookSeconds = (System.nanoTime() - began) / 1_000_000_000;

            assertThat(received).isEqualTo(full);
            assertThat(tookSeconds).as("the reader waits 30 s for a segment").isLessThan(25);
            assertThat(a.refusal()).startsWith("FENCED");
            sender.join();
        }
    }

    private static boolean aReaderWaitsForASegment() {
        return Thread.getAllStackTraces().values().stream()
                .flatMap(Arrays::stream)
                .anyMatch(f -> f.getMethodName().equals("awaitSegment")
                        || f.getMethodName().equals("awaitSegments"));
    }

    // ---- helpers

    private void start(Compression compression) throws Exception {
        LinkSettings settings = new LinkSettings(compression, Duration.ofSeconds(2), TestHooks.NONE);
        Volume.Settings replica = new Volume.Settings(
                "b",
                "boot",
                (long) BUDGET_SEGMENTS * SEGMENT_BYTES,
                Duration.ofSeconds(2),
                Duration.ofSeconds(30),
                Duration.ofSeconds(1),
                TestHooks.NONE);
        Volumes v = new Volumes(
                temp.resolve("b"), replica, name -> new NoLockManager(), new GrpcPeerNetwork("b", settings));
        v.create(config());
        volumes = v;
        server = PeerServer.start(new InetSocketAddress("127.0.0.1", 0), v, settings);
    }

    private static VolumeConfig config() {
        return new VolumeConfig(
                VOLUME,
                "v",
                VOLUME_BYTES,
                SEGMENT_BYTES,
                0,
                "a",
                List.of(new Member("a", "boot")),
                List.of(),
                AckLevel.RECEIVED,
                0,
                1,
                Lineage.EMPTY,
                Failover.MANUAL,
                List.of(new Address("a", "unused:1", "unused:1"), new Address("b", "unused:1", "unused:1")),
                VolumeConfig.Fork.NONE);
    }

    private Journal journal() {
        Journal j = journal;
        if (j == null) {
            throw new IllegalStateException("no journal");
        }
        return j;
    }

    private Volume volume() {
        Volumes v = volumes;
        Volume volume = v == null ? null : v.byName("v");
        if (volume == null) {
            throw new IllegalStateException("no replica");
        }
        return volume;
    }

    /** Of term 1, or of the one that has sealed it. */
    private Journal replicasJournal() throws Exception {
        return volume().supply(TERM);
    }

    private HandMade connect() throws IOException {
        PeerServer s = server;
        if (s == null) {
            throw new IllegalStateException("no server");
        }
        return HandMade.connect(s.address());
    }

    private Accepted greet(HandMade a) throws IOException {
        a.send(Frame.HELLO.of(hello().build().toByteArray()));
        return Accepted.parseFrom(a.await(Frame.ACCEPTED));
    }

    private Hello.Builder hello() {
        Greeting greeting = new Greeting(
                VOLUME,
                TERM,
                TOKEN,
                "a",
                VOLUME_BYTES,
                SEGMENT_BYTES,
                journal().lineage(),
                0,
                journal().end(),
                1,
                config().encode());
        return Messages.hello(
                greeting, Abilities.of(new LinkSettings(Compression.ZSTD, Duration.ofSeconds(2), TestHooks.NONE)))
                .toBuilder();
    }

    /** Of a writer whose journal no longer reaches back to this replica. */
    private Hello.Builder needy() {
        return hello().setOldest(256).setEnd(512).setTerm(TERM);
    }

    private void assertRefused(ByteBuffer first, String words) throws IOException {
        try (HandMade a = connect()) {
            a.send(first);
            assertThat(a.refusal()).contains(words);
        }
    }

    private void assertStreamRefuses(ByteBuffer frame, String words) throws IOException {
        try (HandMade a = connect()) {
            greet(a);
            a.send(frame);
            assertThat(a.refusal()).contains(words);
        }
    }

    private void assertRebuildRefused(String name, long at, String words) throws IOException {
        try (HandMade a = connect()) {
            a.send(Frame.HELLO.of(needy().build().toByteArray()));
            Needs needs = Needs.parseFrom(a.await(Frame.NEEDS));
            assertThat(needs.getCommon()).isZero();
            a.send(Frame.REBUILD.of(io.terminus.proto.agent.v1.Rebuild.newBuilder()
                    .setCopy(name)
                    .setAt(at)
                    .addAllLineage(Messages.lineage(new Lineage(List.of(new TermStart(TERM, "a", 0)))))
                    .build()
                    .toByteArray()));
            assertThat(a.refusal()).contains(words);
        }
    }

    private static void awaitReceived(HandMade a, long position) throws IOException {
        long received;
        do {
            received = a.await(Frame.ACK).getLong();
            assertThat(received).isLessThanOrEqualTo(position);
        } while (received < position);
    }

    private ByteBuffer run(long from, long to) {
        int bytes = (int) (to - from);
        ByteBuffer b = ByteBuffer.allocate(Frame.HEADER_BYTES + Frame.RUN_BODY_BYTES + bytes)
                .order(java.nio.ByteOrder.LITTLE_ENDIAN);
        Frame.RUN.begin(b, Frame.RUN_BODY_BYTES);
        b.putLong(from).putInt(bytes).putInt(0).putLong(0).putLong(0).putLong(0);
        Frame.seal(b);
        return b.limit(b.capacity())
                .position(Frame.HEADER_BYTES + Frame.RUN_BODY_BYTES)
                .put(journal().bytes(from, to))
                .flip();
    }

    private ByteBuffer packed(long from, long to) {
        ByteBuffer run = journal().bytes(from, to);
        byte[] plain = new byte[run.remaining()];
        run.get(plain);
        return packed(from, plain);
    }

    private static ByteBuffer packed(long from, byte[] plain) {
        byte[] zstd = Zstd.compress(plain, 1);
        ByteBuffer b = Frame.PACKED.begin(Frame.RUN_BODY_BYTES + zstd.length);
        b.putLong(from).putInt(plain.length).putInt(zstd.length);
        return Frame.seal(b.putLong(0).putLong(0).putLong(0).put(zstd));
    }

    private static ByteBuffer status(long end) {
        return status(end, 0);
    }

    private static ByteBuffer status(long end, long committed) {
        return Frame.seal(Frame.STATUS
                .begin(Frame.STATUS_BODY_BYTES)
                .putLong(end)
                .putLong(committed)
                .putLong(0)
                .putLong(0));
    }

    private static ByteBuffer copy(long sequence, CopyItem.Kind kind, long position) {
        return Frame.seal(Frame.COPY
                .begin(Frame.COPY_LEAST_BYTES)
                .putLong(sequence)
                .putLong(position)
                .putLong(0)
                .putLong(0)
                .putLong(0)
                .putInt(kind.code())
                .putInt(0));
    }

    private static ByteBuffer fetch(long from, long to) {
        return Frame.FETCH.of(Fetch.newBuilder()
                .setVolumeUuid(VOLUME.toString())
                .setTerm(TERM)
                .setFrom(from)
                .setTo(to)
                .build()
                .toByteArray());
    }

    private static byte[] bytes(Journal journal, long end) {
        ByteBuffer b = journal.bytes(0, end);
        byte[] bytes = new byte[b.remaining()];
        b.get(bytes);
        return bytes;
    }
}
