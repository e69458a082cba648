package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.Lineage;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.peer.GrpcPeerNetwork;
import io.terminus.agent.peer.PeerServer;
import io.terminus.agent.volume.VolumeConfig.Address;
import io.terminus.agent.volume.VolumeConfig.Member;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Two agents' volumes in one JVM: real replicas, journals, streams and peer servers; a fake lock manager and fake wires.
 * Seals are called directly, and fail towards an agent whose wire is cut.
 */
@Execution(ExecutionMode.CONCURRENT)
class TwoVolumesTest {

    private static final UUID VOLUME = new UUID(1, 2);
    private static final int VOLUME_BYTES = 4 << 20;
    private static final Duration LONG = Duration.ofSeconds(60);

    @TempDir
    private Path temp;

    private final FakeLockManager lockManager = new FakeLockManager();
    private final Map<String, Agent> agents = new HashMap<>();

    private final class Agent implements PeerNetwork {
        final String name;
        final FakeWire wire = new FakeWire();
        final GrpcPeerNetwork network;
        private Volumes volumes;
        private PeerServer server;
        private volatile boolean unsealable;

        Agent(String name) throws IOException {
            this.name = name;
            this.network = new GrpcPeerNetwork(name);
            this.volumes = volumes();
            this.server = serve();
        }

        private Volumes volumes() throws IOException {
            Volume.Settings settings = new Volume.Settings(
                    name,
                    "boot",
                    256L << 20,
                    Duration.ofSeconds(1),
                    Duration.ofSeconds(30),
                    Duration.ofSeconds(10),
                    TestHooks.NONE);
            return new Volumes(temp.resolve(name), settings, v -> lockManager.as(name), this);
        }

        private PeerServer serve() throws IOException {
            PeerServer started = PeerServer.start(new InetSocketAddress("127.0.0.1", 0), volumes);
            wire.leadsTo(((InetSocketAddress) started.address()).getPort());
            return started;
        }

        Volume volume() {
            Volume v = volumes.byName("v");
            if (v == null) {
                throw new IllegalStateException(name + " has no replica");
            }
            return v;
        }

        void stop() {
            volumes.close();
            server.close();
        }

        void startAgain() throws IOException {
            volumes = volumes();
            volumes.openAll();
            server = serve();
        }

        void cutOff() {
            unsealable = true;
            wire.cut();
        }

        void bringBack() {
            unsealable = false;
            wire.join();
        }

        byte[] image() throws IOException {
            return Files.readAllBytes(volume().imagePath());
        }

        @Override
        public PeerNetwork.Stream stream(PeerCursor cursor) {
            return network.stream(cursor);
        }

        @Override
        public CompletableFuture<Election.Answer> seal(
                Address peer, UUID volume, long term, long token, long configVersion, Duration deadline) {
            Agent target = agent(peer.agent());
            if (target.unsealable) {
                return CompletableFuture.failedFuture(new IOException("no route to " + peer.agent()));
            }
            try {
                return CompletableFuture.completedFuture(target.volume().seal(term, token, configVersion, name));
            } catch (RefusedException e) {
                return CompletableFuture.failedFuture(e);
            }
        }

        @Override
        public CompletableFuture<Void> canHold(Address peer, UUID volume, long sizeBytes, Duration deadline) {
            return CompletableFuture.completedFuture(null);
        }

        @Override
        public CompletableFuture<Blocks> readBlocks(
                Address writer, UUID volume, long offset, int length, Duration deadline) {
            return CompletableFuture.failedFuture(new IOException("no story here reads at a replica"));
        }

        @Override
        public void fetch(Address peer, UUID volume, long from, long to, Inbound into, Duration deadline)
                throws IOException {
            network.fetch(peer, volume, from, to, into, deadline);
        }
    }

    /** A client that counts. */
    private static final class Client implements ClientReplies {
        private final VolumeClient requests;
        private final Set<Long> done = ConcurrentHashMap.newKeySet();
        private final Set<Long> failed = ConcurrentHashMap.newKeySet();
        private volatile @Nullable String disconnected;
        private long cookies;

        Client(Volume volume) throws Volume.NotServedException {
            requests = volume.attach(this);
        }

        long write(long offset, byte[] bytes) {
            requests.write(++cookies, offset, ByteBuffer.wrap(bytes), false);
            requests.endOfBatch();
            return cookies;
        }

        void writeAndAwait(long offset, byte[] bytes) {
            long cookie = write(offset, bytes);
            awaitTrue(() -> done.contains(cookie));
        }

        long askForFlush() {
            requests.flush(++cookies);
            requests.endOfBatch();
            return cookies;
        }

        byte[] read(long offset, int length) throws IOException, VolumeClient.LostGrantException {
            ByteBuffer into = ByteBuffer.allocate(length);
            requests.read(offset, into);
            return into.array();
        }

        @Override
        public void done(long cookie) {
            done.add(cookie);
        }

        @Override
        public void failed(long cookie, Failure why) {
            failed.add(cookie);
        }

        @Override
        public void flush() {}

        @Override
        public void disconnect(String why) {
            disconnected = why;
        }
    }

    @BeforeEach
    void twoAgents() throws Exception {
        agents.put("a", new Agent("a"));
        agents.put("b", new Agent("b"));
        VolumeConfig config = new VolumeConfig(
                VOLUME,
                "v",
                VOLUME_BYTES,
                4 << 20,
                0,
                "a",
                List.of(new Member("a", "boot"), new Member("b", "boot")),
                List.of(),
                AckLevel.RECEIVED,
                0,
                1,
                Lineage.EMPTY,
                Failover.MANUAL,
                List.of(
                        new Address("a", agent("a").wire.address(), "unused:1"),
                        new Address("b", agent("b").wire.address(), "unused:1")),
                VolumeConfig.Fork.NONE);
        lockManager.store(config);
        agent("b").volumes.create(config);
        agent("a").volumes.create(config);
        awaitServing("a");
    }

    @AfterEach
    void stopAll() throws IOException {
        for (Agent agent : agents.values()) {
            agent.wire.letGo();
            agent.stop();
            agent.network.close();
            agent.wire.close();
        }
    }

    @Test
    void whatIsWrittenIsAtTheReplicaByteForByte() throws Exception {
        Random random = new Random(1);
        byte[] expected = new byte[VOLUME_BYTES];
        Client client = new Client(volume("a"));

        for (int i = 0; i < 300; i++) {
            int offset = random.nextInt(VOLUME_BYTES - 1);
            byte[] bytes = new byte[1 + random.nextInt(Math.min(VOLUME_BYTES - offset, 300_000))];
            random.nextBytes(bytes);
            System.arraycopy(bytes, 0, expected, offset, bytes.length);
            client.write(offset, bytes);
        }
        long flush = client.askForFlush();

        awaitTrue(() -> client.done.contains(flush));
        assertThat(client.done).hasSize(301);
        awaitAllApplied();
        assertThat(agent("a").image()).isEqualTo(expected);
        assertThat(agent("b").image()).isEqualTo(expected);
    }

    @Test
    void aSealStopsTheOldWriterAtOnce() throws Exception {
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        long sealedTerm = term("a") + 1;

        Election.Answer answer =
                volume("a").seal(sealedTerm, 1_000, lockManager.block().version(), "b");

        assertThat(volume("a").serving()).isFalse();
        assertThat(client.disconnected).contains("sealed by b");
        assertThat(answer.received()).isEqualTo(journal("a").end());
        long end = journal("a").end();
        long late = client.write(0, filled(4_096, 2));
        assertThat(journal("a").end()).isEqualTo(end);
        assertThat(client.done).doesNotContain(late);
    }

    @Test
    void recordsOfATermThatWasSealedAreRefused() throws Exception {
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        long sealedTerm = term("a") + 1;

        Election.Answer answer =
                volume("b").seal(sealedTerm, 1_000, lockManager.block().version(), "b");
        long late = client.write(0, filled(4_096, 2));

        awaitTrue(() -> client.disconnected != null);
        assertThat(client.disconnected).contains("fenced");
        assertThat(client.done).doesNotContain(late);
        assertThat(journal("b").end()).isEqualTo(answer.received());
        assertThatThrownBy(() -> volume("b")
                        .seal(sealedTerm - 1, 1_001, lockManager.block().version(), "a"))
                .isInstanceOfSatisfying(
                        RefusedException.class, e -> assertThat(e.why()).isEqualTo(RefusedException.Why.FENCED))
                .hasMessageContaining("term " + sealedTerm);
    }

    @Test
    void aCandidateThatActsOnAnOlderValueBlockRaisesNoFence() throws Exception {
        // given
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        long known = volume("b").status().configVersion();

        // when
        ThrowingCallable older = () -> volume("b").seal(term("a") + 1, 1_000, known - 1, "c");

        // then
        assertThatThrownBy(older)
                .isInstanceOfSatisfying(
                        RefusedException.class, e -> assertThat(e.why()).isEqualTo(RefusedException.Why.OTHER_CONFIG))
                .hasMessageContaining("has seen version " + known)
                .hasMessageContaining("acts on version " + (known - 1));
        client.writeAndAwait(0, filled(4_096, 2));
        assertThat(volume("b").seal(term("a"), 1_000, known, "a").agent()).isEqualTo("b");
    }

    @Test
    void theFenceOutlivesTheProcess() throws Exception {
        long sealedTerm = term("a") + 1;
        agent("a").stop();
        volume("b").seal(sealedTerm, 1_000, lockManager.block().version(), "b");

        agent("b").stop();
        agent("b").startAgain();

        assertThatThrownBy(() -> volume("b")
                        .seal(sealedTerm - 1, 1_001, lockManager.block().version(), "a"))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("term " + sealedTerm);
    }

    @Test
    void aTokenOlderThanOneThatWasAnsweredToIsRefusedInAnyTermAlsoAfterARestart() throws Exception {
        long sealedTerm = term("a") + 1;
        agent("a").stop();
        volume("b").seal(sealedTerm, 1_000, Long.MAX_VALUE, "b");

        agent("b").stop();
        agent("b").startAgain();

        assertThatThrownBy(() -> volume("b").seal(sealedTerm + 1, 999, Long.MAX_VALUE, "a"))
                .isInstanceOfSatisfying(
                        RefusedException.class, e -> assertThat(e.why()).isEqualTo(RefusedException.Why.FENCED))
                .hasMessageContaining("token 1000")
                .hasMessageContaining("epoch");
        assertThat(volume("b").seal(sealedTerm + 1, 1_000, Long.MAX_VALUE, "a").agent())
                .isEqualTo("b");
    }

    @Test
    void aWriterThatBelievesOnAfterItsLeaseAcknowledgesNothingMore() throws Exception {
        Client old = new Client(volume("a"));
        old.writeAndAwait(0, filled(4_096, 1));
        agent("a").cutOff(); // seals do not reach it, nor does b's stream

        lockManager.forgetHolder();
        promote("b");
        long late = old.write(0, filled(4_096, 2));

        awaitTrue(() -> old.disconnected != null);
        assertThat(old.done).doesNotContain(late);
        assertThat(new Client(volume("b")).read(0, 4_096)).containsOnly(1);
    }

    @Test
    void aGreetingThatIsReadBehindALaterOneCutsNothingThatWasAcknowledgedSince() throws Exception {
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        PeerCursor.Greeting unread =
                Objects.requireNonNull(volume("a").writer()).greeting();
        client.writeAndAwait(4_096, filled(4_096, 2));
        long end = journal("b").end();

        assertThatThrownBy(() -> volume("b").accept(unread))
                .isInstanceOfSatisfying(
                        RefusedException.class, e -> assertThat(e.why()).isEqualTo(RefusedException.Why.NOT_READY))
                .hasMessageContaining("opened before one that was served");

        assertThat(journal("b").end()).isEqualTo(end);
        client.writeAndAwait(8_192, filled(4_096, 3));
        assertThat(members()).containsExactly("a", "b");
    }

    @Test
    void theOldWritersTailIsRescuedAndItCatchesUp() throws Exception {
        Client old = new Client(volume("a"));
        old.writeAndAwait(0, filled(4_096, 1));
        agent("b").wire.cut();
        long unshared = old.write(0, filled(4_096, 2));
        long tail = journal("a").end();
        agent("a").cutOff();

        lockManager.expireHolder();
        promote("b");
        Client now = new Client(volume("b"));
        now.writeAndAwait(4_096, filled(4_096, 3));
        assertThat(now.read(0, 4_096)).containsOnly(1);
        agent("b").wire.join();
        agent("a").bringBack();

        awaitInSync("a", "b");
        awaitAllApplied();
        assertThat(old.done).doesNotContain(unshared);
        assertThat(old.disconnected).isNotNull();
        try (java.util.stream.Stream<Path> rescued = Files.list(temp.resolve("a/volumes/v/rescued"))) {
            assertThat(rescued)
                    .singleElement()
                    .satisfies(f -> assertThat(Files.size(f))
                            .isGreaterThanOrEqualTo(4_096 + 128)
                            .isLessThanOrEqualTo(tail));
        }
        assertThat(agent("a").image()).isEqualTo(agent("b").image());
        assertThat(agent("a").image()[0]).isEqualTo((byte) 1);
        assertThat(agent("a").image()[4_096]).isEqualTo((byte) 3);
        assertThat(journal("a").lineage()).isEqualTo(journal("b").lineage());
    }

    @Test
    void aRecallHandsOverWithoutLosingAnything() throws Exception {
        Client old = new Client(volume("a"));
        List<Long> cookies = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            cookies.add(old.write(i * 4_096L, filled(4_096, i)));
        }
        long term = term("a");

        promote("b");

        assertThat(old.done).containsAll(cookies);
        assertThat(volume("a").serving()).isFalse();
        assertThat(term("b")).isGreaterThan(term);
        Client now = new Client(volume("b"));
        for (int i = 0; i < 64; i++) {
            assertThat(now.read(i * 4_096L, 4_096)).containsOnly(i);
        }
        promote("a");
        assertThat(new Client(volume("a")).read(4_096, 4_096)).containsOnly(1);
    }

    @Test
    void everyStartOfAWriterOpensANewTerm() throws Exception {
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        long term = term("a");

        agent("a").stop();
        agent("a").startAgain();
        awaitServing("a");

        assertThat(term("a")).isEqualTo(term + 1);
        assertThat(journal("a").lineage().lastTerm()).isEqualTo(term + 1);
        assertThat(new Client(volume("a")).read(0, 4_096)).containsOnly(1);
        awaitAllApplied();
        assertThat(journal("b").lineage()).isEqualTo(journal("a").lineage());
    }

    @ParameterizedTest(name = "stored: {0}")
    @ValueSource(booleans = {true, false})
    void lostAnswersOfTheLockManagerAreAskedForAgain(boolean stored) throws Exception {
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));

        lockManager.loseAnswers(3, stored);
        agent("b").wire.cut();
        long alone = client.write(0, filled(4_096, 2));
        awaitTrue(() -> client.done.contains(alone));
        assertThat(lockManager.answersLost()).isEqualTo(3);
        assertThat(members()).containsExactly("a");
        lockManager.loseAnswers(3, stored);
        agent("b").wire.join();
        awaitInSync("a", "b");
        awaitTrue(() -> volume("a").config().inSync().size() == 2);
        assertThat(lockManager.answersLost()).isEqualTo(6);
        client.writeAndAwait(4_096, filled(4_096, 3));
        lockManager.loseAnswers(3, stored);
        promote("b");

        assertThat(lockManager.answersLost()).isEqualTo(9);
        assertThat(client.disconnected).isNotNull();
        Client now = new Client(volume("b"));
        assertThat(now.read(0, 4_096)).containsOnly(2);
        assertThat(now.read(4_096, 4_096)).containsOnly(3);
    }

    @Test
    void aMemberThatWasRemovedIsNotElected() throws Exception {
        Client client = new Client(volume("a"));
        agent("b").wire.cut();
        client.writeAndAwait(0, filled(4_096, 2));

        assertThat(members()).containsExactly("a");
        assertThatThrownBy(() -> volume("b").promote(true, false, LONG, s -> {}))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("not in sync");
        assertThat(volume("a").serving()).isTrue();
    }

    @Test
    void aReplicaWhoseJournalIsDamagedIsServedOnlyWithTheTailOfAnother() throws Exception {
        Client client = new Client(volume("a"));
        for (int i = 0; i < 5; i++) {
            client.writeAndAwait(i * 4_096L, filled(4_096, i + 1));
        }
        for (int i = 1; i <= 20; i++) { // more than one run, and runs end inside records
            client.writeAndAwait(i * 131_072L, filled(131_072, 10 + i));
        }
        long flush = client.askForFlush();
        awaitTrue(() -> client.done.contains(flush));
        Path killed = CrashCopy.of(temp.resolve("b"), temp.resolve("b-killed"));
        agent("a").stop();
        agent("b").stop();
        CrashCopy.delete(temp.resolve("b"));
        CrashCopy.of(killed, temp.resolve("b"));
        damageTheSecondWrite(temp.resolve("b/volumes/v/journal"));
        agent("b").startAgain();

        assertThatThrownBy(() -> volume("b").promote(false, false, Duration.ofSeconds(3), s -> {}))
                .isInstanceOf(RefusedException.class)
                .hasMessageContaining("the journal of [b] is damaged");
        assertThat(volume("b").serving()).isFalse();
        agent("a").startAgain();
        awaitServing("b");

        awaitTrue(() -> !volume("b").replica().superblock().life().damaged());
        Client now = new Client(volume("b"));
        for (int i = 0; i < 5; i++) {
            assertThat(now.read(i * 4_096L, 4_096)).containsOnly(i + 1);
        }
        for (int i = 1; i <= 20; i++) {
            assertThat(now.read(i * 131_072L, 131_072)).containsOnly(10 + i);
        }
    }

    @Test
    void aVolumeWhoseJournalsAreAllDamagedWaitsForTheOperatorAndNamesTheFork() throws Exception {
        Client client = new Client(volume("a"));
        for (int i = 0; i < 5; i++) {
            client.writeAndAwait(i * 4_096L, filled(4_096, i + 1));
        }
        long flush = client.askForFlush();
        awaitTrue(() -> client.done.contains(flush));
        for (String agent : List.of("a", "b")) {
            CrashCopy.of(temp.resolve(agent), temp.resolve(agent + "-killed"));
        }
        for (String agent : List.of("a", "b")) {
            agent(agent).stop();
            CrashCopy.delete(temp.resolve(agent));
            CrashCopy.of(temp.resolve(agent + "-killed"), temp.resolve(agent));
            damageTheSecondWrite(temp.resolve(agent + "/volumes/v/journal"));
        }
        agent("a").startAgain();
        agent("b").startAgain();

        awaitTrue(() -> volume("a").status().detail().contains("is damaged and vouches for nothing"));
        assertThat(volume("a").serving()).isFalse();
        assertThat(volume("b").serving()).isFalse();
        volume("b").promote(false, true, LONG, s -> {});

        assertThat(volume("b").config().fork().term())
                .isEqualTo(volume("b").config().term());
        awaitInSync("a", "b"); // copied to, for its image may hold what was given up
        awaitAllApplied();
        assertThat(agent("a").image()).isEqualTo(agent("b").image());
    }

    /** sendfile takes no snapshot: what waits in the socket must not change while the same blocks are written again. */
    @Test
    @Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void aSlowReaderGetsWhatWasCapturedWhileTheBlocksAreOverwritten() throws Exception {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        Client client = new Client(volume("a"));
        client.writeAndAwait(0, filled(4_096, 1));
        byte[] expected = new byte[VOLUME_BYTES];
        Arrays.fill(expected, 0, 4_096, (byte) 1);
        Map<Long, byte[]> captured = new HashMap<>();

        for (int round = 0; round < 3; round++) {
            agent("b").wire.hold();
            for (int i = 0; i < 160; i++) { // more than the sockets on the way hold
                byte[] bytes = new byte[64 << 10 << random.nextInt(2)];
                random.nextBytes(bytes);
                int offset = random.nextInt(2) * (64 << 10);
                long position = journal("a").end();
                client.write(offset, bytes);
                captured.put(position, bytes);
                System.arraycopy(bytes, 0, expected, offset, bytes.length);
            }
            agent("b").wire.letGo();
            awaitTrue(() -> journal("b").end() == journal("a").end());
        }
        long flush = client.askForFlush();
        awaitTrue(() -> client.done.contains(flush));

        List<Long> seen = new ArrayList<>();
        Journal there = journal("b");
        there.forEach(there.oldest(), there.end(), r -> {
            byte[] bytes = captured.get(r.position());
            if (r.kind() == RecordKind.WRITE && bytes != null) {
                seen.add(r.position());
                assertThat(r.payloadIntact()).isTrue();
                assertThat(r.payload())
                        .as("seed %d, position %d", seed, r.position())
                        .isEqualTo(ByteBuffer.wrap(bytes));
            }
            return true;
        });
        assertThat(seen).hasSizeGreaterThan(100);
        awaitAllApplied();
        assertThat(agent("b").image()).isEqualTo(expected);
        assertThat(members()).contains("a");
    }

    // ---- givens

    private Agent agent(String name) {
        Agent agent = agents.get(name);
        if (agent == null) {
            throw new IllegalStateException("no agent " + name);
        }
        return agent;
    }

    private Volume volume(String agent) {
        return agent(agent).volume();
    }

    private Journal journal(String agent) {
        return volume(agent).replica().journal();
    }

    private long term(String agent) {
        return journal(agent).lineage().lastTerm();
    }

    private void promote(String agent) throws Exception {
        volume(agent).promote(false, false, LONG, s -> {});
    }

    private List<String> members() {
        VolumeConfig config = lockManager.block().config();
        return config == null
                ? List.of()
                : config.inSync().stream().map(Member::agent).sorted().toList();
    }

    private void awaitServing(String agent) {
        awaitTrue(() -> volume(agent).serving());
    }

    private void awaitInSync(String... names) {
        awaitTrue(() -> members().equals(List.of(names)));
    }

    private void awaitAllApplied() {
        awaitTrue(() -> journal("a").end() == journal("b").end()
                && volume("a").replica().applied() == journal("a").end()
                && volume("b").replica().applied() == journal("b").end());
    }

    /** All writes of the test lie in the first segment; a payload of twos is the second one's. */
    private static void damageTheSecondWrite(Path journalDir) throws IOException {
        try (java.util.stream.Stream<Path> files = Files.list(journalDir)) {
            Path first = files.sorted().findFirst().orElseThrow();
            byte[] bytes = Files.readAllBytes(first);
            for (int at = 0; at < bytes.length - 4_096; at += 128) {
                if (Arrays.equals(bytes, at, at + 4_096, filled(4_096, 2), 0, 4_096)) {
                    bytes[at + 100] = 77;
                    Files.write(first, bytes);
                    return;
                }
            }
            throw new IllegalStateException("no such payload in " + first);
        }
    }

    private static void awaitTrue(Callable<Boolean> condition) {
        await().atMost(LONG).until(condition);
    }

    private static byte[] filled(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }
}
