package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class JournalToolTest {

    @TempDir
    private Path temp;

    private Agents agents;
    private Path replica;

    private record Said(int exitCode, String out, String err) {
        List<JsonNode> json() {
            return out.lines().map(JsonMapper.shared()::readTree).toList();
        }
    }

    @BeforeEach
    void start() throws Exception {
        agents = new Agents(temp, 2 << 20, 16L << 20);
        agents.start("a", "b");
        replica = agents.agent("a").directory();
    }

    @AfterEach
    void close() throws IOException {
        agents.close();
    }

    private static Said run(String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int exitCode = JournalTool.run(
                List.of(arguments),
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8));
        return new Said(exitCode, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    private static byte[] data(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 7);
        return bytes;
    }

    @Test
    void inspectShowsTheReplicaAndEveryRecordBesideARunningAgent() throws Exception {
        Agents.Client client = agents.client("a");
        client.writeAndAwait(4096, data(5000));
        client.writeAndAwait(8192, new byte[4096]);
        long end = agents.journal("a").end();

        Said said = run("inspect", replica.toString(), "--json");

        assertThat(said.exitCode()).as(said.err()).isZero();
        JsonNode facts = said.json().getFirst();
        assertThat(facts.path("volume").asString()).isEqualTo("v");
        assertThat(facts.path("uuid").asString()).isEqualTo(Agents.VOLUME.toString());
        assertThat(facts.path("end").asLong()).isEqualTo(end);
        assertThat(facts.path("verdict").asString()).isEqualTo("clean");
        assertThat(facts.path("lineage").get(0).path("origin").asString()).isEqualTo("a");
        List<JsonNode> records = said.json().subList(1, said.json().size());
        assertThat(records.stream().map(r -> r.path("kind").asString()))
                .containsExactly("TERM", "WRITE", "WRITE_ZEROES");
        assertThat(records.get(1).path("offset").asLong()).isEqualTo(4096);
        assertThat(records.get(1).path("length").asLong()).isEqualTo(5000);
        assertThat(records.get(2).path("flags").get(0).asString()).isEqualTo("punch");
        assertThat(records.stream().allMatch(r -> r.path("intact").asBoolean())).isTrue();
        Said words = run("inspect", replica.toString());
        assertThat(words.out()).contains("WRITE_ZEROES", "POSITION", "1:a@0").doesNotContain("damaged");
    }

    @Test
    void inspectBeginsAndEndsWhereItIsTold() throws Exception {
        Agents.Client client = agents.client("a");
        for (int i = 0; i < 10; i++) {
            client.writeAndAwait(4096L * i, data(4096));
        }

        Said first = run("inspect", replica.toString(), "--limit", "3");
        String next =
                first.out().substring(first.out().lastIndexOf("--from ") + 7).strip();
        Said second = run("inspect", replica.toString(), "--limit", "2", "--from", next, "--json");

        assertThat(first.out()).contains("More from position " + next);
        assertThat(second.json()).hasSize(3);
        assertThat(second.json().get(1).path("position").asString()).isEqualTo(next);
        assertThat(run("inspect", replica.toString(), "--from", "100").exitCode())
                .isEqualTo(2);
        assertThat(run("inspect", replica.toString(), "--from", "x").err()).contains("--from 'x' is not a number");
    }

    @Test
    void verifyFindsNothingWrongWithAReplicaThatWasStoppedOrKilled() throws Exception {
        agents.client("a").writeAndAwait(0, data(100_000));
        agents.awaitAllApplied("a", "b");
        assertThat(run("verify", replica.toString()).exitCode()).isZero();
        Path killed = CrashCopy.of(temp.resolve("b"), temp.resolve("killed")).resolve("volumes/v");
        agents.agent("a").stop();
        agents.agent("b").stop();

        for (Path left : List.of(replica, agents.agent("b").directory(), killed)) {
            Map<String, Integer> before = files(left);
            Said said = run("verify", left.toString(), "--json", "--progress");

            assertThat(said.exitCode()).as(said.out() + said.err()).isZero();
            assertThat(said.json().getFirst().path("usable").asBoolean()).isTrue();
            assertThat(said.json().getFirst().path("damagedHistory").size()).isZero();
            assertThat(said.err()).contains("reading the journal");
            assertThat(files(left)).isEqualTo(before);
        }
    }

    @Test
    void verifySaysWhereBytesThatWerePromisedAreDamaged() throws Exception {
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, data(4096));
        long damagedAt = agents.journal("a").end();
        client.writeAndAwait(4096, data(4096));
        client.writeAndAwait(8192, data(4096));
        client.flushAndAwait();
        client.writeAndAwait(0, data(512)); // knows what the flush synced
        Path b = agents.agent("b").directory();
        agents.agent("a").stop();
        Path killed = CrashCopy.of(temp.resolve("b"), temp.resolve("killed")).resolve("volumes/v");
        agents.agent("b").stop();
        flip(killed, damagedAt + 300);

        Said said = run("verify", killed.toString());

        assertThat(said.exitCode()).isEqualTo(1);
        assertThat(said.out()).contains("damaged at " + damagedAt).contains("have to come from another replica");
        assertThat(run("inspect", killed.toString()).out()).contains("payload damaged");
        // Damage before the checkpoint of one that was stopped in good order is no matter of a start's.
        flip(b, damagedAt + 300);
        Said history = run("verify", b.toString());
        assertThat(history.exitCode()).isEqualTo(1);
        assertThat(history.out())
                .contains("The journal ends at")
                .contains("Before the checkpoint", "the record at " + damagedAt + " has a damaged payload");
    }

    @Test
    void verifySaysWhichFilesAreGone() throws Exception {
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, data(4096));
        Agents.awaitTrue(() -> agents.replica("b").superblock().reach() > Agents.SEGMENT_BYTES);
        Path killed = CrashCopy.of(temp.resolve("b"), temp.resolve("killed")).resolve("volumes/v");
        Files.delete(killed.resolve("journal/%016x.seg".formatted(1)));

        Said said = run("verify", killed.toString());

        assertThat(said.exitCode()).isEqualTo(1);
        assertThat(said.out()).contains("The file of segment 0000000000000001, which was there, is gone.");
    }

    @Test
    void whatIsNoReplicaIsRefusedWithTheRule() throws Exception {
        Said nowhere = run("inspect", temp.resolve("nowhere").toString());
        Said agent = run("verify", temp.resolve("a").toString());
        Said plain = run("verify", replica.resolve("journal").toString());
        Said wrong = run("look", replica.toString());

        assertThat(nowhere.exitCode()).isEqualTo(1);
        assertThat(nowhere.err()).contains("is not a directory");
        assertThat(agent.exitCode()).isEqualTo(1);
        assertThat(agent.err()).contains("is no replica").contains("whose replicas are " + replica);
        assertThat(plain.err()).contains("is no replica");
        assertThat(wrong.exitCode()).isEqualTo(2);
        agents.agent("b").stop();
        Path superblock = agents.agent("b").directory().resolve("superblock");
        byte[] bytes = Files.readAllBytes(superblock);
        bytes[bytes.length - 1] ^= 1;
        Files.write(superblock, bytes);
        Said damaged = run("verify", agents.agent("b").directory().toString());
        assertThat(damaged.exitCode()).isEqualTo(1);
        assertThat(damaged.err()).contains("its checksum does not match");
    }

    private static void flip(Path replica, long position) throws IOException {
        Path segment = replica.resolve("journal/%016x.seg".formatted(position / Agents.SEGMENT_BYTES));
        try (FileChannel file = FileChannel.open(segment, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer one = ByteBuffer.allocate(1);
            long at = position % Agents.SEGMENT_BYTES;
            file.read(one, at);
            one.put(0, (byte) (one.get(0) ^ 1)).flip();
            file.write(one, at);
        }
    }

    private static Map<String, Integer> files(Path dir) throws IOException {
        Map<String, Integer> files = new TreeMap<>();
        try (Stream<Path> all = Files.walk(dir)) {
            for (Path file : all.filter(Files::isRegularFile).toList()) {
                files.put(dir.relativize(file).toString(), Arrays.hashCode(Files.readAllBytes(file)));
            }
        }
        return files;
    }
}
