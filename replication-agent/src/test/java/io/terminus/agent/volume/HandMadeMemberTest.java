package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.peer.HandMade;
import io.terminus.agent.peer.HandMade.Run;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A real writer "a" that takes nobody's silence for absence, and its member "b", which answers by hand. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class HandMadeMemberTest {

    private static final int MIB = 1 << 20;

    /** A window before anything is known of the link; a busy machine may have been taken for a slow one since. */
    private static final long FIRST_WINDOW_BYTES = MIB;

    private static final int MOST_RUN_BYTES = MIB;
    private static final int GATHERED_BYTES = 16 << 10;
    private static final long ROOM = 1L << 40;

    @TempDir
    private Path temp;

    private Agents set;
    private ServerSocket server;
    private Agents.Client client;

    @BeforeEach
    void aWriterAndItsMember() throws Exception {
        set = new Agents(temp, 4 * MIB, 64L * MIB, Duration.ofHours(1));
        set.segmentBytes = 4 * MOST_RUN_BYTES; // no run crosses a segment
        set.start("a", "b");
        client = set.client("a");
        client.writeAndAwait(0, data(100_000));
        set.awaitAllApplied("a", "b");
        server = new ServerSocket();
        server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        set.agent("b").wire.leadsTo(server.getLocalPort());
        set.agent("b").stop();
    }

    @AfterEach
    void stop() throws IOException {
        server.close();
        set.close();
    }

    @Test
    void unacknowledgedBytesAreBoundedAndOneAcknowledgementAnswersAllItCovers() throws Exception {
        try (HandMade b = new HandMade(server.accept())) {
            long before = b.accept(1, "credit");
            b.ackWithRoom(before, ROOM);
            List<Long> writes = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                writes.add(client.write(i % 4 * (long) MIB, data(MIB)));
            }
            long end = set.journal("a").end();

            List<Run> runs = new ArrayList<>(b.takenUntilToldOf(end));
            assertThat(bytes(runs))
                    .as("the window, and a run beyond it")
                    .isBetween(1L, FIRST_WINDOW_BYTES + MOST_RUN_BYTES);

            takeTheRest(b, before, end, runs);
            assertThat(runs).allSatisfy(run -> assertThat(run.bytes()).isBetween(1, MOST_RUN_BYTES));
            assertThat(runs).anySatisfy(run -> assertThat(run.bytes()).isGreaterThan(GATHERED_BYTES));
            assertThat(runs.getFirst().from()).isEqualTo(before);
            assertThat(client.done).doesNotContainAnyElementsOf(writes);

            b.ackWithRoom(end, ROOM);
            writes.forEach(client::awaitDone);
        }
    }

    @Test
    void aSegmentStaysUntilAMemberHasItOnItsDiskHoweverMuchThatHasReceived() throws Exception {
        try (HandMade b = new HandMade(server.accept())) {
            long before = b.accept(1, "credit");
            b.ackWithRoom(before, ROOM);
            for (int i = 0; i < 3; i++) {
                client.write(i * (long) MIB, data(MIB));
            }
            long end = set.journal("a").end();
            takeTheRest(b, before, end, new ArrayList<>());

            b.ackWithRoom(end, before, ROOM);
            Agents.awaitTrue(() -> set.replica("a").checkpoint() > 2L * MIB);
            awaitTheWritersNextLook(b, end);
            assertThat(set.journal("a").oldest()).isLessThanOrEqualTo(before);

            b.ackWithRoom(end, end, ROOM);
            Agents.awaitTrue(() -> set.journal("a").oldest() >= 2L * MIB);
        }
    }

    @Test
    void aMemberThatCannotFollowIsCopiedToOnlyWhenTheSetIsWithoutIt() throws Exception {
        set.lockManager.loseAnswers(Integer.MAX_VALUE, false);
        long end = set.journal("a").end();
        try (HandMade b = new HandMade(server.accept())) {
            assertThat(b.isAskedToBeginAnew(end)).isFalse();
        }
        Agents.awaitTrue(() -> set.lockManager.answersLost() > 0);
        assertThat(detailOfB()).endsWith("it is copied to when the in-sync set is without it");
        assertThat(set.members()).containsExactly("a", "b");
        try (HandMade b =
                new HandMade(server.accept())) { // its removal is asked for, and nobody knows whether it is in force
            assertThat(b.isAskedToBeginAnew(end)).isFalse();
        }

        set.lockManager.loseAnswers(0, false);
        set.awaitInSync("a");
        boolean asked = false;
        while (!asked) {
            try (HandMade b = new HandMade(server.accept())) {
                asked = b.isAskedToBeginAnew(end);
            }
        }
    }

    /** All that comes is counted, so that more can be sent, and none of it acknowledged. */
    private static void takeTheRest(HandMade b, long from, long to, List<Run> runs) throws IOException {
        while (bytes(runs) < to - from) {
            b.ackWithRoom(from, ROOM);
            runs.add(b.takeRun());
        }
    }

    /** Every 100 ms it looks what may go, and says where things stand at least every 400 ms; behind that look. */
    private static void awaitTheWritersNextLook(HandMade b, long end) throws IOException {
        b.takeAll();
        b.takenUntilToldOf(end);
        b.takenUntilToldOf(end);
    }

    private String detailOfB() {
        return set.volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals("b"))
                .findFirst()
                .orElseThrow()
                .detail();
    }

    private static long bytes(List<Run> runs) {
        return runs.stream().mapToLong(Run::bytes).sum();
    }

    private static byte[] data(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 7);
        return bytes;
    }
}
