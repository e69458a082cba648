package io.terminus.agent.volume;

import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/**
 * What one volume's replica on this agent has done since it was opened, counted where it is done. Its meters end with it.
 *
 * <pre>
 *   client   |--read--|  |-------------------- write -------------------|
 *   batch                |--capture--|                                   answered
 *   peer                             |--forward--|-- the send --|--ack--|
 *   sync                                      |--sync--|
 *   apply                                              |--apply--|
 * </pre>
 *
 * <p>What it costs: a batch of a client reads the clock once, when its first request comes; the other ends are times that
 * the data path reads anyway. Each request's open entry carries that time, and requests of one batch that are answered
 * together are recorded together. A batch adds to a handful of counters, with no lock and no allocation.
 */
public final class VolumeMeasures {

    /** Where the CPU copies payload bytes on their way. */
    public enum Copied {
        /** From the client's socket, or the writer's, to where they can be looked at. */
        RECEIVE,
        /** From there to the record, in memory, of which the checksum is; or to where a small run lands. */
        STAGE,
        /** From the record, or the landing, into the journal's pages. */
        JOURNAL,
        /** From the journal's pages into a socket, or to be compressed; what travels by file region is not copied. */
        SEND,
        /** From the journal's pages into the image's. */
        APPLY
    }

    public enum ElectionOutcome {
        WON,
        LOST
    }

    /** What became of the bytes towards one replica; kept over the terms of this process. */
    public static final class Peer {
        private final Durations forward = new Durations();
        private final Durations ack = new Durations();
        private final LongAdder runs = new LongAdder();
        private final LongAdder runBytes = new LongAdder();
        private final LongAdder gatheredRuns = new LongAdder();
        private final LongAdder packedRuns = new LongAdder();
        private final LongAdder packedFromBytes = new LongAdder();
        private final LongAdder packedToBytes = new LongAdder();
        private final LongAdder copiedItems = new LongAdder();
        private final LongAdder copiedBytes = new LongAdder();

        private Peer() {}

        /** From the end of a batch's capture to the send of the run that holds it; one batch at a time is watched. */
        public Durations forward() {
            return forward;
        }

        /** From the send of a run to the peer's word that it has received it. */
        public Durations ack() {
            return ack;
        }

        public long runs() {
            return runs.sum();
        }

        public long runBytes() {
            return runBytes.sum();
        }

        /** Runs so small that they were copied into the socket, together with their frame. */
        public long gatheredRuns() {
            return gatheredRuns.sum();
        }

        /** Runs that travelled compressed. */
        public long packedRuns() {
            return packedRuns.sum();
        }

        /** Their journal bytes. */
        public long packedFromBytes() {
            return packedFromBytes.sum();
        }

        /** What these were compressed to. */
        public long packedToBytes() {
            return packedToBytes.sum();
        }

        /** Items of copies to a replica that fell behind. */
        public long copyItems() {
            return copiedItems.sum();
        }

        public long copyBytes() {
            return copiedBytes.sum();
        }

        void sent(long bytes, boolean gathered) {
            runs.increment();
            runBytes.add(bytes);
            if (gathered) {
                gatheredRuns.increment();
            }
        }

        void sentPacked(long bytes, long packedBytes) {
            runs.increment();
            runBytes.add(bytes);
            packedRuns.increment();
            packedFromBytes.add(bytes);
            packedToBytes.add(packedBytes);
        }

        void copySent(CopyItem item) {
            copiedItems.increment();
            copiedBytes.add(item.weight());
        }
    }

    private final Durations write = new Durations();
    private final Durations durableWrite = new Durations();
    private final Durations read = new Durations();
    private final Durations capture = new Durations();
    private final Durations sync = new Durations();
    private final Durations imageSync = new Durations();
    private final Durations apply = new Durations();
    private final Map<ElectionOutcome, Durations> elections =
            Map.of(ElectionOutcome.WON, new Durations(), ElectionOutcome.LOST, new Durations());
    private final LongAdder writtenBytes = new LongAdder();
    private final LongAdder readBytes = new LongAdder();
    private final LongAdder landedBytes = new LongAdder();
    private final LongAdder stagedBytes = new LongAdder();
    private final LongAdder appliedBytes = new LongAdder();
    private final LongAdder gatheredBytes = new LongAdder();
    private final LongAdder fenceRefusals = new LongAdder();
    private final LongAdder syncFailures = new LongAdder();
    private final Map<String, Peer> peers = new ConcurrentHashMap<>();

    /** By the protocol's number; as many as it has kinds. */
    private final Map<String, LongAdder> clientErrors = new ConcurrentHashMap<>();

    VolumeMeasures() {}

    // ---- what is shown

    /** From the decoding of the batch with the request to its answer: writes and zeroes that wait to be committed. */
    public Durations write() {
        return write;
    }

    /** The same of what waits to be durable: flushes, FUA, and all writes where the ack level is durable. */
    public Durations durableWrite() {
        return durableWrite;
    }

    /** From the decoding of the batch with the request until its data is ready to be sent. */
    public Durations read() {
        return read;
    }

    /** A batch's requests into the journal. */
    public Durations capture() {
        return capture;
    }

    /** fdatasync of the journal. */
    public Durations sync() {
        return sync;
    }

    /** fdatasync of the image. */
    public Durations imageSync() {
        return imageSync;
    }

    /** One step of apply. */
    public Durations apply() {
        return apply;
    }

    public Durations elections(ElectionOutcome outcome) {
        return Objects.requireNonNull(elections.get(outcome));
    }

    /** Payload of writes that clients asked for here. */
    public long writtenBytes() {
        return writtenBytes.sum();
    }

    public long readBytes() {
        return readBytes.sum();
    }

    /** Journal bytes that a writer elsewhere has sent here. */
    public long landedBytes() {
        return landedBytes.sum();
    }

    public long copiedBytes(Copied where) {
        return switch (where) {
            case RECEIVE, JOURNAL -> writtenBytes.sum() + landedBytes.sum();
            case STAGE -> writtenBytes.sum() + stagedBytes.sum();
            case SEND -> gatheredBytes.sum();
            case APPLY -> appliedBytes.sum();
        };
    }

    /** What older terms, or older tokens, asked for and did not get. */
    public long fenceRefusals() {
        return fenceRefusals.sum();
    }

    public long syncFailures() {
        return syncFailures.sum();
    }

    /** Errors that clients were answered with, by the number's name. */
    public Map<String, LongAdder> clientErrors() {
        return clientErrors;
    }

    public Peer peer(String agent) {
        return peers.computeIfAbsent(agent, a -> new Peer());
    }

    // ---- where it is counted

    /** A client's request was answered with an error. */
    public void clientError(String errno) {
        clientErrors.computeIfAbsent(errno, e -> new LongAdder()).increment();
    }

    void written(long bytes) {
        writtenBytes.add(bytes);
    }

    void wasRead(long bytes) {
        readBytes.add(bytes);
    }

    void landed(long bytes) {
        landedBytes.add(bytes);
    }

    /** What came together with other frames, and was copied to where it landed. */
    void staged(long bytes) {
        stagedBytes.add(bytes);
    }

    void applied(long bytes) {
        appliedBytes.add(bytes);
    }

    void gathered(long bytes) {
        gatheredBytes.add(bytes);
    }

    void fenceRefused() {
        fenceRefusals.increment();
    }

    void syncFailed() {
        syncFailures.increment();
    }
}
