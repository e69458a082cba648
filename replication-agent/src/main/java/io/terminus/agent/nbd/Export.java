package io.terminus.agent.nbd;

import java.util.List;

/** A block device the server can serve. Its name and size do not change while it is listed. */
public interface Export {

    /** At most 4096 bytes of UTF-8, which is the protocol's limit. */
    String name();

    /** For people: {@code nbdinfo} shows it. */
    String description();

    long sizeBytes();

    /** Whether it is not to be written: whoever tries is refused with EPERM. */
    default boolean readOnly() {
        return false;
    }

    /** What {@link ClientSession#status} can tell; without {@link MetaContext#ALLOCATION} reads are never sparse. */
    List<MetaContext> contexts();

    /**
     * A new client, before its handshake is answered. Called by the connection's reader, as is everything on the session.
     *
     * @throws DeviceException if it cannot be served after all; the client is told the message
     */
    ClientSession attach(Replies replies) throws DeviceException;

    /** A client was answered with this error, whoever found it. Any thread. */
    default void failed(Failure why) {}
}
