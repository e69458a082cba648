package io.terminus.simulation.standin;

import io.terminus.simulation.kernel.Disk;
import io.terminus.simulation.kernel.SimFileSystem;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import net.openhft.chronicle.hash.ChronicleHashCorruption;
import net.openhft.chronicle.map.ChronicleMap;
import net.openhft.chronicle.map.ChronicleMapBuilder;

/**
 * Stand in for persisted Chronicle maps. Fault model: outlives a kill at any moment, entry by entry; after a loss of power it is
 * as it was at the last sync of its file, and recovery of it may find damage. Not modelled: a map killed in the middle of one
 * change.
 */
public final class Maps {

    private static final int FILE_BYTES = 16 << 10;

    private Maps() {}

    public static ChronicleMapBuilder<?, ?> of(Class<?> key, Class<?> value) {
        return null; // what is said to it has no effect here
    }

    public static ChronicleMapBuilder<?, ?> name(ChronicleMapBuilder<?, ?> b, String name) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> entries(ChronicleMapBuilder<?, ?> b, long entries) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> averageValueSize(ChronicleMapBuilder<?, ?> b, double bytes) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> constantValueSizeBySample(ChronicleMapBuilder<?, ?> b, Object sample) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> maxBloatFactor(ChronicleMapBuilder<?, ?> b, double factor) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> putReturnsNull(ChronicleMapBuilder<?, ?> b, boolean does) {
        return b;
    }

    public static ChronicleMapBuilder<?, ?> removeReturnsNull(ChronicleMapBuilder<?, ?> b, boolean does) {
        return b;
    }

    public static ChronicleMap<?, ?> createPersistedTo(ChronicleMapBuilder<?, ?> b, File file) throws IOException {
        Disk.Node node = SimFileSystem.open(file.getPath(), true);
        if (node.map == null) {
            node.map = new TreeMap<>();
            node.write(ByteBuffer.allocate(FILE_BYTES), 0);
        }
        return open(node);
    }

    public static ChronicleMap<?, ?> recoverPersistedTo(
            ChronicleMapBuilder<?, ?> b, File file, boolean same, ChronicleHashCorruption.Listener listener)
            throws IOException {
        Disk.Node node = SimFileSystem.open(file.getPath(), false);
        if (node.mapDamaged || node.map == null) {
            node.mapDamaged = false;
            throw new IllegalStateException(file + " cannot be recovered");
        }
        return open(node);
    }

    private static ChronicleMap<?, ?> open(Disk.Node node) {
        TreeMap<Long, byte[]> map = node.map;
        return (ChronicleMap<?, ?>) Proxy.newProxyInstance(
                Maps.class.getClassLoader(), new Class<?>[] {ChronicleMap.class}, (self, method, arguments) -> {
                    Object[] a = arguments == null ? new Object[0] : arguments;
                    return switch (method.getName()) {
                        case "get" -> copy(map.get((Long) a[0]));
                        case "getUsing" -> using(map.get((Long) a[0]), (byte[]) a[1]);
                        case "put" -> {
                            map.put((Long) a[0], ((byte[]) a[1]).clone());
                            yield null;
                        }
                        case "remove" -> {
                            map.remove((Long) a[0]);
                            yield null;
                        }
                        case "longSize" -> (long) map.size();
                        case "keySet" -> map.keySet();
                        case "forEach" -> {
                            @SuppressWarnings("unchecked")
                            BiConsumer<Object, Object> each = (BiConsumer<Object, Object>) a[0];
                            map.forEach(each);
                            yield null;
                        }
                        case "close" -> null;
                        default -> throw new UnsupportedOperationException(method + " has no stand-in");
                    };
                });
    }

    private static byte[] copy(byte[] value) {
        return value == null ? null : value.clone();
    }

    private static byte[] using(byte[] found, byte[] into) {
        if (found == null) {
            return null;
        }
        System.arraycopy(found, 0, into, 0, found.length);
        return into;
    }
}
