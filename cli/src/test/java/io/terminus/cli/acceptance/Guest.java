package io.terminus.cli.acceptance;

/**
 * Something that uses a volume of its own as people do, and knows what it was promised: a file system, a database. Ends, and
 * comes back, as on a machine whose disk goes away. Whatever is wrong is an {@link AssertionError}. One thread at a time.
 */
interface Guest extends AutoCloseable {

    /** Works on from here, beside whatever goes wrong. */
    void resume();

    /** Works no more, and has left the volume; returns also when that no longer answers. */
    void leave();

    /** Comes back to the volume, which is served, and looks whether all is there that was promised. */
    void comeBack();

    /** How much of what it did, and checked. */
    String summary();

    @Override
    void close();
}
