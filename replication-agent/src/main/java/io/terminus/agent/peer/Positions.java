package io.terminus.agent.peer;

import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.RefusedException.Why;

/** What a position in a message has to be, before anything here is measured by it. */
final class Positions {

    /** Records begin at multiples of this, and every position that is told is the begin or the end of one. */
    static final int ALIGNMENT = 128;

    private Positions() {}

    /** Returns the position, which the message calls {@code what}. */
    static long require(String what, long position) throws RefusedException {
        return require(what, position, 0, Long.MAX_VALUE, "");
    }

    /** @param why where {@code most} comes from: the journal's end, or what was sent */
    static long require(String what, long position, long least, long most, String why) throws RefusedException {
        if (position < least || position > most) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    what + " " + position + " is not within [" + least + ", " + most + "]"
                            + (why.isEmpty() ? "" : ": " + why));
        }
        if (position % ALIGNMENT != 0) {
            throw new RefusedException(
                    Why.BAD_MESSAGE,
                    what + " " + position + " is no multiple of " + ALIGNMENT + ", where records begin");
        }
        return position;
    }
}
