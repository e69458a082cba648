package io.terminus.agent.volume;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * What stands for blocks when two replicas compare what they hold: of each block the first half of its SHA-256. A checksum
 * would not do: blocks that differ and have the same one would stay different for good, and nobody would know.
 *
 * <pre>
 *   0  digest of the first block   16 bytes
 *  16  digest of the second one    16 bytes, and so on; the last block may be shorter than the others
 * </pre>
 */
final class BlockDigests {

    static final int DIGEST_BYTES = 16;

    private BlockDigests() {}

    /** How many bytes the digests of that many bytes have. */
    static int bytesFor(long length) {
        return (int) ((length + ExtentMap.BLOCK_BYTES - 1) / ExtentMap.BLOCK_BYTES) * DIGEST_BYTES;
    }

    static ByteBuffer of(ByteBuffer bytes) {
        MessageDigest sha = sha256();
        ByteBuffer digests = ByteBuffer.allocate(bytesFor(bytes.remaining()));
        for (int at = bytes.position(); at < bytes.limit(); at += ExtentMap.BLOCK_BYTES) {
            sha.update(bytes.slice(at, Math.min(ExtentMap.BLOCK_BYTES, bytes.limit() - at)));
            digests.put(sha.digest(), 0, DIGEST_BYTES);
        }
        return digests.flip();
    }

    /** Bit b is set if block b differs; of at most 64 blocks. */
    static long differing(ByteBuffer one, ByteBuffer other) {
        long blocks = 0;
        for (int block = 0; block * DIGEST_BYTES < one.remaining(); block++) {
            int at = block * DIGEST_BYTES;
            if (one.slice(one.position() + at, DIGEST_BYTES).mismatch(other.slice(other.position() + at, DIGEST_BYTES))
                    >= 0) {
                blocks |= 1L << block;
            }
        }
        return blocks;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
