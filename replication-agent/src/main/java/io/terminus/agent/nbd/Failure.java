package io.terminus.agent.nbd;

/** Why a request failed, and the protocol's number for it. The numbers are NBD's, whatever the system's own are. */
public enum Failure {
    /** The caller may not do this here. */
    NOT_PERMITTED(1),
    /** The device failed. */
    IO_ERROR(5),
    /** The request is wrong; the same request will fail again. */
    INVALID(22),
    /** No space now; the same request may succeed later. */
    NO_SPACE(28),
    /** Not this way: the client is to use another command. */
    UNSUPPORTED(95),
    /** This server is going away; the request was not carried out. */
    SHUTDOWN(108);

    private final int errno;

    Failure(int errno) {
        this.errno = errno;
    }

    /** NBD_EPERM, NBD_EIO, and so on. */
    int errno() {
        return errno;
    }

    /** Its name in C. */
    public String errnoName() {
        return switch (this) {
            case NOT_PERMITTED -> "EPERM";
            case IO_ERROR -> "EIO";
            case INVALID -> "EINVAL";
            case NO_SPACE -> "ENOSPC";
            case UNSUPPORTED -> "EOPNOTSUPP";
            case SHUTDOWN -> "ESHUTDOWN";
        };
    }
}
