package io.terminus.simulation.kernel;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.PriorityQueue;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * One run: time, machines, and whose turn it is. Everything that happens is either a step of one {@link Task} or an event at
 * a time, and which comes next is drawn from the seed. A task gives up its turn where it would wait, and now and then where
 * it calls a stand-in ({@link #point}); between two such places it runs alone.
 *
 * <p>Time does not pass by itself: each turn costs a few microseconds, and when no task can run it jumps to the next event.
 *
 * <p>One run at a time in a process.
 */
public final class World {

    private record Event(long atNanos, long number, Runnable what) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            int byTime = Long.compare(atNanos, other.atNanos);
            return byTime != 0 ? byTime : Long.compare(number, other.number);
        }
    }

    /** In real time: after so long of the same turn it is looked at whether it waits. */
    private static final long LOOK_NANOS = 5_000_000_000L;

    /** No turn takes so many looks, however busy the machine is. */
    private static final int MOST_LOOKS = 60;

    @SuppressWarnings("NullAway.Init") // nobody asks before there is a run
    private static volatile World current;

    /** A turn of an earlier run has not ended: it may still do something, in whatever run there is by then. */
    private static volatile boolean spoilt;

    /**
     * Of classes whose static initialisers run now, innermost last. When that is depends on what ran before in this process,
     * so it must not be seen in a run: meanwhile nobody else gets a turn, and chance is the class's own.
     */
    private static final ArrayDeque<Rng> INITIALISING = new ArrayDeque<>();

    private final long seed;
    private final boolean tells;
    private final Rng schedule;
    private final Rng hashes;
    private final Map<String, Host> hosts = new LinkedHashMap<>();
    private final PriorityQueue<Event> events = new PriorityQueue<>();
    private final ArrayList<Task> ready = new ArrayList<>();
    private final ArrayList<String> story = new ArrayList<>();
    private final Net net;
    private final Thread main = Thread.currentThread();

    /** What the stand-ins keep for the length of a run. */
    private final Map<Class<?>, Object> attic = new LinkedHashMap<>();

    /** What happened how often, for who wants to know whether a run has shown anything. */
    private final TreeMap<String, Long> counts = new TreeMap<>();

    private Runnable afterStep = () -> {};
    private long nowNanos;
    private long number;
    private int tasks;
    private long steps;
    private long mostSteps = 20_000_000;
    private int chaos;
    private @Nullable Task running;
    private @Nullable Host seenAs;
    private volatile boolean over;
    private @Nullable String violation;
    private long digest = 0xcbf29ce484222325L;

    public World(long seed, boolean tells) {
        if (spoilt) {
            throw new IllegalStateException("an earlier run in this process has not ended, and would disturb this one");
        }
        this.seed = seed;
        this.tells = tells;
        this.schedule = new Rng(seed, "schedule");
        this.hashes = new Rng(seed, "hashes");
        this.net = new Net(this);
        current = this;
    }

    // ---- what the stand-ins ask

    public static World current() {
        return current;
    }

    /** The task whose turn it is; null in an event or a checker. */
    public static @Nullable Task self() {
        return current.running;
    }

    /** The machine on which this happens. */
    public static Host here() {
        World w = current;
        return w.running != null ? w.running.process().host() : Objects.requireNonNull(w.seenAs);
    }

    public <T> T attic(Class<T> kind, java.util.function.Supplier<T> fresh) {
        Object there = attic.get(kind);
        if (there == null) {
            there = fresh.get();
            attic.put(kind, there);
        }
        return kind.cast(there);
    }

    /** Looks at something as a program on that machine would: its clock, no waiting. */
    public <T> T as(Host host, java.util.function.Supplier<T> look) {
        Host before = seenAs;
        Task wasRunning = running;
        running = null;
        seenAs = host;
        try {
            return look.get();
        } finally {
            seenAs = before;
            running = wasRunning;
        }
    }

    /** Perhaps somebody else's turn. */
    public static void point() {
        World w = current;
        Task self = w.running;
        if (self != null && INITIALISING.isEmpty() && w.schedule.perMille(w.chaos)) {
            w.ready.add(self);
            w.switchAway(self);
        }
    }

    /** Certainly the end of a turn. */
    public static void yieldTurn() {
        World w = current;
        Task self = w.running;
        if (self != null && INITIALISING.isEmpty()) {
            w.ready.add(self);
            w.switchAway(self);
        }
    }

    /** Waits until woken. */
    public static void block() {
        World w = current;
        Task self = w.mustRun();
        self.blocks++;
        self.blocked = true;
        w.switchAway(self);
    }

    /** Waits until woken or until this machine's clock has gone on by so much; true if it was woken. */
    public static boolean block(long localNanos) {
        World w = current;
        Task self = w.mustRun();
        long block = ++self.blocks;
        self.blocked = true;
        boolean[] late = {false};
        long trueNanos = self.process().host().trueNanos(localNanos);
        if (trueNanos < Long.MAX_VALUE / 4) {
            w.after(trueNanos, () -> {
                if (self.blocks == block && self.blocked) {
                    late[0] = true;
                    wake(self);
                }
            });
        }
        w.switchAway(self);
        return !late[0];
    }

    public static void sleep(long localNanos) {
        block(localNanos);
    }

    public static void wake(Task task) {
        if (task.blocked && !task.over()) {
            task.blocked = false;
            current.ready.add(task);
        }
    }

    public static Task spawn(String name, Runnable body) {
        World w = current;
        return w.spawn(w.mustRun().process(), name, body);
    }

    /** A task that can run from now on. */
    public Task spawn(Host.Process process, String name, Runnable body) {
        Task task = new Task(this, process, name, ++tasks, body);
        ready.add(task);
        return task;
    }

    /** One that is not told to run yet. */
    public static Task unstarted(String name, Runnable body) {
        World w = current;
        Host.Process process = w.running != null ? w.running.process() : here().process();
        return new Task(w, process, name, ++w.tasks, body);
    }

    public static void start(Task task) {
        current.ready.add(task);
    }

    /** An exit of the process by its own word. */
    public static void exit(String why) {
        World w = current;
        Task self = w.mustRun();
        w.say(self.process().host().name(), "the process ends: " + why);
        self.process().host().kill();
        w.switchAway(self);
    }

    /** The number an object is hashed by: where it lies in memory would differ from run to run. */
    public static int nextHash() {
        Rng ofClass = ofClass();
        return (int) (ofClass != null ? ofClass : current.hashes).nextLong();
    }

    /** A static initialiser begins. */
    public static void enterInitialiser(String className) {
        INITIALISING.addLast(new Rng(0, className));
    }

    public static void leaveInitialiser() {
        INITIALISING.removeLast();
    }

    /** Chance for the static initialiser that runs now; null if none does. */
    public static @Nullable Rng ofClass() {
        return INITIALISING.peekLast();
    }

    // ---- what a world is made of

    public long seed() {
        return seed;
    }

    public Rng rng(String name) {
        return new Rng(seed, name);
    }

    public Net net() {
        return net;
    }

    public long nowNanos() {
        return nowNanos;
    }

    public long steps() {
        return steps;
    }

    /** How often in a thousand a task gives up its turn where it need not. */
    public void chaos(int perMille) {
        this.chaos = perMille;
    }

    public void afterStep(Runnable checker) {
        this.afterStep = checker;
    }

    public Host host(String name, double rate, long offsetNanos) {
        Host host = new Host(this, name, rate, offsetNanos);
        hosts.put(name, host);
        return host;
    }

    public Host host(String name) {
        Host host = hosts.get(name);
        if (host == null) {
            throw new IllegalArgumentException("no machine " + name);
        }
        return host;
    }

    public Collection<Host> hosts() {
        return hosts.values();
    }

    public void after(long trueNanos, Runnable what) {
        events.add(new Event(nowNanos + Math.max(0, trueNanos), ++number, what));
    }

    void ready(List<Task> tasks) {
        ready.addAll(tasks);
    }

    // ---- the story

    public void say(String who, String what) {
        mix(what);
        if (tells) {
            story.add("%11.6f %-8s %s".formatted(nowNanos / 1e9, who, what));
        }
    }

    /** Is there somebody who reads it? Else whoever says something may save itself the words. */
    public boolean tells() {
        return tells;
    }

    public List<String> story() {
        return story;
    }

    public void count(String what) {
        counts.merge(what, 1L, Long::sum);
    }

    public long counted(String what) {
        return counts.getOrDefault(what, 0L);
    }

    public SortedMap<String, Long> counts() {
        return counts;
    }

    /** Two runs that did the same have the same. */
    public long digest() {
        return digest;
    }

    private void mix(String what) {
        for (int i = 0; i < what.length(); i++) {
            mix(what.charAt(i));
        }
    }

    private void mix(long what) {
        digest = (digest ^ what) * 0x100000001b3L;
    }

    /** Something that must never be. The run ends here; the first one counts. */
    public void violation(String what) {
        if (violation == null) {
            violation = what;
            say("CHECK", what);
        }
        over = true;
    }

    public @Nullable String violation() {
        return violation;
    }

    public void finish() {
        over = true;
    }

    public boolean over() {
        return over;
    }

    // ---- turns

    /** Runs until {@link #finish} or a violation. */
    public void run() {
        hand(next());
        long seen = -1;
        int looks = 0;
        while (!over || running != null) {
            LockSupport.parkNanos(LOOK_NANOS);
            Task late = running;
            if (steps != seen || (over && late == null)) {
                seen = steps;
                looks = 0;
            } else if (++looks >= MOST_LOOKS || looks > 1 && (late == null || late.waits())) {
                // It waits for something real: a lock of the JDK, or a call that has no stand-in.
                violation("the turn of " + late + " does not end: it waits for something outside of the run, at "
                        + (late == null ? "" : late.stack()));
                spoilt = true;
                break;
            }
        }
        net.close();
        hosts.values().forEach(h -> h.disk().close());
    }

    private Task mustRun() {
        Task self = running;
        if (self == null) {
            throw new IllegalStateException("an event or a checker would have to wait");
        }
        return self;
    }

    private void switchAway(Task self) {
        Task next = next();
        if (next != null && next.equals(self)) {
            running = self;
            return;
        }
        hand(next);
        self.awaitTurn();
    }

    private void hand(@Nullable Task next) {
        running = next;
        if (next == null) {
            LockSupport.unpark(main);
        } else {
            next.go();
        }
    }

    void ended(Task task) {
        Object facade = task.facade;
        if (facade instanceof Ending ending) {
            ending.ended();
        }
        hand(next());
    }

    /** Wants to hear when its task is over. */
    public interface Ending {
        void ended();
    }

    void died(Task task, Throwable e) {
        StringWriter trace = new StringWriter();
        e.printStackTrace(new PrintWriter(trace));
        violation("thread " + task + " died: " + trace);
    }

    /** Whose turn is next; null when the run is over. */
    private @Nullable Task next() {
        running = null;
        try {
            while (!over) {
                if (++steps > mostSteps) {
                    violation("after " + steps + " steps there is no end");
                    return null;
                }
                Event due = events.peek();
                if (due != null && due.atNanos <= nowNanos) {
                    events.remove();
                    due.what.run();
                    afterStep.run();
                    continue;
                }
                if (ready.isEmpty()) {
                    if (due == null) {
                        violation("nobody can do anything any more");
                        return null;
                    }
                    nowNanos = due.atNanos;
                    continue;
                }
                Task task = pick();
                Host.Process process = task.process();
                if (process.dead()) {
                    continue;
                }
                if (process.paused()) {
                    process.held.add(task);
                    continue;
                }
                nowNanos += 500 + schedule.below(8_000);
                mix(task.id);
                mix(nowNanos);
                afterStep.run();
                if (!over) {
                    return task;
                }
            }
        } catch (RuntimeException | Error e) {
            StringWriter trace = new StringWriter();
            e.printStackTrace(new PrintWriter(trace));
            violation("an event or a checker failed: " + trace);
        }
        return null;
    }

    private Task pick() {
        int at = schedule.below(ready.size());
        Task task = ready.get(at);
        Task last = ready.removeLast();
        if (at < ready.size()) {
            ready.set(at, last);
        }
        return task;
    }
}
