package io.terminus.cli.acceptance;

import java.nio.file.Path;
import java.util.List;

/** What the data of each process of a set lies on. */
interface Disks extends AutoCloseable {

    /** Those of this machine. */
    static Disks ordinary() {
        return new Disks() {
            @Override
            public void attach(String process, Path directory) {}

            @Override
            public boolean canFill() {
                return false;
            }

            @Override
            public void close() {}
        };
    }

    /** Once, before the process is started for the first time. */
    void attach(String process, Path directory);

    /** They are small, and nobody else's. */
    boolean canFill();

    /** What was not flushed can be lost: they are {@link PowerDisks}. */
    default boolean losePower() {
        return false;
    }

    /** What stands before a command that is to run on this disk's machine. */
    default List<String> place(String process) {
        return List.of();
    }

    /** No process uses them any more. */
    @Override
    void close();
}
