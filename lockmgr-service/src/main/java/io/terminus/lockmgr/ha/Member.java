package io.terminus.lockmgr.ha;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.ratis.protocol.RaftPeer;

/**
 * One of a group.
 *
 * @param id stays with its data directory
 * @param raftAddress host:port, where the other members reach it
 * @param clientAddress host:port, where clients reach it
 */
public record Member(String id, String raftAddress, String clientAddress) {

    private static final Pattern TEXT =
            Pattern.compile("(?<id>[A-Za-z0-9._-]{1,64})=(?<raft>[^/,=]+:\\d{1,5})/(?<client>[^/,=]+:\\d{1,5})");

    /** @throws IllegalArgumentException unless it is ID=RAFTHOST:PORT/CLIENTHOST:PORT */
    public static Member parse(String text) {
        Matcher parts = TEXT.matcher(text);
        if (!parts.matches()) {
            throw new IllegalArgumentException(
                    "member '" + text + "' is not ID=HOST:PORT/HOST:PORT, for the group and for clients");
        }
        return new Member(parts.group("id"), parts.group("raft"), parts.group("client"));
    }

    /** A host may have colons of its own. */
    public int raftPort() {
        return Integer.parseInt(raftAddress.substring(raftAddress.lastIndexOf(':') + 1));
    }

    /** The group's log keeps these, so that every member knows where clients are to be sent. */
    RaftPeer asPeer() {
        return RaftPeer.newBuilder()
                .setId(id)
                .setAddress(raftAddress)
                .setClientAddress(clientAddress)
                .build();
    }

    static Member of(RaftPeer peer) {
        return new Member(peer.getId().toString(), peer.getAddress(), peer.getClientAddress());
    }

    @Override
    public String toString() {
        return id + "=" + raftAddress + "/" + clientAddress;
    }
}
