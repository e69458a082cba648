package io.terminus.lockmgr.app;

/** Another member of the group leads, or none: whether the turn that was to be committed is decided is not known here. */
final class LeadLostException extends RuntimeException {

    LeadLostException(String message) {
        super(message);
    }
}
