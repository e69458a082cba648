package io.terminus.simulation.model;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The hand-over as a small machine of which every state is looked at: lock, value block, terms, seals, the ends of three
 * journals, membership changes. Rules are switches: with all of them on no state may be found in which the writer of the
 * newest term lacks something that was acknowledged; with one off the shortest way to such a state is found.
 *
 * <p>A paused or partitioned writer is one that goes on acting for ever after the lock was given to another: no lease margin is
 * relied upon. An entry of a journal is (term, id), id 0 is the TERM record. Not in the model: time, single lost messages,
 * recycling, images, reads, changes of q, more than three replicas.
 */
public final class HandoverModel {

    /** What can be switched off. */
    public enum Rule {
        SEAL,
        SEAL_DURABLE,
        SEAL_STOPS_WRITER,
        QUORUM,
        JOINT_ACK,
        GROW_CAUGHT_UP,
        REMOVAL_CARRIES_ACKS,
        RECOVERED_COUNTS,
        KEEP_SET_AT_ELECTION,
        TERM_RECORD,
        NEW_TERM_AT_RESTART,
        MEMORY_LOSS_DOES_NOT_COUNT
    }

    /** How many of each may happen in one run of the machine. */
    public record Budget(int writes, int leaseEnds, int kills, int powerLosses, int setChanges) {}

    /** @param trace what happened, in order; empty if nothing is wrong */
    public record Outcome(boolean complete, int states, List<String> trace) {
        public boolean violated() {
            return !trace.isEmpty();
        }
    }

    private static final int N = 3;

    private record Entry(int term, int id) {}

    /**
     * What of the value block counts here.
     *
     * @param set the in-sync set
     */
    public record Block(long version, long term, int writer, Set<Integer> set) {

        /**
         * Whether the machine, with all its rules, ever goes from this block to that one: a member takes the next term and
         * leaves the set as it is; a writer opens its term; a writer takes somebody in, or somebody else out.
         */
        public boolean leadsTo(Block next) {
            if (next.version != version + 1) {
                return false;
            }
            if (next.term == term + 1) {
                return set.contains(next.writer) && next.set.equals(set);
            }
            boolean grows = next.set.containsAll(set) && next.set.size() <= set.size() + 1;
            boolean shrinks = set.containsAll(next.set) && next.set.size() == set.size() - 1;
            return next.term == term && next.writer == writer && (grows || shrinks && next.set.contains(writer));
        }
    }

    /** @param term of a candidate or a writer; 0: neither */
    private record Role(boolean writes, int term, long seen) {
        static final Role NONE = new Role(false, 0, 0);
    }

    private record Pending(long version, Set<Integer> set, boolean stored) {}

    private record Tail(int of, List<Entry> log, boolean lost) {}

    private record Node(
            List<Entry> log,
            int sealed,
            Role role,
            Set<Integer> view,
            long viewVersion,
            @Nullable Pending pending,
            List<Integer> match,
            int ackedAt,
            boolean lost,
            List<Tail> tails) {

        Node log(List<Entry> l) {
            return new Node(l, sealed, role, view, viewVersion, pending, match, ackedAt, lost, tails);
        }

        Node sealed(int s) {
            return new Node(log, s, role, view, viewVersion, pending, match, ackedAt, lost, tails);
        }

        Node role(Role r) {
            return new Node(log, sealed, r, view, viewVersion, pending, match, ackedAt, lost, tails);
        }

        Node view(long version, Set<Integer> s) {
            return new Node(log, sealed, role, s, version, pending, match, ackedAt, lost, tails);
        }

        Node pending(@Nullable Pending p) {
            return new Node(log, sealed, role, view, viewVersion, p, match, ackedAt, lost, tails);
        }

        Node match(int peer, int has) {
            List<Integer> m = new ArrayList<>(match);
            m.set(peer, has);
            return new Node(log, sealed, role, view, viewVersion, pending, List.copyOf(m), ackedAt, lost, tails);
        }

        Node matchAll(int self, int own) {
            List<Integer> m = new ArrayList<>(List.of(0, 0, 0));
            m.set(self, own);
            return new Node(log, sealed, role, view, viewVersion, pending, List.copyOf(m), ackedAt, lost, tails);
        }

        Node acked(int at) {
            return new Node(log, sealed, role, view, viewVersion, pending, match, at, lost, tails);
        }

        Node lost(boolean l) {
            return new Node(log, sealed, role, view, viewVersion, pending, match, ackedAt, l, tails);
        }

        Node tails(List<Tail> t) {
            return new Node(log, sealed, role, view, viewVersion, pending, match, ackedAt, lost, t);
        }
    }

    /** @param holder of the lock; -1: nobody */
    private record State(Block block, int holder, List<Node> nodes, List<Entry> acked, int nextId, Budget left) {
        State with(int n, Node node) {
            List<Node> all = new ArrayList<>(nodes);
            all.set(n, node);
            return new State(block, holder, List.copyOf(all), acked, nextId, left);
        }

        State with(Budget b) {
            return new State(block, holder, nodes, acked, nextId, b);
        }

        State with(Block b) {
            return new State(b, holder, nodes, acked, nextId, left);
        }

        State acked(List<Entry> a) {
            return new State(block, holder, nodes, a, nextId, left);
        }

        State holder(int h) {
            return new State(block, h, nodes, acked, nextId, left);
        }
    }

    /** @param to null if what happens is wrong as such */
    private record Step(String what, @Nullable State to) {}

    private final boolean allAcknowledge;
    private final Set<Rule> on;
    private final int mostTerms;

    /** @param allAcknowledge an acknowledgement needs every member; else two */
    public HandoverModel(boolean allAcknowledge, Set<Rule> off, int mostTerms) {
        this.allAcknowledge = allAcknowledge;
        this.on = EnumSet.complementOf(off.isEmpty() ? EnumSet.noneOf(Rule.class) : EnumSet.copyOf(off));
        this.mostTerms = mostTerms;
    }

    private boolean on(Rule rule) {
        return on.contains(rule);
    }

    private int needed(Set<Integer> set) {
        return allAcknowledge ? set.size() : Math.min(2, set.size());
    }

    /** Looks at every state that can be reached, the near ones first. */
    public Outcome explore(Budget budget, int mostStates) {
        Set<Integer> everybody = Set.of(0, 1, 2);
        List<Node> nodes = new ArrayList<>();
        for (int n = 0; n < N; n++) {
            nodes.add(new Node(
                    List.of(new Entry(1, 0)),
                    1,
                    n == 0 ? new Role(true, 1, 0) : Role.NONE,
                    everybody,
                    0,
                    null,
                    n == 0 ? List.of(1, 1, 1) : List.of(0, 0, 0),
                    n == 0 ? 1 : 0,
                    false,
                    List.of()));
        }
        State first =
                new State(new Block(0, 1, 0, everybody), 0, List.copyOf(nodes), List.of(new Entry(1, 0)), 1, budget);
        Map<State, Step> from = new HashMap<>();
        from.put(first, new Step("", null));
        ArrayDeque<State> queue = new ArrayDeque<>(List.of(first));
        while (!queue.isEmpty()) {
            State s = queue.remove();
            for (Step step : steps(s)) {
                String wrong = step.to == null ? step.what : wrong(s, step.to);
                if (wrong != null) {
                    LinkedList<String> trace = new LinkedList<>();
                    trace.add(step.to == null ? step.what : step.what + "   <-- " + wrong);
                    for (Step by = from.get(s); by != null && by.to != null; by = from.get(by.to)) {
                        trace.addFirst(by.what);
                    }
                    return new Outcome(false, from.size(), trace);
                }
                State to = Objects.requireNonNull(step.to);
                if (from.putIfAbsent(to, new Step(step.what, s)) == null) {
                    queue.add(to);
                }
            }
            if (from.size() > mostStates) {
                return new Outcome(false, from.size(), List.of());
            }
        }
        return new Outcome(true, from.size(), List.of());
    }

    private @Nullable String wrong(State before, State s) {
        boolean moved = !s.block.equals(before.block);
        if (moved && on(Rule.KEEP_SET_AT_ELECTION) && !before.block.leadsTo(s.block)) {
            return s.block + " behind " + before.block + " is no step that simulated lock managers are allowed";
        }
        Node w = s.nodes.get(s.block.writer);
        boolean serves = w.role.writes && w.role.term == s.block.term;
        return serves && !isPrefix(s.acked, w.log)
                ? "acknowledged " + s.acked + " is missing at writer " + s.block.writer + ", which has " + w.log
                : null;
    }

    private static boolean isPrefix(List<Entry> a, List<Entry> b) {
        return a.size() <= b.size() && b.subList(0, a.size()).equals(a);
    }

    private static <T> List<T> plus(List<T> list, T last) {
        List<T> longer = new ArrayList<>(list);
        longer.add(last);
        return List.copyOf(longer);
    }

    private List<Step> steps(State s) {
        List<Step> out = new ArrayList<>();
        for (int n = 0; n < N; n++) {
            Node node = s.nodes.get(n);
            if (node.role.writes) {
                writes(s, n, node, out);
            } else if (node.role.term > 0) {
                stands(s, n, node, out);
            }
            fails(s, n, node, out);
        }
        Budget b = s.left;
        if (s.holder >= 0 && b.leaseEnds > 0) {
            out.add(new Step(
                    "the lease of " + s.holder + " ends",
                    s.holder(-1).with(new Budget(b.writes, b.leaseEnds - 1, b.kills, b.powerLosses, b.setChanges))));
        }
        if (s.holder < 0 && s.block.term < mostTerms) {
            for (int n : new TreeSet<>(s.block.set)) {
                granted(s, n, out);
            }
        }
        return out;
    }

    private void granted(State s, int n, List<Step> out) {
        Node node = s.nodes.get(n);
        int term = Math.toIntExact(s.block.term + 1);
        Set<Integer> set = on(Rule.KEEP_SET_AT_ELECTION) ? s.block.set : Set.of(n);
        Node candidate = node.role(new Role(false, term, s.block.version + 1))
                .sealed(on(Rule.SEAL) ? Math.max(node.sealed, term) : node.sealed)
                .tails(List.of())
                .pending(null);
        out.add(new Step(
                n + " is granted the lock and takes term " + term,
                s.holder(n).with(new Block(s.block.version + 1, term, n, set)).with(n, candidate)));
    }

    private void writes(State s, int n, Node node, List<Step> out) {
        int term = node.role.term;
        Budget b = s.left;
        if (b.writes > 0) {
            List<Entry> log = plus(node.log, new Entry(term, s.nextId));
            State next = s.with(n, node.log(log).match(n, log.size()))
                    .with(new Budget(b.writes - 1, b.leaseEnds, b.kills, b.powerLosses, b.setChanges));
            out.add(new Step(
                    "write " + s.nextId + " at " + n,
                    new State(next.block, next.holder, next.nodes, next.acked, s.nextId + 1, next.left)));
        }
        for (int p = 0; p < N; p++) {
            if (p != n) {
                feeds(s, n, node, p, out);
            }
        }
        int own = 0;
        if (on(Rule.RECOVERED_COUNTS)) {
            own = node.log.indexOf(new Entry(term, 0)) + 1;
        }
        int floor = Math.max(node.ackedAt, own);
        if (!acknowledges(s, n, node, out)) {
            return;
        }
        changesSet(s, n, node, floor, out);
    }

    private void feeds(State s, int n, Node node, int p, List<Step> out) {
        int term = node.role.term;
        Node peer = s.nodes.get(p);
        if (peer.sealed > term) {
            return;
        }
        List<Entry> a = peer.log;
        List<Entry> b = node.log;
        int same = 0;
        while (same < a.size() && same < b.size() && a.get(same).equals(b.get(same))) {
            same++;
        }
        if (a.size() > same && peer.role.writes && peer.role.term >= term
                || same == b.size() && node.match.get(p) == same) {
            return;
        }
        List<Entry> log = same < b.size() ? List.copyOf(b.subList(0, same + 1)) : List.copyOf(a.subList(0, same));
        Node fed = peer.log(log);
        if (on(Rule.SEAL)) {
            fed = fed.sealed(Math.max(peer.sealed, term));
        }
        if (peer.lost && log.equals(b)) {
            fed = fed.lost(false);
        }
        if (peer.role.writes && peer.role.term < term) {
            fed = fed.role(Role.NONE);
        }
        out.add(new Step(n + " feeds " + p, s.with(p, fed).with(n, node.match(p, log.size()))));
    }

    /** False: what it acknowledges contradicts what was acknowledged before. */
    private boolean acknowledges(State s, int n, Node node, List<Step> out) {
        List<Set<Integer>> sets = new ArrayList<>(List.of(node.view));
        if (node.pending != null) {
            if (on(Rule.JOINT_ACK)) {
                sets.add(node.pending.set);
            } else if (node.pending.set.size() < node.view.size()) {
                sets = List.of(node.pending.set);
            }
        }
        int c = node.log.size();
        while (c > node.ackedAt && !enough(sets, n, node, c)) {
            c--;
        }
        if (c > node.ackedAt && (!on(Rule.TERM_RECORD) || node.log.get(c - 1).term == node.role.term)) {
            List<Entry> now = List.copyOf(node.log.subList(0, c));
            if (!isPrefix(s.acked, now) && !isPrefix(now, s.acked)) {
                out.add(new Step(n + " acknowledges " + now + ", but acknowledged is " + s.acked, null));
                return false;
            }
            out.add(new Step(
                    n + " acknowledges " + now.subList(node.ackedAt, c),
                    s.acked(now.size() > s.acked.size() ? now : s.acked).with(n, node.acked(c))));
        }
        return true;
    }

    private boolean enough(List<Set<Integer>> sets, int n, Node node, int position) {
        for (Set<Integer> set : sets) {
            if (holders(set, n, node, position) < needed(set)) {
                return false;
            }
        }
        return true;
    }

    private static long holders(Set<Integer> set, int n, Node node, int position) {
        return set.stream().filter(m -> m == n || node.match.get(m) >= position).count();
    }

    private void changesSet(State s, int n, Node node, int floor, List<Step> out) {
        Budget b = s.left;
        if (b.setChanges > 0 && node.pending == null) {
            Budget less = new Budget(b.writes, b.leaseEnds, b.kills, b.powerLosses, b.setChanges - 1);
            for (int p = 0; p < N; p++) {
                if (p == n) {
                    continue;
                }
                Set<Integer> set = new HashSet<>(node.view);
                String what;
                if (node.view.contains(p)) {
                    set.remove(p);
                    what = " asks to remove ";
                    if (on(Rule.REMOVAL_CARRIES_ACKS) && holders(set, n, node, floor) < needed(set)) {
                        continue;
                    }
                } else {
                    set.add(p);
                    what = " asks to add ";
                    int must = on(Rule.GROW_CAUGHT_UP) ? floor : 1;
                    if (node.match.get(p) < must || on(Rule.MEMORY_LOSS_DOES_NOT_COUNT) && s.nodes.get(p).lost) {
                        continue;
                    }
                }
                out.add(new Step(
                        n + what + p,
                        s.with(n, node.pending(new Pending(node.viewVersion, Set.copyOf(set), false)))
                                .with(less)));
            }
        }
        Pending p = node.pending;
        if (p != null && !p.stored && p.version == s.block.version && s.holder == n) {
            Block next = new Block(s.block.version + 1, s.block.term, s.block.writer, p.set);
            out.add(new Step(
                    "the lock manager stores " + p.set + " for " + n,
                    s.with(next).with(n, node.pending(new Pending(next.version, p.set, true)))));
        }
        if (p != null && p.stored) {
            out.add(new Step(
                    n + " learns that the set is " + p.set,
                    s.with(n, node.view(p.version, p.set).pending(null))));
        }
    }

    private void stands(State s, int n, Node node, List<Step> out) {
        int term = node.role.term;
        for (int x = 0; x < N; x++) {
            int of = x;
            Node other = s.nodes.get(x);
            if (x == n || other.sealed > term || node.tails.stream().anyMatch(t -> t.of == of)) {
                continue;
            }
            Node sealed = other;
            if (on(Rule.SEAL)) {
                sealed = sealed.sealed(term);
                if (on(Rule.SEAL_STOPS_WRITER) && other.role.term > 0 && other.role.term < term) {
                    sealed = sealed.role(Role.NONE).pending(null);
                }
            }
            List<Tail> tails = new ArrayList<>(node.tails);
            tails.add(new Tail(x, other.log, other.lost));
            tails.sort((a, b) -> Integer.compare(a.of, b.of));
            out.add(new Step(n + " collects from " + x, s.with(x, sealed).with(n, node.tails(List.copyOf(tails)))));
        }
        List<Tail> members = new ArrayList<>(node.tails);
        members.add(new Tail(n, node.log, node.lost));
        members.removeIf(t -> !s.block.set.contains(t.of));
        long count = members.stream()
                .filter(t -> !on(Rule.MEMORY_LOSS_DOES_NOT_COUNT) || !t.lost)
                .count();
        int size = s.block.set.size();
        int need = on(Rule.QUORUM) ? size - needed(s.block.set) + 1 : 1;
        if (s.block.version != node.role.seen || s.holder != n || count < need || members.isEmpty()) {
            return; // a site of which all lost their memory is started with a loss that is declared: not looked at
        }
        List<Entry> best = members.getFirst().log;
        for (Tail t : members) {
            int byTerm = Integer.compare(t.log.getLast().term, best.getLast().term);
            if (byTerm > 0 || byTerm == 0 && t.log.size() > best.size()) {
                best = t.log;
            }
        }
        List<Entry> log = on(Rule.TERM_RECORD) ? plus(best, new Entry(term, 0)) : best;
        Block next = new Block(s.block.version + 1, term, n, s.block.set);
        Node writer = node.log(log)
                .sealed(Math.max(node.sealed, term))
                .role(new Role(true, term, 0))
                .view(next.version, s.block.set)
                .pending(null)
                .matchAll(n, log.size())
                .acked(0)
                .tails(List.of());
        out.add(new Step(
                n + " opens term " + term + " with " + log, s.with(next).with(n, writer)));
    }

    private void fails(State s, int n, Node node, List<Step> out) {
        Budget b = s.left;
        if (b.kills > 0 && (node.role.term > 0 || !on(Rule.SEAL_DURABLE))) {
            Node killed = node.role(Role.NONE).pending(null).tails(List.of());
            if (!on(Rule.SEAL_DURABLE)) {
                killed = killed.sealed(node.log.getLast().term);
            }
            out.add(new Step(
                    "kill -9 " + n,
                    s.with(n, killed)
                            .with(new Budget(b.writes, b.leaseEnds, b.kills - 1, b.powerLosses, b.setChanges))));
        }
        if (b.powerLosses > 0 && node.log.size() > 1) {
            Budget less = new Budget(b.writes, b.leaseEnds, b.kills, b.powerLosses - 1, b.setChanges);
            List<Entry> cut = List.copyOf(node.log.subList(0, node.log.size() - 1));
            if (!on(Rule.NEW_TERM_AT_RESTART) && node.role.writes) {
                Node goesOn = node.log(cut)
                        .lost(true)
                        .match(n, cut.size())
                        .pending(null)
                        .acked(Math.min(node.ackedAt, cut.size()));
                out.add(new Step(
                        "power loss " + n + ", which goes on in its term",
                        s.with(n, goesOn).with(less)));
            }
            Node off = node.log(cut)
                    .role(Role.NONE)
                    .lost(true)
                    .pending(null)
                    .tails(List.of())
                    .matchAll(n, 0);
            out.add(new Step("power loss " + n, s.with(n, off).with(less)));
        }
    }

    /** For people: every rule switched off once. */
    public static void main(String[] args) {
        for (Rule rule : Rule.values()) {
            boolean all = Arrays.stream(args).anyMatch("all"::equals);
            Outcome o = new HandoverModel(all, Set.of(rule), 3).explore(new Budget(1, 2, 1, 1, 1), 3_000_000);
            System.out.println("without " + rule + ": " + o.states + " states");
            o.trace.forEach(line -> System.out.println("   " + line));
        }
    }
}
