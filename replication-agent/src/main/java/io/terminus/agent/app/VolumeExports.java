package io.terminus.agent.app;

import io.terminus.agent.nbd.ClientSession;
import io.terminus.agent.nbd.DeviceException;
import io.terminus.agent.nbd.Export;
import io.terminus.agent.nbd.Exports;
import io.terminus.agent.nbd.Failure;
import io.terminus.agent.nbd.MetaContext;
import io.terminus.agent.nbd.Replies;
import io.terminus.agent.nbd.StatusVisitor;
import io.terminus.agent.volume.AllocationVisitor;
import io.terminus.agent.volume.ClientReplies;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.ReplicationVisitor;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volume.NotServedException;
import io.terminus.agent.volume.VolumeClient;
import io.terminus.agent.volume.VolumeClient.LostGrantException;
import io.terminus.agent.volume.Volumes;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Volumes as NBD exports: {@code NAME} is the volume itself, listed while this agent is its writer and relayed while another is; {@code
 * NAME@replica} is what the replica here holds, read-only, whoever writes and however much of it is still to be copied.
 */
record VolumeExports(Volumes volumes, Writers writers) implements Exports {

    /** Flags: those of {@link ReplicationVisitor}. */
    static final MetaContext REPLICATED = new MetaContext("x-terminus:replicated");

    /** No volume's name has an @. */
    private static final String REPLICA = "@replica";

    private static final List<MetaContext> CONTEXTS = List.of(MetaContext.ALLOCATION, REPLICATED);

    private static final Logger LOG = LoggerFactory.getLogger(VolumeExports.class);

    @Override
    public List<Export> list() {
        List<Export> all = new ArrayList<>(served());
        volumes.all().stream()
                .filter(v -> !v.serving() && v.refusesReads() == null)
                .map(ReplicaExport::new)
                .forEach(all::add);
        return all;
    }

    private List<Export> served() {
        return volumes.all().stream()
                .filter(Volume::serving)
                .<Export>map(VolumeExport::new)
                .toList();
    }

    @Override
    public Lookup find(String name) {
        if (name.endsWith(REPLICA)) {
            return replica(name.substring(0, name.length() - REPLICA.length()));
        }
        Volume volume = volumes.byName(name);
        if (name.isEmpty()) {
            List<Export> all = served();
            return all.size() == 1 ? new Lookup.Found(all.getFirst()) : new Lookup.Unknown();
        }
        if (volume == null) {
            return withoutReplica(name);
        }
        if (!volume.serving()) {
            return new Lookup.Elsewhere(name, () -> writers.locate(name));
        }
        return new Lookup.Found(new VolumeExport(volume));
    }

    private Lookup withoutReplica(String name) {
        if (!Volumes.isName(name)) {
            return new Lookup.Unknown(); // any client may ask for anything, and nobody else need be asked
        }
        try {
            return writers.exists(name) ? new Lookup.Elsewhere(name, () -> writers.locate(name)) : new Lookup.Unknown();
        } catch (IOException e) {
            return new Lookup.Unavailable(
                    "whether there is a volume " + name + " is not known at this agent now: " + e.getMessage());
        }
    }

    private Lookup replica(String name) {
        Volume volume = volumes.byName(name);
        if (volume == null) {
            return new Lookup.Unknown();
        }
        String why = volume.refusesReads();
        return why == null ? new Lookup.Found(new ReplicaExport(volume)) : new Lookup.Unavailable(why);
    }

    private record ReplicaExport(Volume volume) implements Export {
        @Override
        public String name() {
            return volume.name() + REPLICA;
        }

        @Override
        public String description() {
            return "replica, to be read only; written by " + volume.config().writer();
        }

        @Override
        public long sizeBytes() {
            return volume.config().sizeBytes();
        }

        @Override
        public boolean readOnly() {
            return true;
        }

        @Override
        public List<MetaContext> contexts() {
            return List.of();
        }

        @Override
        public ClientSession attach(Replies replies) {
            return new ReplicaSession(volume, replies);
        }

        @Override
        public void failed(Failure why) {
            volume.measures().clientError(why.errnoName());
        }
    }

    private record ReplicaSession(Volume volume, Replies replies) implements ClientSession {
        @Override
        public void write(long cookie, long offset, ByteBuffer payload, boolean fua) {
            replies.failed(cookie, Failure.NOT_PERMITTED);
        }

        @Override
        public void zero(long cookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            replies.failed(cookie, Failure.NOT_PERMITTED);
        }

        @Override
        public void flush(long cookie) {
            replies.done(cookie); // nothing was written here
        }

        @Override
        public void read(long offset, ByteBuffer into) throws DeviceException {
            endOfBatch();
            try {
                volume.reads().read(offset, into);
            } catch (RefusedException e) {
                throw DeviceException.failed(Failure.SHUTDOWN, String.valueOf(e.getMessage()));
            } catch (IOException e) {
                LOG.info("volume {}: a read at {} of the replica here: {}", volume.name(), offset, e.getMessage());
                throw DeviceException.failed(Failure.IO_ERROR, String.valueOf(e.getMessage()));
            }
        }

        @Override
        public void status(MetaContext context, long offset, long lengthBytes, StatusVisitor visitor)
                throws DeviceException {
            throw DeviceException.failed(Failure.INVALID, "a replica says nothing about " + context.name());
        }

        @Override
        public void cache(long offset, long lengthBytes) {}

        @Override
        public void endOfBatch() {
            replies.flush();
        }

        @Override
        public void close() {}
    }

    @Override
    public String writer(String name) {
        return writers.known(name);
    }

    private record VolumeExport(Volume volume) implements Export {
        @Override
        public String name() {
            return volume.name();
        }

        @Override
        public String description() {
            return "replicated volume, term " + volume.config().term() + ", "
                    + volume.config().replicas().size() + " replicas";
        }

        @Override
        public long sizeBytes() {
            return volume.config().sizeBytes();
        }

        @Override
        public List<MetaContext> contexts() {
            return CONTEXTS;
        }

        @Override
        public ClientSession attach(Replies replies) throws DeviceException {
            try {
                return new Session(volume.attach(new ToClient(replies)));
            } catch (NotServedException e) {
                throw DeviceException.failed(Failure.SHUTDOWN, String.valueOf(e.getMessage()));
            }
        }

        @Override
        public void failed(Failure why) {
            volume.measures().clientError(why.errnoName());
        }
    }

    private record ToClient(Replies replies) implements ClientReplies {
        @Override
        public void done(long cookie) {
            replies.done(cookie);
        }

        @Override
        public void failed(long cookie, ClientReplies.Failure why) {
            replies.failed(
                    cookie,
                    switch (why) {
                        case NO_SPACE -> io.terminus.agent.nbd.Failure.NO_SPACE;
                        case IO_ERROR -> io.terminus.agent.nbd.Failure.IO_ERROR;
                        case SHUTDOWN -> io.terminus.agent.nbd.Failure.SHUTDOWN;
                    });
        }

        @Override
        public void flush() {
            replies.flush();
        }

        @Override
        public void disconnect(String why) {
            replies.disconnect(why);
        }
    }

    private record Session(VolumeClient client) implements ClientSession {
        @Override
        public void write(long cookie, long offset, ByteBuffer payload, boolean fua) {
            client.write(cookie, offset, payload, fua);
        }

        @Override
        public void zero(long cookie, long offset, long lengthBytes, boolean fua, boolean mayPunch) {
            client.zero(cookie, offset, lengthBytes, fua, mayPunch);
        }

        @Override
        public void flush(long cookie) {
            client.flush(cookie);
        }

        @Override
        public void read(long offset, ByteBuffer into) throws DeviceException {
            asDeviceDoes(() -> client.read(offset, into));
        }

        @Override
        public void status(MetaContext context, long offset, long lengthBytes, StatusVisitor visitor)
                throws DeviceException {
            asDeviceDoes(() -> {
                if (context.equals(REPLICATED)) {
                    client.replication(offset, lengthBytes, visitor::extent);
                } else {
                    client.allocation(offset, lengthBytes, (length, holds) -> visitor.extent(length, flags(holds)));
                }
            });
        }

        private static int flags(AllocationVisitor.Holds holds) {
            return switch (holds) {
                case DATA -> 0;
                case ZEROS -> MetaContext.ZERO;
                case NOTHING -> MetaContext.ZERO | MetaContext.HOLE;
            };
        }

        @Override
        public void cache(long offset, long lengthBytes) {
            try {
                client.willNeed(offset, lengthBytes);
            } catch (IOException e) {
                LOG.debug("read-ahead: {}", e.getMessage()); // the read itself will say it to the client
            }
        }

        private interface Answer {
            void make() throws IOException, LostGrantException;
        }

        private static void asDeviceDoes(Answer answer) throws DeviceException {
            try {
                answer.make();
            } catch (LostGrantException e) {
                throw DeviceException.unanswerable(String.valueOf(e.getMessage()));
            } catch (IOException e) {
                throw DeviceException.failed(Failure.IO_ERROR, String.valueOf(e.getMessage()));
            }
        }

        @Override
        public void endOfBatch() {
            client.endOfBatch();
        }

        @Override
        public void close() {
            client.close();
        }
    }
}
