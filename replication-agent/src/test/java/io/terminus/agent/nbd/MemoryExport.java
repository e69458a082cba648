package io.terminus.agent.nbd;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A device in memory, a whole block of zeros of which is a hole. Fault model: answers can be held back until the test lets them go, in any order and from any
 * thread; every request can be made to fail; a client can be refused.
 */
final class MemoryExport implements Export {

    /** Says of every block its number. */
    static final MetaContext OFFSETS = new MetaContext("x-test:blocks");

    static final int BLOCK_BYTES = 4096;

    private final String name;
    private final byte[] bytes;
    private final List<Runnable> held = new ArrayList<>();
    private boolean holding;

    final AtomicInteger flushes = new AtomicInteger();
    final AtomicInteger writesThrough = new AtomicInteger();
    final AtomicInteger punches = new AtomicInteger();
    final AtomicInteger sessions = new AtomicInteger();
    final AtomicInteger batches = new AtomicInteger();
    final AtomicInteger requests = new AtomicInteger();
    final AtomicInteger reads = new AtomicInteger();
    final AtomicInteger hints = new AtomicInteger();

    /** Reads that reach this offset fail. */
    volatile long badFrom = Long.MAX_VALUE;

    volatile Optional<Failure> failing = Optional.empty();
    volatile boolean unanswerable;
    volatile Optional<String> refusing = Optional.empty();

    MemoryExport(String name, int sizeBytes) {
        this.name = name;
        this.bytes = new byte[sizeBytes];
    }

    /** From now on writes, zeros and flushes take effect but are not answered. */
    synchronized void hold() {
        holding = true;
    }

    /** The answers held back so far, to be given by the test. */
    synchronized List<Runnable> held() {
        return new ArrayList<>(held);
    }

    synchronized byte[] content() {
        return bytes.clone();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String description() {
        return "memory of " + bytes.length + " bytes";
    }

    @Override
    public long sizeBytes() {
        return bytes.length;
    }

    @Override
    public List<MetaContext> contexts() {
        return List.of(MetaContext.ALLOCATION, OFFSETS);
    }

    @Override
    public ClientSession attach(Replies replies) throws DeviceException {
        if (refusing.isPresent()) {
            throw DeviceException.failed(Failure.NOT_PERMITTED, refusing.get());
        }
        sessions.incrementAndGet();
        return new Session(replies);
    }

    private synchronized void answer(Replies replies, long cookie) {
        requests.incrementAndGet();
        Optional<Failure> failure = failing;
        Runnable answer = () -> failure.ifPresentOrElse(why -> replies.failed(cookie, why), () -> replies.done(cookie));
        if (holding) {
            held.add(() -> {
                answer.run();
                replies.flush();
            });
        } else {
            answer.run();
        }
    }

    private final class Session implements ClientSession {
        private final Replies replies;

        Session(Replies replies) {
            this.replies = replies;
        }

        @Override
        public void write(long cookie, long offset, ByteBuffer payload, boolean fua) {
            synchronized (MemoryExport.this) {
                payload.get(bytes, (int) offset, payload.remaining());
            }
            if (fua) {
                writesThrough.incrementAndGet();
            }
            answer(replies, cookie);
        }

        @Override
        public void zero(long cookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            synchronized (MemoryExport.this) {
                Arrays.fill(bytes, (int) offset, (int) (offset + lengthBytes), (byte) 0);
            }
            if (mayPunch) {
                punches.incrementAndGet();
            }
            answer(replies, cookie);
        }

        @Override
        public void flush(long cookie) {
            flushes.incrementAndGet();
            answer(replies, cookie);
        }

        @Override
        public void read(long offset, ByteBuffer into) throws DeviceException {
            reads.incrementAndGet();
            if (unanswerable) {
                throw DeviceException.unanswerable("the grant is gone");
            }
            if (failing.isPresent()) {
                throw DeviceException.failed(failing.get(), "as the test said");
            }
            if (offset + into.remaining() > badFrom) {
                throw DeviceException.failed(Failure.IO_ERROR, "a bad block, as the test said");
            }
            synchronized (MemoryExport.this) {
                into.put(bytes, (int) offset, into.remaining());
            }
        }

        @Override
        public void status(MetaContext context, long offset, long lengthBytes, StatusVisitor visitor)
                throws DeviceException {
            if (failing.isPresent()) {
                throw DeviceException.failed(failing.get(), "as the test said");
            }
            boolean more = true;
            for (long at = offset; at < offset + lengthBytes && more; ) {
                long block = at / BLOCK_BYTES;
                long end = Math.min(bytes.length, (block + 1) * BLOCK_BYTES);
                int flags = context.equals(OFFSETS)
                        ? (int) block
                        : isZero((int) (block * BLOCK_BYTES), (int) end) ? MetaContext.HOLE | MetaContext.ZERO : 0;
                more = visitor.extent(end - at, flags); // also beyond what was asked: the server is to cut that
                at = end;
            }
        }

        private boolean isZero(int from, int to) {
            synchronized (MemoryExport.this) {
                for (int i = from; i < to; i++) {
                    if (bytes[i] != 0) {
                        return false;
                    }
                }
                return true;
            }
        }

        @Override
        public void cache(long offset, long lengthBytes) {
            hints.incrementAndGet();
        }

        @Override
        public void endOfBatch() {
            batches.incrementAndGet();
        }

        @Override
        public void close() {
            sessions.decrementAndGet();
        }
    }
}
