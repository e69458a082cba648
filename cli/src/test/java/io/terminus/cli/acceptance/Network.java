package io.terminus.cli.acceptance;

import java.util.List;

/** How the processes of a set reach each other, and what can go wrong between them. */
interface Network extends AutoCloseable {

    /** What stands before a command that is to run in this process's place. */
    List<String> place(String process);

    /** Where a process listens, and where the test reaches it whatever is wrong between the processes. */
    String host(String process);

    /** Where one process finds another. */
    String host(String process, String seenBy);

    /** From now on nothing that one process sends reaches the other. Nobody is told. */
    void cut(String from, String to);

    /** From now on what reaches this process comes slowly. */
    void slow(String process);

    boolean canFlip();

    /** Flips a bit of what one agent sends to the other's peer port next, if anything. */
    void flip(String from, String to);

    /** Everything works again. What was cut off comes late, or is sent again. */
    void heal();

    @Override
    void close();
}
