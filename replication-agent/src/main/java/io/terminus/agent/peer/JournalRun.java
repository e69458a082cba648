package io.terminus.agent.peer;

import io.terminus.agent.journal.Journal;
import io.terminus.agent.net.Outbound;
import java.io.IOException;
import java.nio.channels.SocketChannel;

/**
 * Journal bytes [from, to) of one segment, sent by the kernel straight from the file. sendfile takes no snapshot, which
 * is safe here because a journal never changes bytes that a peer has not acknowledged.
 */
final class JournalRun implements Outbound {

    private final Journal journal;
    private final long to;
    private long at;

    JournalRun(Journal journal, long from, long to) {
        this.journal = journal;
        this.at = from;
        this.to = to;
    }

    @Override
    public long transferTo(SocketChannel channel) throws IOException {
        long sent = journal.send(at, to, channel);
        at += sent;
        return sent;
    }

    @Override
    public long remainingBytes() {
        return to - at;
    }
}
