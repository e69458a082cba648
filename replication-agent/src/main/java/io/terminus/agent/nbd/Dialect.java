package io.terminus.agent.nbd;

/** What the two sides agreed on in the handshake: how long requests are, and what answers look like. */
enum Dialect {
    /** 28-byte requests; every answer is a simple reply. */
    SIMPLE,
    /** 28-byte requests; answers to reads and to questions about blocks come in chunks, all else is a simple reply. */
    STRUCTURED,
    /** 32-byte requests with 64-bit lengths; every answer comes in chunks. */
    EXTENDED;

    int requestBytes() {
        return this == EXTENDED ? 32 : 28;
    }
}
