package io.terminus.lockmgr.history;

import static org.awaitility.Awaitility.await;

import io.terminus.lockmgr.TestPorts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Three packaged lock managers that are one group, each a process that can be killed and started again. */
final class RunningGroup implements AutoCloseable {

    private static final List<String> IDS = List.of("a", "b", "c");
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final List<RunningLockManager> members = new ArrayList<>();
    private final LockGroupViews views;

    static RunningGroup start(Path directory) throws IOException, InterruptedException {
        RunningGroup group = new RunningGroup(directory);
        for (RunningLockManager member : group.members) {
            member.awaitHealthy();
        }
        group.leader();
        return group;
    }

    private RunningGroup(Path directory) throws IOException {
        List<Integer> ports = new ArrayList<>();
        List<String> named = new ArrayList<>();
        for (String id : IDS) {
            ports.add(TestPorts.free());
            named.add(id + "=127.0.0.1:" + TestPorts.free() + "/127.0.0.1:" + ports.getLast());
        }
        for (int i = 0; i < IDS.size(); i++) {
            Path own = Files.createDirectories(directory.resolve(IDS.get(i)));
            members.add(new RunningLockManager(
                    own,
                    ports.get(i),
                    List.of(
                            "--lockmgr.mode=cluster",
                            "--lockmgr.cluster.node=" + IDS.get(i),
                            "--lockmgr.cluster.snapshot-after=200",
                            "--lockmgr.cluster.keep-entries=50",
                            "--lockmgr.cluster.members=" + String.join(",", named))));
        }
        views = new LockGroupViews(
                members.stream().map(RunningLockManager::target).toList());
    }

    String targets() {
        return String.join(",", members.stream().map(RunningLockManager::target).toList());
    }

    /** Which of them says of itself that it leads, once one does. */
    int leader() {
        String leader = await().atMost(PATIENCE).until(() -> views.leader("").orElse(""), found -> !found.isEmpty());
        return IDS.indexOf(leader);
    }

    void kill(int member) throws InterruptedException {
        members.get(member).kill();
    }

    void startAgain(int member) throws IOException, InterruptedException {
        members.get(member).startAgain();
    }

    /** Everyone has applied the same, and it adds up to the same. */
    void awaitAgreement() {
        await().atMost(PATIENCE).until(views::agree);
    }

    @Override
    public void close() {
        views.close();
        members.forEach(RunningLockManager::close);
    }
}
