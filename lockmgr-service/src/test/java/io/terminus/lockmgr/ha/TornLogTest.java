package io.terminus.lockmgr.ha;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.TestPorts;
import io.terminus.lockmgr.lock.Change;
import io.terminus.lockmgr.store.DecisionBatch;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A group of one whose machine lost its power while the log was written: what is left of the newest entries is cut at some byte. A few of the
 * places in every build, all of them with {@code -Dterminus.cuts=all}.
 */
@Timeout(600)
class TornLogTest {

    private static final int ENTRIES = 4;
    private static final int PLACES_IN_EVERY_BUILD = 4;

    @TempDir
    Path directory;

    private final int port = TestPorts.free();

    private record Heard(BlockingQueue<GroupMember.Inheritance> leads, BlockingQueue<String> failed)
            implements GroupMember.Listener {

        Heard() {
            this(new LinkedBlockingQueue<>(), new LinkedBlockingQueue<>());
        }

        @Override
        public void leads(GroupMember.Inheritance inheritance) {
            leads.add(inheritance);
        }

        @Override
        public void follows(long epoch) {}

        @Override
        public void failed(String why) {
            failed.add(why);
        }
    }

    @Test
    void whateverIsLeftOfTheLogIsABeginningOfWhatWasDecided() throws Exception {
        List<Set<Change>> states = new ArrayList<>();
        Path whole = directory.resolve("whole");
        List<Long> ends = decideSome(whole, states);
        long from = ends.getFirst();
        long end = ends.getLast();
        long step = "all".equals(System.getProperty("terminus.cuts"))
                ? 1
                : Math.max(1, (end - from) / PLACES_IN_EVERY_BUILD);

        for (boolean zeros : List.of(false, true)) {
            int most = 0;
            for (long cut = from; cut < end + step; cut += step) {
                Path torn = directory.resolve("cut-" + Math.min(cut, end) + (zeros ? "-zeros" : ""));
                copy(whole, torn);
                cut(log(torn), Math.min(cut, end), zeros);
                int left = states.indexOf(start(torn));

                assertThat(left)
                        .as("decisions left when the log ends at %d%s", cut, zeros ? " with zeros behind" : "")
                        .isBetween(most, ENTRIES);
                most = left;
            }
            assertThat(most).isEqualTo(ENTRIES);
        }
    }

    @Test
    void aLogThatIsDamagedOtherwiseIsRefusedAndLeftAsItIs() throws Exception {
        Path data = directory.resolve("damaged");
        long end = decideSome(data, new ArrayList<>()).getLast();
        try (RandomAccessFile file = new RandomAccessFile(log(data).toFile(), "rw")) {
            file.seek(end / 2);
            int old = file.read();
            file.seek(end / 2);
            file.write(old ^ 1);
        }
        byte[] before = Files.readAllBytes(log(data));

        try (RaftHost host = host(data, new Heard())) {
            assertThatThrownBy(host::start)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("cannot be read")
                    .hasMessageContaining("empty this member's data directory");
        }
        assertThat(Files.readAllBytes(log(data))).isEqualTo(before);
    }

    /** Returns where the log ended before the first and behind each decision; the states before the first and behind each. */
    private List<Long> decideSome(Path data, List<Set<Change>> states) throws Exception {
        List<Long> ends = new ArrayList<>();
        Heard heard = new Heard();
        try (RaftHost host = host(data, heard)) {
            GroupMember.Inheritance lead = leads(host, heard);
            GroupMember member = host.groups().getFirst();
            ends.add(used(log(data)));
            Set<Change> state = new HashSet<>(lead.changes());
            states.add(Set.copyOf(state));
            for (int number = 1; number <= ENTRIES; number++) {
                Change change = new Change.SessionOpened("session-" + number, "owner", 1_000_000_000L);
                DecisionBatch batch = new DecisionBatch();
                batch.add(List.of(change));
                assertThat(member.decide(
                                        lead.epoch(),
                                        number,
                                        number,
                                        member.digest(),
                                        true,
                                        batch.take().getFirst())
                                .get(30, TimeUnit.SECONDS))
                        .isTrue();
                state.add(change);
                states.add(Set.copyOf(state));
                ends.add(used(log(data)));
            }
        }
        return ends;
    }

    private Set<Change> start(Path data) throws Exception {
        Heard heard = new Heard();
        try (RaftHost host = host(data, heard)) {
            return Set.copyOf(leads(host, heard).changes());
        }
    }

    private static GroupMember.Inheritance leads(RaftHost host, Heard heard) throws Exception {
        host.start();
        GroupMember member = host.groups().getFirst();
        await().atMost(Duration.ofSeconds(30)).until(() -> {
            member.claim();
            return !heard.leads.isEmpty() || !heard.failed.isEmpty();
        });
        assertThat(heard.failed).isEmpty();
        return heard.leads.take();
    }

    private RaftHost host(Path data, Heard heard) throws IOException {
        Member self = new Member("a", "127.0.0.1:" + port, "127.0.0.1:1");
        return RaftHost.open(
                new RaftHost.Settings(self, data, "127.0.0.1", Duration.ofMillis(50), 1_000_000, 10, null, 1),
                List.of(new RaftHost.Begun("torn", List.of(self), heard)));
    }

    private static Path log(Path data) throws IOException {
        try (Stream<Path> files = Files.walk(data)) {
            return files.filter(file -> file.getFileName().toString().startsWith("log_inprogress"))
                    .findFirst()
                    .orElseThrow();
        }
    }

    /** The file is laid out with zeros ahead of its entries; one may end with some. */
    private static long used(Path log) throws IOException {
        byte[] bytes = Files.readAllBytes(log);
        int end = bytes.length;
        while (end > 0 && bytes[end - 1] == 0) {
            end--;
        }
        return end;
    }

    /** @param zeros what was laid out ahead is still there */
    private static void cut(Path log, long length, boolean zeros) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(log.toFile(), "rw")) {
            long before = file.length();
            file.setLength(length);
            if (zeros) {
                file.setLength(before);
            }
        }
    }

    /** As it would be without the orderly stop: the snapshot that Ratis takes then holds what the log is to lose. */
    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                if (Files.isDirectory(file) || !file.resolveSibling("").endsWith("sm")) {
                    Files.copy(file, to.resolve(from.relativize(file).toString()));
                }
            }
        }
    }
}
