package io.terminus.cli.acceptance;

import static org.awaitility.Awaitility.await;

import io.terminus.cli.acceptance.Oracle.Flush;
import io.terminus.cli.acceptance.Oracle.Read;
import io.terminus.cli.acceptance.Oracle.Violation;
import io.terminus.proto.agent.v1.AckLevel;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.awaitility.core.ConditionTimeoutException;

/**
 * A volume whose clients tell an oracle all that they do, and what is asked of it when they rest. Whatever is wrong is an
 * {@link AssertionError}. One thread at a time.
 */
final class WatchedVolume implements AutoCloseable {

    private static final int PIECE_SECTORS = 2048;
    private static final int VIOLATIONS_TOLD = 6;

    private final FaultySet set;
    private final FaultySet.Volume volume;
    private final Oracle oracle;
    private final Stamp stamp;
    private final List<OracleClient> clients = new ArrayList<>();
    /** Nobody reads journals again before what was applied, so damage there stays. */
    private long journalsWholeFrom;

    private boolean damaged;

    WatchedVolume(FaultySet set, FaultySet.Volume volume, int clients, Random chance) {
        this.set = set;
        this.volume = volume;
        this.oracle = new Oracle(Math.toIntExact(volume.sizeBytes() / Oracle.SECTOR_BYTES));
        this.stamp = new Stamp(chance.nextLong());
        for (int i = 1; i <= clients; i++) {
            this.clients.add(new OracleClient(i, oracle, stamp, set.nbd(), volume.name(), chance.nextLong()));
        }
    }

    String name() {
        return volume.name();
    }

    /** One agent alone may go on. */
    boolean oneCopyIsEnough() {
        return volume.minCopies() < 2;
    }

    void resume(int requestsPerSecond, boolean hot) {
        clients.forEach(client -> client.resume(requestsPerSecond, hot));
    }

    /** Clients issue no more. */
    void stop() {
        clients.forEach(OracleClient::stop);
    }

    void awaitQuiet() {
        clients.forEach(OracleClient::awaitQuiet);
    }

    void awaitAcknowledged(int more) {
        long goal = oracle.acknowledged() + more;
        try {
            await().atMost(LiveSet.PATIENCE).pollInterval(Duration.ofMillis(10)).until(() -> {
                check();
                return oracle.acknowledged() >= goal;
            });
        } catch (ConditionTimeoutException e) {
            throw new AssertionError("writes to " + name() + " are not acknowledged: " + set, e);
        }
    }

    /** No client failed, or read what cannot be. */
    void check() {
        for (OracleClient client : clients) {
            Throwable failure = client.failure();
            if (failure != null) {
                throw new AssertionError("a client of " + name() + " failed: " + failure, failure);
            }
            if (!client.violations().isEmpty()) {
                throw new AssertionError(
                        "a client of " + name() + " read what cannot be:\n" + tell(client.violations()));
            }
        }
    }

    /** From here to the next audit its journals may differ. */
    void damaged() {
        damaged = true;
    }

    /** All copies have lost their memory. Clients have stopped and are quiet. What is on disks by the volume's level stays. */
    void powerLoss() {
        if (volume.level() != AckLevel.DURABLE) {
            oracle.powerLoss();
        }
    }

    /** Reads everything; clients rest, and are quiet. */
    void auditContent() {
        check();
        List<Violation> violations = new ArrayList<>();
        await("volume " + name() + " can be read from one end to the other: " + set)
                .atMost(LiveSet.PATIENCE)
                .until(() -> readAll(violations));
        if (!violations.isEmpty()) {
            throw new AssertionError(violations.size() + " sectors of " + name() + " are wrong:\n" + tell(violations));
        }
    }

    /** Compares the journals of both replicas, which have everything. */
    void auditJournals() {
        if (damaged) {
            damaged = false;
            journalsWholeFrom = set.end(name());
        }
        long at = set.journalMismatch(name(), journalsWholeFrom);
        if (at >= 0) {
            throw new AssertionError("the journals of " + name() + " differ in the record at position " + at);
        }
    }

    long acknowledged() {
        return oracle.acknowledged();
    }

    long unknown() {
        return oracle.unknown();
    }

    long flushes() {
        return oracle.flushes();
    }

    /** By audits, and by reads of clients. */
    long sectorsChecked() {
        return oracle.sectorsRead();
    }

    /** How often each error was answered. */
    Map<Integer, Integer> errors() {
        Map<Integer, Integer> errors = new TreeMap<>();
        clients.forEach(client -> client.errors().forEach((error, times) -> errors.merge(error, times, Integer::sum)));
        return errors;
    }

    @Override
    public void close() {
        clients.forEach(OracleClient::close);
    }

    private static String tell(List<Violation> violations) {
        StringBuilder told = new StringBuilder();
        violations.stream()
                .limit(VIOLATIONS_TOLD)
                .forEach(violation -> told.append(violation).append('\n'));
        return told.toString();
    }

    private boolean readAll(List<Violation> violations) {
        for (InetSocketAddress agent : set.nbd()) {
            try (NbdConnection connection = NbdConnection.open(agent, name(), 5_000)) {
                Flush flush = oracle.issueFlush();
                connection.send(NbdConnection.FLUSH, 0, 1, 0, 0, new byte[0]);
                if (connection.receive(30_000).error() != 0) {
                    return false;
                }
                oracle.flushed(flush);
                for (int at = 0; at < oracle.size(); at += PIECE_SECTORS) {
                    int sectors = Math.min(PIECE_SECTORS, oracle.size() - at);
                    Read read = oracle.beginRead(at, sectors);
                    boolean answered = false;
                    try {
                        connection.send(
                                NbdConnection.READ,
                                0,
                                at,
                                (long) at * Oracle.SECTOR_BYTES,
                                sectors * Oracle.SECTOR_BYTES,
                                new byte[0]);
                        if (connection.receive(30_000).error() != 0) {
                            return false;
                        }
                        byte[] data = connection.data(sectors * Oracle.SECTOR_BYTES);
                        answered = true;
                        violations.addAll(oracle.audit(read, stamp.read(data, at)));
                    } finally {
                        if (!answered) {
                            oracle.giveUp(read);
                        }
                    }
                }
                connection.disconnect();
                return true;
            } catch (IOException notHere) {
                // The other one, or not yet.
            }
        }
        return false;
    }
}
