package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.peer.HandMade;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A real writer "a" whose peer "b" answers by hand: as a replica would, and as it would not. */
@Timeout(120)
class HandMadeReplicaTest {

    @TempDir
    private Path temp;

    private @Nullable Agents agents;
    private @Nullable ServerSocket server;

    private interface Script {
        void play(HandMade b, long end) throws IOException;
    }

    @BeforeEach
    void aWriterWhoseReplicaIsGone() throws Exception {
        Agents set = new Agents(temp, 4 << 20, 64L << 20);
        agents = set;
        set.start("a", "b");
        set.client("a").writeAndAwait(0, new byte[100_000]);
        ServerSocket listening = new ServerSocket();
        listening.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        server = listening;
        set.agent("b").wire.leadsTo(listening.getLocalPort());
        set.agent("b").stop();
    }

    @AfterEach
    void stop() throws IOException {
        if (server != null) {
            server.close();
        }
        if (agents != null) {
            agents.close();
        }
    }

    @Test
    void theShortAckOfAnOlderAgentIsUnderstood() throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(0);
            b.ack(end, end, end);

            set().awaitInSync("a", "b");
            long cookie = set().client("a").write(0, new byte[4_096]);
            long newEnd = set().journal("a").end();
            assertThat(cookie).isPositive();
            b.ack(newEnd, end, end);
            Agents.awaitTrue(() -> replica().received() == newEnd);
        }
    }

    @Test
    void acksThatCountMoreThanWasSentAreRefused() throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(1, "credit");
            b.ack(end, end, end, 0, 0, 1L << 40, end);
            awaitTrouble("1099511627776 bytes are said to have come");
        }
    }

    @Test
    void noRecordIsSentThatThePeerHasNoRoomFor() throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(1, "credit"); // and no room at all
            set().client("a").write(0, new byte[4_096]);
            long newEnd = set().journal("a").end();

            assertThat(b.runsUntilToldOf(newEnd)).isZero();

            b.ackWithRoom(end, newEnd);
            assertThat(b.awaitRun()).isEqualTo(end);
        }
    }

    @Test
    void aPeerWithoutRoomThatDoesNothingToGetAnyIsSilentThoughItAnswers() throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(1, "credit");
            b.ackWithRoom(end, end);
            set().awaitInSync("a", "b");
            set().client("a").write(0, new byte[4_096]);
            long newEnd = set().journal("a").end();

            while (set().members().contains("b")) {
                b.runsUntilToldOf(newEnd);
                b.ackWithRoom(end, end);
            }
        }
    }

    @Test
    void aPeerWithoutSpaceIsSilentThoughItTakesEveryConnection() throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(1);
            b.ack(end, end, end);
            set().awaitInSync("a", "b");
            set().client("a").write(0, new byte[4_096]);
            b.awaitRun();
            b.refuse(RefusedException.Why.NO_SPACE, "no space for another segment");
        }
        long taken = replica().received();

        // The pauses between two grow: far fewer are needed.
        for (int connections = 0; set().members().contains("b"); connections++) {
            assertThat(connections).isLessThan(200);
            try (HandMade b = next()) {
                b.acceptAt(taken, taken, taken);
                b.ack(taken, taken, taken);
                b.awaitRun();
                b.refuse(RefusedException.Why.NO_SPACE, "no space for another segment");
            }
        }

        try (HandMade b = next()) {
            b.acceptAt(taken, taken, taken);
            b.awaitRun();
            long end = set().journal("a").end();
            b.ack(end, end, end);
            set().awaitInSync("a", "b");
        }
    }

    @Test
    void aPeerWithEverythingIsHeardAgainOnceItsDiskHasSpaceThoughNothingIsWritten() throws Exception {
        long end;
        try (HandMade b = next()) {
            end = b.accept(1);
            b.ack(end, end, end);
            set().awaitInSync("a", "b");
            b.refuse(RefusedException.Why.NO_SPACE, "no space for the superblock");
        }
        while (set().members().contains("b")) {
            try (HandMade b = next()) {
                b.refuse(RefusedException.Why.NO_SPACE, "no space for the superblock");
                b.awaitEnd();
            }
        }

        try (HandMade b = next()) {
            b.acceptAt(end, end, end);
            Agents.awaitTrue(() -> {
                b.ack(end, end, end);
                return set().members().contains("b");
            });
        }
        assertThat(set().journal("a").end()).isEqualTo(end);
    }

    @Test
    void positionsThatThisJournalCannotHaveSentAreRefused() throws Exception {
        assertRefused((b, end) -> b.ack(end + 128, end, end, 0, 0), "received %d is not within", 128);
        assertRefused((b, end) -> b.ack(end, end + 128, end, 0, 0), "durable %d is not within", 128);
        assertRefused((b, end) -> b.ack(end, end, Long.MAX_VALUE, 0, 0), "applied 9223372036854775807", 0);
        assertRefused((b, end) -> b.ack(end - 128, end, end, 0, 0), "received %d is not within", -128);
        assertRefused((b, end) -> b.ack(-128, -128, -128), "received -128 is not within", 0);
        assertRefused((b, end) -> b.compared(1, 1), "item 1 of a copy is said to be compared; sent were 0", 0);
    }

    @Test
    void aGreetingIsAnsweredWithPositionsOfThisJournal() throws Exception {
        long end = set().journal("a").end();
        for (long[] wrong : new long[][] {{end + 128, 0, 0}, {130, 0, 0}, {-128, 0, 0}, {128, 256, 0}, {128, 0, 256}}) {
            try (HandMade b = next()) {
                b.acceptAt(wrong[0], wrong[1], wrong[2]);
                b.awaitEnd();
            }
            Agents.awaitTrue(() -> !replica().connected());
        }
    }

    @Test
    void anAnswerInAVersionOrWithAFeatureThatWasNotOfferedIsRefused() throws Exception {
        try (HandMade b = next()) {
            b.accept(2);
            b.awaitEnd();
        }
        try (HandMade b = next()) {
            b.accept(1, "zstd");
            b.awaitEnd();
        }
        assertThat(replica().connected()).isFalse();
    }

    @Test
    void anAckBeforeTheGreetingIsAnsweredIsRefused() throws Exception {
        try (HandMade b = next()) {
            b.ack(128, 128, 128);
            b.awaitEnd();
        }
        assertThat(replica().connected()).isFalse();
    }

    private void assertRefused(Script script, String words, long beyondEnd) throws Exception {
        try (HandMade b = next()) {
            long end = b.accept(1);
            script.play(b, end);
            awaitTrouble(words.formatted(end + beyondEnd));
            b.awaitEnd();
        }
    }

    private void awaitTrouble(String words) {
        Agents.awaitTrue(() -> replica().detail().contains(words));
    }

    private HandMade next() throws IOException {
        ServerSocket s = server;
        if (s == null) {
            throw new IllegalStateException("no server");
        }
        return new HandMade(s.accept());
    }

    private Volume.ReplicaStatus replica() {
        return set().volume("a").status().replicas().stream()
                .filter(r -> r.agent().equals("b"))
                .findFirst()
                .orElseThrow();
    }

    private Agents set() {
        Agents set = agents;
        if (set == null) {
            throw new IllegalStateException("no agents");
        }
        return set;
    }
}
