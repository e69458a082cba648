package io.terminus.lockmgr.lock;

import static io.terminus.lockmgr.lock.LockModel.SECOND;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * The table against {@link LockModel}: random commands on a small space, everything compared after every step. Some runs
 * restart the table from what its changes said, with and without a window of recovery.
 *
 * <p>{@code -Dterminus.seed=N -Dterminus.seeds=1} repeats one run, {@code -Dterminus.steps=N} makes runs longer.
 */
class LockTableModelTest {

    private static final int SESSIONS = 4;
    private static final String[] VOLUMES = {"v1", "v2"};

    @Test
    void theTableAgreesWithAListInEveryStep() {
        long firstSeed = Long.getLong("terminus.seed", 1);
        int seeds = Integer.getInteger("terminus.seeds", 80);
        int steps = Integer.getInteger("terminus.steps", 5_000);
        Map<String, Integer> seen = new LinkedHashMap<>();
        for (long seed = firstSeed; seed < firstSeed + seeds; seed++) {
            Run run = new Run(seed, seen);
            try {
                run.steps(steps);
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError(
                        "failed with -Dterminus.seed=" + seed + " -Dterminus.seeds=1, in step " + run.step + ", after\n"
                                + run.lastCommands.stream().map(String::valueOf).collect(Collectors.joining("\n")),
                        e);
            }
        }
        if (seeds >= 50) {
            // A random test that never meets a rule says nothing about it.
            assertThat(seen.keySet())
                    .contains(
                            "Granted",
                            "GrantedAll",
                            "Done",
                            "ValueStored",
                            "Recall",
                            "Lost",
                            "RenewalAnswered",
                            "SessionEnded",
                            "Refused WOULD_BLOCK",
                            "Refused DEADLINE",
                            "Refused CANCELLED",
                            "Refused INVALID_ARGUMENT",
                            "Refused INVALID_RANGE",
                            "Refused DEADLOCK",
                            "Refused VERSION_MISMATCH",
                            "Refused NOT_HOLDER",
                            "Refused RECOVERING",
                            "Refused UNKNOWN_SESSION",
                            "Refused UNKNOWN_REQUEST",
                            "Refused UNKNOWN_LOCK");
        }
    }

    private static final class Run {
        final Random random;
        final Map<String, Integer> seen;
        final Settings settings;
        final int space;
        final boolean mostlyStandby;
        final boolean expanding;
        final boolean delaying;
        final List<Object> lastCommands = new ArrayList<>();
        /** What the changes said, as a store keeps it. */
        final Map<Object, Change> durable = new LinkedHashMap<>();
        /** Locks that a restart has forgotten, and that their holders may say again. */
        final List<Change.LockPut> forgotten = new ArrayList<>();

        LockTable table;
        LockModel model;
        long epoch = 1;
        long now;
        long request;
        long lastToken;
        int step;

        Run(long seed, Map<String, Integer> seen) {
            this.seen = seen;
            random = new Random(seed);
            now = random.nextLong(1L << 60);
            settings =
                    Settings.defaults().withTtl(SECOND, 8 * SECOND, 2 * SECOND).withRecall(2 * SECOND, 5 * SECOND);
            expanding = random.nextInt(3) > 0;
            delaying = random.nextBoolean();
            space = random.nextBoolean() ? 64 : 12;
            mostlyStandby = random.nextInt(4) == 0;
            table = new LockTable(settings, epoch, now);
            model = new LockModel(settings, epoch, now, now);
            watchOne();
        }

        /** Who looks on must change nothing. */
        void watchOne() {
            table.watch(VOLUMES[1], true);
        }

        void steps(int steps) {
            for (step = 0; step < steps; step++) {
                if (random.nextInt(1_000) == 0) {
                    restart();
                }
                now += random.nextInt(100) == 0
                        ? random.nextLong(3 * SECOND)
                        : random.nextLong(random.nextInt(4) == 0 ? SECOND / 2 : SECOND / 50);
                Command command = randomCommand();
                lastCommands.add(command);
                if (lastCommands.size() > 60) {
                    lastCommands.removeFirst();
                }
                List<Notice> expected = model.apply(command, now);
                LockTable.Decision decision = table.apply(command, now);
                compareNotices(decision.notices(), expected);
                for (Change change : decision.changes()) {
                    keep(change, command);
                }
                compareState();
                for (LockEvent event : decision.events()) {
                    equal(event.claim().volume(), VOLUMES[1]);
                }
                nobodyIsRecalledForAStandby(decision.notices());
            }
        }

        void restart() {
            epoch++;
            now += random.nextLong(10 * SECOND);
            long recoveryEnd = random.nextBoolean() ? now : now + random.nextLong(3 * SECOND);
            lastCommands.add("restart at " + now);
            forgotten.clear();
            if (recoveryEnd > now && random.nextBoolean()) {
                for (LockModel.Item lock : List.copyOf(model.items)) {
                    if (lock.held && random.nextInt(3) == 0) {
                        model.items.remove(lock);
                        forgotten.add((Change.LockPut) durable.remove(lock.id));
                    }
                }
            }
            table = new LockTable(settings, epoch, now, recoveryEnd);
            table.restore(durable.values());
            model.restart(epoch, now, recoveryEnd);
            watchOne();
        }

        Command randomCommand() {
            String session = "s" + random.nextInt(SESSIONS);
            request++;
            if (!model.sessions.containsKey(session) && random.nextInt(3) > 0) {
                return new Command.OpenSession(session, "owner-of-" + session, 8 * SECOND);
            }
            if (!forgotten.isEmpty() && model.recovering && random.nextInt(3) == 0) {
                return randomReassert(session);
            }
            return switch (random.nextInt(36)) {
                case 0, 1, 2, 3, 4, 5, 6 -> randomAcquire(session, request);
                case 7 -> randomAcquire(session, earlierRequest());
                case 8, 9, 10 -> new Command.Release(session, request, someItem(session, true).id);
                case 11 -> new Command.Cancel(session, request, someItem(session, random.nextInt(4) == 0).request);
                case 12, 13 ->
                    new Command.Promote(
                            session, request, someItem(session, false).request, 1 + random.nextLong(8 * SECOND));
                case 14, 15, 16 -> new Command.Renew(session, request);
                case 17 -> new Command.AckLost(session, request, someItem(session, true).id);
                case 18 -> new Command.AckLost(session, request, someLost(session).id);
                case 19 -> new Command.Progress(session, request, someItem(session, true).id, random.nextInt(100));
                case 20 ->
                    random.nextInt(4) == 0
                            ? new Command.ForceRelease(request, randomVolume(), anyItem(session).id)
                            : new Command.Tick();
                case 21 -> randomPut(session);
                case 22 ->
                    random.nextInt(10) == 0
                            ? new Command.CloseSession(session, "test")
                            : new Command.OpenSession(
                                    session, "owner-of-" + session, (random.nextInt(4) == 0 ? 2 : 8) * SECOND);
                case 23, 24, 25 ->
                    new Command.Convert(session, request, someItem(session, true).id, randomMode(), randomWait());
                case 26, 27 -> randomShrink(session, request);
                case 28 -> randomSplit(session, request);
                case 29 ->
                    switch (random.nextInt(3)) {
                        case 0 -> randomShrink(session, earlierRequest());
                        case 1 -> randomSplit(session, earlierRequest());
                        default ->
                            new Command.Convert(
                                    session, earlierRequest(), someItem(session, true).id, randomMode(), randomWait());
                    };
                case 30, 31 -> randomAtomic(session);
                case 32 -> {
                    String volume = randomVolume();
                    yield delaying && random.nextInt(5) == 0
                            ? new Command.ConfigureVolume(
                                    request, volume, "uuid-of-" + volume, random.nextLong(3) * SECOND)
                            : new Command.Tick();
                }
                default -> new Command.Tick();
            };
        }

        long earlierRequest() {
            return Math.max(1, request - random.nextInt(50));
        }

        Mode randomMode() {
            return Mode.values()[random.nextInt(6)];
        }

        long randomWait() {
            return random.nextInt(4) == 0 ? 0 : 1 + random.nextLong(10 * SECOND);
        }

        Command randomShrink(String session, long requestId) {
            LockModel.Item lock = someItem(session, true);
            LockModel.Item recalled = pick(model.items.stream()
                    .filter(i -> i.recalled && i.keepEnd != 0)
                    .toList());
            if (recalled.held && random.nextInt(3) > 0) {
                return new Command.Shrink(
                        recalled.session, requestId, recalled.id, recalled.keepStart, recalled.keepEnd);
            }
            long start = lock.start + random.nextInt(Math.clamp(lock.end - lock.start, 1, 8));
            long end = lock.end - random.nextInt(Math.clamp(lock.end - lock.start, 1, 8));
            return new Command.Shrink(session, requestId, lock.id, start, random.nextInt(20) == 0 ? end + 20 : end);
        }

        Command randomSplit(String session, long requestId) {
            LockModel.Item lock = someItem(session, true);
            long at = lock.start + random.nextInt(Math.clamp(lock.end - lock.start, 1, 64) + 1);
            return new Command.Split(session, requestId, lock.id, at);
        }

        Command randomAtomic(String session) {
            Command.Acquire first = (Command.Acquire) randomAcquire(session, request);
            List<Command.Part> also = new ArrayList<>();
            for (int i = random.nextInt(3); i >= 0; i--) {
                Command.Acquire part = (Command.Acquire) randomAcquire(session, request);
                also.add(new Command.Part(part.volume(), part.volumeUuid(), part.start(), part.end(), part.mode()));
            }
            return new Command.Acquire(
                    session,
                    random.nextInt(10) == 0 ? earlierRequest() : request,
                    first.volume(),
                    first.volumeUuid(),
                    first.start(),
                    first.end(),
                    first.mode(),
                    Math.max(0, first.waitNanos()),
                    false,
                    first.desiredStart(),
                    first.desiredEnd(),
                    also);
        }

        /** As it was granted, mostly; else with a token or a range that may be in another's way. */
        Command randomReassert(String session) {
            Change.LockPut lock = forgotten.get(random.nextInt(forgotten.size()));
            boolean changed = random.nextInt(4) == 0;
            long start = changed ? lock.start() / 2 : lock.start();
            long end = changed && lock.end() < 1 << 10 ? lock.end() + random.nextInt(20) : lock.end();
            return new Command.Reassert(
                    random.nextInt(8) == 0 ? session : lock.sessionId(),
                    random.nextInt(8) == 0 ? earlierRequest() : request,
                    lock.volume(),
                    random.nextInt(10) == 0 ? "another-uuid" : "uuid-of-" + lock.volume(),
                    lock.requestedStart(),
                    lock.requestedEnd(),
                    start,
                    end,
                    lock.mode(),
                    lock.lockId(),
                    lock.token() + (changed ? random.nextInt(10) - 5 : 0));
        }

        Command randomAcquire(String session, long requestId) {
            long start = random.nextInt(space);
            long end = start + 1 + random.nextInt((int) Math.min(space - start, 1 + random.nextInt(space)));
            if (random.nextInt(6) == 0) {
                start = 0;
                end = Long.MAX_VALUE;
            }
            boolean standby = random.nextInt(10) < (mostlyStandby ? 7 : 2);
            long waitNanos = switch (random.nextInt(4)) {
                case 0 -> 0;
                case 1 -> standby ? -1 : 1 + random.nextLong(SECOND);
                default -> 1 + random.nextLong(10 * SECOND);
            };
            boolean grows = expanding && random.nextInt(3) == 0;
            String volume = randomVolume();
            return new Command.Acquire(
                    session,
                    requestId,
                    volume,
                    "uuid-of-" + volume,
                    start,
                    end,
                    randomMode(),
                    waitNanos,
                    standby,
                    grows ? random.nextLong(start + 1) : 0,
                    grows ? end + Math.min(random.nextInt(space), Long.MAX_VALUE - end) : 0,
                    List.of());
        }

        Command randomPut(String session) {
            LockModel.Item lock = someItem(session, true);
            String volume = lock.volume.isEmpty() || random.nextInt(5) == 0 ? randomVolume() : lock.volume;
            LockModel.Value value = model.values.getOrDefault(volume, new LockModel.Value());
            boolean again = value.version > 0 && random.nextInt(3) == 0;
            return new Command.PutValue(
                    again ? value.session : session,
                    again ? value.request : request,
                    volume,
                    lock.id,
                    random.nextInt(3) == 0 ? value.version + 1 : value.version,
                    new byte[0]);
        }

        String randomVolume() {
            return VOLUMES[random.nextInt(10) < 7 ? 0 : 1];
        }

        /** Mostly one of the session's, now and then anybody's, or one that is nobody's. */
        LockModel.Item someItem(String session, boolean held) {
            boolean anybody = random.nextInt(10) == 0;
            return pick(model.items.stream()
                    .filter(i -> i.held == held && (anybody || i.session.equals(session)))
                    .toList());
        }

        LockModel.Item anyItem(String session) {
            return random.nextBoolean()
                    ? someItem(session, true)
                    : pick(model.items.stream().filter(i -> i.held).toList());
        }

        LockModel.Item someLost(String session) {
            return pick(model.items.stream()
                    .filter(i -> i.revoked && i.session.equals(session))
                    .toList());
        }

        LockModel.Item pick(List<LockModel.Item> items) {
            return items.isEmpty() ? new LockModel.Item() : items.get(random.nextInt(items.size()));
        }

        void keep(Change change, Command command) {
            switch (change) {
                case Change.SessionOpened opened -> durable.put(opened.sessionId(), opened);
                case Change.SessionClosed closed -> durable.remove(closed.sessionId());
                case Change.VolumePut created -> durable.put("volume " + created.volume(), created);
                case Change.VolumeGone gone -> {
                    LockModel.Value value = model.values.remove(gone.volume());
                    assertThat(value).isNotNull().matches(v -> v.version == 0 && v.lockDelay == 0);
                    assertThat(model.items).noneMatch(item -> item.volume.equals(gone.volume()));
                    assertThat(durable.remove("volume " + gone.volume())).isNotNull();
                }
                case Change.LockPut put -> {
                    Change.LockPut before = (Change.LockPut) durable.remove(put.lockId());
                    durable.put(put.lockId(), put);
                    if (before == null || before.token() != put.token()) {
                        tokenIsNew(put, command);
                    }
                }
                case Change.LockGone gone ->
                    assertThat(durable.remove(gone.lockId())).isNotNull();
                case Change.ValuePut put -> durable.put("value " + put.volume(), put);
            }
        }

        void compareNotices(List<Notice> actual, List<Notice> expected) {
            assertThat(comparable(actual)).isEqualTo(comparable(expected));
            for (Notice notice : actual) {
                String kind = notice.getClass().getSimpleName()
                        + (notice instanceof Notice.Refused refused ? " " + refused.reason() : "");
                seen.merge(kind, 1, Integer::sum);
            }
        }

        /** As a sorted list without what the model does not know: texts, names of volumes in refusals, bytes. */
        static List<String> comparable(List<Notice> notices) {
            List<String> comparable = new ArrayList<>(notices.size());
            for (Notice notice : notices) {
                comparable.add(
                        switch (notice) {
                            case Notice.Refused r ->
                                "Refused " + r.sessionId() + " " + r.requestId() + " " + r.reason();
                            case Notice.ValueStored v ->
                                "Stored " + v.sessionId() + " " + v.requestId() + " " + v.volume() + " " + v.version();
                            case Notice.SessionEnded e -> "Ended " + e.sessionId();
                            case Notice.Lost l -> "Lost " + l.sessionId() + " " + l.lockId();
                            default -> notice.toString();
                        });
            }
            comparable.sort(null);
            return comparable;
        }

        void compareState() {
            for (String volume : VOLUMES) {
                List<ClaimView.LockView> locks =
                        inOrderOfAge(table.locks(LockQuery.all(volume, 1_000)).items());
                List<ClaimView.WaiterView> waiters =
                        inOrderOfAge(table.waiters(LockQuery.all(volume, 1_000)).items());
                compare(volume, locks, waiters);
                noTwoLocksConflict(locks);
            }
            equal(table.sessions().size(), model.sessions.size());
            for (Map.Entry<String, LockModel.SessionState> entry : model.sessions.entrySet()) {
                LockTable.SessionView view = table.session(entry.getKey()).orElseThrow();
                equal(view.leaseEndNanos(), entry.getValue().leaseEnd);
            }
            equal(table.recovering(), model.recovering);
            if (step % 50 == 0) {
                List<Change> snapshot = new ArrayList<>();
                table.forEachDurable(snapshot::add);
                assertThat(snapshot).containsExactlyInAnyOrderElementsOf(durable.values());
                assertThat(model.hasCycle()).isFalse();
                pagesShowTheSame();
                nobodyWaitsForNothing();
            }
        }

        /** Listings come in the order of starts. */
        static <V extends ClaimView> List<V> inOrderOfAge(List<V> views) {
            for (int i = 1; i < views.size(); i++) {
                if (views.get(i).start() < views.get(i - 1).start()) {
                    throw new AssertionError("not in the order of starts: " + views);
                }
            }
            List<V> sorted = new ArrayList<>(views);
            sorted.sort(Comparator.comparingLong(ClaimView::id));
            return sorted;
        }

        void pagesShowTheSame() {
            String volume = VOLUMES[0];
            List<ClaimView> all =
                    new ArrayList<>(table.locks(LockQuery.all(volume, 1_000)).items());
            List<ClaimView> paged = new ArrayList<>();
            int limit = 1 + random.nextInt(3);
            String token = "";
            do {
                LockQuery.Page<ClaimView.LockView> page =
                        table.locks(new LockQuery(volume, 0, 0, null, "", token, limit));
                assertThat(page.items().size()).isLessThanOrEqualTo(limit);
                paged.addAll(page.items());
                token = page.next();
            } while (!token.isEmpty());
            equal(paged, all);
        }

        void compare(String volume, List<ClaimView.LockView> locks, List<ClaimView.WaiterView> waiters) {
            List<LockModel.Item> items = new ArrayList<>();
            for (LockModel.Item item : model.items) {
                if (item.volume.equals(volume)) {
                    items.add(item);
                }
            }
            items.sort(Comparator.comparingLong(item -> item.id));
            equal(items.size(), locks.size() + waiters.size());
            int lock = 0;
            int waiter = 0;
            for (LockModel.Item item : items) {
                String owner = "owner-of-" + item.session;
                if (item.held) {
                    equal(
                            locks.get(lock++),
                            new ClaimView.LockView(
                                    item.id,
                                    volume,
                                    item.requestedStart,
                                    item.requestedEnd,
                                    item.start,
                                    item.end,
                                    item.mode,
                                    item.token,
                                    item.session,
                                    item.delayed ? "" : owner,
                                    item.request,
                                    item.revoked,
                                    item.recalled,
                                    item.delayed));
                } else {
                    ClaimView.WaiterView view = waiters.get(waiter++);
                    equal(
                            view,
                            new ClaimView.WaiterView(
                                    item.id,
                                    volume,
                                    item.start,
                                    item.end,
                                    item.mode,
                                    item.session,
                                    owner,
                                    item.request,
                                    item.standby,
                                    item.converting == null ? 0 : item.converting.id,
                                    view.blockedBy()));
                    compareBlockers(view.blockedBy(), model.blockers(item));
                    if (view.blockedBy().isEmpty() && !item.atomic && !table.recovering()) {
                        throw new AssertionError("nothing is in the way of " + view);
                    }
                }
            }
        }

        /** Sixteen blockers are shown; where there are more, which ones is not said. */
        static void compareBlockers(List<Long> shown, List<LockModel.Item> blockers) {
            equal(shown.size(), Math.min(16, blockers.size()));
            for (LockModel.Item blocker : blockers) {
                if (shown.size() < 16 && !shown.contains(blocker.id)) {
                    throw new AssertionError("blockers " + shown + " lack " + blocker.id);
                }
            }
        }

        /** Plain comparison first: an assertion object for each of millions of comparisons would be most of the run. */
        static void equal(Object actual, Object expected) {
            if (!actual.equals(expected)) {
                assertThat(actual).isEqualTo(expected);
            }
        }

        static void noTwoLocksConflict(List<ClaimView.LockView> locks) {
            for (int i = 0; i < locks.size(); i++) {
                for (int j = i + 1; j < locks.size(); j++) {
                    ClaimView.LockView a = locks.get(i);
                    ClaimView.LockView b = locks.get(j);
                    if (a.start() < b.end() && b.start() < a.end() && !a.mode().compatibleWith(b.mode())) {
                        throw new AssertionError("conflicting locks " + a + " and " + b);
                    }
                }
            }
        }

        /** Of an atomic request one part may be free, not all. */
        void nobodyWaitsForNothing() {
            for (LockModel.Item item : model.items) {
                if (!item.held && !table.recovering()) {
                    List<ClaimView> blockers =
                            table.blockers(item.session, item.request).orElseThrow();
                    if (blockers.isEmpty()) {
                        throw new AssertionError("nothing is in the way of request " + item.request);
                    }
                }
            }
        }

        /** Only what is asserted anew has a token of before. */
        void tokenIsNew(Change.LockPut put, Command command) {
            if (put.token() <= lastToken && !(command instanceof Command.Reassert)) {
                throw new AssertionError("token " + put.token() + " came after " + lastToken);
            }
            lastToken = Math.max(lastToken, put.token());
        }

        void nobodyIsRecalledForAStandby(List<Notice> notices) {
            for (Notice notice : notices) {
                if (notice instanceof Notice.Recall recall
                        && model.items.stream()
                                .filter(item -> item.held && item.id == recall.lockId())
                                .noneMatch(lock ->
                                        model.items.stream().anyMatch(item -> item.asks() && item.conflicts(lock)))) {
                    throw new AssertionError("recalled for nobody but a standby: " + recall);
                }
            }
        }
    }
}
