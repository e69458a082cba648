package io.terminus.agent.volume;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.journal.JournalException;
import io.terminus.agent.journal.RecordKind;
import io.terminus.agent.volume.VolumeAuthority.Grant;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** What is told of a volume to those who look. Any thread; nothing is held up by it, and what it says may be over. */
final class StatusView {

    private final Surroundings around;
    private final KnownBlock known;
    private final RoleState roles;
    private final WriterSeat seat;
    private final Candidacy candidacy;

    StatusView(Surroundings around, KnownBlock known, RoleState roles, WriterSeat seat, Candidacy candidacy) {
        this.around = around;
        this.known = known;
        this.roles = roles;
        this.seat = seat;
        this.candidacy = candidacy;
    }

    Volume.JournalFill journalFill() {
        Journal journal = around.replica().journal();
        long applied = around.replica().applied();
        long durable = journal.durable();
        long oldest = journal.oldest();
        long checkpoint = around.replica().checkpoint();
        long end = journal.end(); // last: it is never behind the others
        return new Volume.JournalFill(
                end - oldest,
                around.replica().budgetBytes(),
                Math.max(0, checkpoint - oldest),
                Math.max(0, end - durable),
                Math.max(0, end - applied));
    }

    /** As {@link Volume#lagBytes}. */
    long lagBytes(long position) {
        Journal journal = around.replica().journal();
        return Math.max(0, journal.end() - Math.max(position, 0));
    }

    /** As {@link Volume#lagNanos}. */
    long lagNanos(long position) {
        Journal journal = around.replica().journal();
        long[] capturedNanos = {0};
        try {
            long end = journal.end();
            long from = Math.max(position, journal.oldest());
            if (from >= end) {
                return 0;
            }
            journal.forEach(from, end, r -> {
                capturedNanos[0] = r.timeNanos();
                return r.kind() == RecordKind.PAD; // it says nothing of when
            });
        } catch (JournalException | IllegalArgumentException e) {
            return 0; // released, cut or closed meanwhile: asked again before long
        }
        Instant now = Instant.now();
        return capturedNanos[0] == 0
                ? 0
                : Math.max(0, now.getEpochSecond() * 1_000_000_000L + now.getNano() - capturedNanos[0]);
    }

    Volume.Status status() {
        VolumeConfig c = known.config();
        Writer w = seat.now();
        Grant g = candidacy.grant();
        Journal journal = around.replica().journal();
        List<Volume.ReplicaStatus> replicas = new ArrayList<>();
        String waitsFor = around.replica().waitingFor();
        replicas.add(new Volume.ReplicaStatus(
                around.agent(),
                around.replica().imagePath(),
                c.member(around.agent()).isPresent(),
                true,
                journal.end(),
                journal.durable(),
                around.replica().applied(),
                waitsFor != null ? waitsFor : around.replica().rebuilding() ? "incomplete: its copy has not ended" : "",
                null,
                around.replica().differingBlocks(),
                null));
        if (w != null) {
            for (PeerCursor p : w.cursors()) {
                String agent = p.address().agent();
                String trouble = p.trouble();
                Verification v = p.verification();
                VerifyProgress verify = v == null ? null : v.progress();
                replicas.add(new Volume.ReplicaStatus(
                        agent,
                        null,
                        c.member(agent).isPresent(),
                        p.streaming(),
                        p.received(),
                        p.durable(),
                        p.applied(),
                        trouble == null ? "" : trouble,
                        p.copyProgress(),
                        verify == null ? 0 : verify.differingBlocks() - verify.mendedBlocks(),
                        verify));
            }
        }
        RoleState.State now = roles.now();
        String waits = w == null ? null : w.whyWritesWait(System.nanoTime());
        return new Volume.Status(
                c,
                known.version(),
                now.role(),
                seat.detail(waits != null ? waits : now.why()),
                around.replica().committed(),
                g == null ? 0 : g.token(),
                waits != null,
                replicas);
    }
}
