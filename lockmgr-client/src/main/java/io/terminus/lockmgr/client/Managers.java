package io.terminus.lockmgr.client;

import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.terminus.proto.lock.Groups;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The lock managers that may be asked: one, or the members of a group, of which one leads. Who does not lead says who does, if it knows; else
 * they are tried in turn.
 *
 * <p>One thread at a time; {@link #channel} and {@link #shutdownNow} any thread.
 */
final class Managers {

    /** What a member that does not lead says of the one that does, as host:port. */
    private static final Metadata.Key<String> LEADER =
            Metadata.Key.of("terminus-leader", Metadata.ASCII_STRING_MARSHALLER);

    private final int group;
    private final List<String> targets;
    private final Function<String, ManagedChannel> open;
    /** Targets, and leaders that are none of them; guarded by this. A group has few members. */
    private final Map<String, ManagedChannel> channels = new HashMap<>();

    private int next;
    /** Since the last welcome, or the last pause. */
    private int triedInARow;

    private volatile ManagedChannel current;

    /**
     * @param targets host:port, with commas between several
     * @param group that is asked
     * @param open makes the channel to one of them
     */
    Managers(String targets, int group, Function<String, ManagedChannel> open) {
        this.group = group;
        this.targets = Stream.of(targets.split(",")).map(String::strip).toList();
        this.open = open;
        this.current = to(this.targets.getFirst());
    }

    static Managers only(ManagedChannel channel, int group) {
        return new Managers("", group, target -> channel);
    }

    boolean several() {
        return targets.size() > 1;
    }

    /** The one that is asked now. */
    ManagedChannel channel() {
        return current;
    }

    /** For calls that are for the group. */
    Channel calls(Channel channel) {
        return group == 0 ? channel : ClientInterceptors.intercept(channel, Groups.to(group));
    }

    /** It welcomed us. */
    void welcomed() {
        triedInARow = 0;
    }

    /**
     * Nothing can be had of the current one, so the next time another one is asked.
     *
     * @param why how its stream ended; null if it was silent
     * @return true: the other one may be asked at once; false: all have been asked, so not before a pause
     */
    boolean moveOn(@Nullable Throwable why) {
        String leader = why == null ? null : leader(why);
        if (leader == null && targets.size() == 1) {
            current = to(targets.getFirst()); // it may have been one that this one named, and that is gone
            return false;
        }
        if (leader != null) {
            current = to(leader);
        } else {
            next = (next + 1) % targets.size();
            current = to(targets.get(next));
        }
        triedInARow++;
        if (triedInARow > targets.size()) {
            triedInARow = 0;
            return false;
        }
        return true;
    }

    /** The one that a refusal names; null if it names none. Any thread. */
    @Nullable
    ManagedChannel namedBy(Throwable refusal) {
        String leader = leader(refusal);
        return leader == null ? null : to(leader);
    }

    private static @Nullable String leader(Throwable why) {
        Metadata trailers = Status.trailersFromThrowable(why);
        return trailers == null ? null : trailers.get(LEADER);
    }

    private synchronized ManagedChannel to(String target) {
        return channels.computeIfAbsent(target, open);
    }

    synchronized void shutdownNow() {
        channels.values().forEach(ManagedChannel::shutdownNow);
    }
}
