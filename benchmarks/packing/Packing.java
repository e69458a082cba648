import com.github.luben.zstd.ZstdCompressCtx;
import com.github.luben.zstd.ZstdDecompressCtx;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import net.jpountz.lz4.LZ4Factory;

/**
 * What it costs to pack runs of 120 KiB, and what is left of them: java -cp 'replication-agent/target/lib/*' benchmarks/packing/Packing.java
 * FILE. The first of the three lines is cold.
 */
public class Packing {

    private static final int RUN = 120 << 10;

    public static void main(String[] files) throws Exception {
        byte[] bytes = Files.readAllBytes(Path.of(files[0]));
        int runs = Math.min(200, bytes.length / RUN);
        ByteBuffer plain = ByteBuffer.allocateDirect(RUN);
        ByteBuffer packed = ByteBuffer.allocateDirect(RUN + 4096);
        ByteBuffer back = ByteBuffer.allocateDirect(RUN);
        LZ4Factory lz4 = LZ4Factory.fastestInstance();
        ZstdCompressCtx zstd = new ZstdCompressCtx();
        zstd.setLevel(1);
        ZstdDecompressCtx unzstd = new ZstdDecompressCtx();
        for (int round = 0; round < 3; round++) {
            long[] nanos = new long[4];
            long[] left = new long[2];
            for (int i = 0; i < runs; i++) {
                plain.clear().put(bytes, i * RUN, RUN).flip();
                long a = System.nanoTime();
                int count = lz4.fastCompressor().compress(plain, 0, RUN, packed, 0, packed.capacity());
                long b = System.nanoTime();
                lz4.safeDecompressor().decompress(packed, 0, count, back, 0, RUN);
                long c = System.nanoTime();
                int other = zstd.compressDirectByteBuffer(packed, 0, packed.capacity(), plain, 0, RUN);
                long d = System.nanoTime();
                unzstd.decompressDirectByteBuffer(back, 0, RUN, packed, 0, other);
                long e = System.nanoTime();
                nanos[0] += b - a;
                nanos[1] += c - b;
                nanos[2] += d - c;
                nanos[3] += e - d;
                left[0] += count;
                left[1] += other;
            }
            double mib = runs * (double) RUN / (1 << 20);
            System.out.printf(
                    Locale.ROOT,
                    "ms a MiB: lz4 %.2f, back %.2f, to %d %%; zstd %.2f, back %.2f, to %d %%%n",
                    nanos[0] / 1e6 / mib,
                    nanos[1] / 1e6 / mib,
                    100 * left[0] / runs / RUN,
                    nanos[2] / 1e6 / mib,
                    nanos[3] / 1e6 / mib,
                    100 * left[1] / runs / RUN);
        }
    }
}
