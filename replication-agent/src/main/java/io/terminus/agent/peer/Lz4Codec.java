package io.terminus.agent.peer;

import java.nio.ByteBuffer;
import net.jpountz.lz4.LZ4Compressor;
import net.jpountz.lz4.LZ4Exception;
import net.jpountz.lz4.LZ4Factory;
import net.jpountz.lz4.LZ4SafeDecompressor;

/** One LZ4 block for a run. Holds no memory of its own: the compressor's table lives on the stack of the call. */
final class Lz4Codec implements RunCodec {

    private final LZ4Compressor compressor = LZ4Factory.fastestInstance().fastCompressor();

    /** The one that believes nothing of what it reads. */
    private final LZ4SafeDecompressor decompressor =
            LZ4Factory.fastestInstance().safeDecompressor();

    @Override
    public int pack(ByteBuffer plain, int bytes, ByteBuffer into) {
        try {
            return compressor.compress(plain, 0, bytes, into, 0, bytes);
        } catch (LZ4Exception e) {
            return NO_SHORTER;
        }
    }

    @Override
    public int unpack(ByteBuffer packed, ByteBuffer into, int atMost) throws MalformedException {
        try {
            return decompressor.decompress(packed, packed.position(), packed.remaining(), into, 0, atMost);
        } catch (LZ4Exception e) {
            throw new MalformedException(e);
        }
    }

    @Override
    public void close() {}
}
