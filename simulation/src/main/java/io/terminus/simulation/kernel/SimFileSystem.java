package io.terminus.simulation.kernel;

import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.AccessMode;
import java.nio.file.CopyOption;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileStore;
import java.nio.file.FileSystem;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.WatchEvent;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileAttributeView;
import java.nio.file.attribute.FileStoreAttributeView;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.nio.file.spi.FileSystemProvider;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The disks of all machines as one file system: the first name of a path is the machine's. So {@code java.nio.file.Files} and
 * {@code FileChannel.open} work on them as they are.
 */
public final class SimFileSystem extends FileSystem {

    private static final SimFileSystem ALL = new SimFileSystem();
    private final Provider provider = new Provider();

    public static Path path(String name) {
        return new SimPath(Path.of(name).normalize());
    }

    /** The node of a path, if there is one. */
    static Disk.Node node(Path path) throws NoSuchFileException {
        SimPath p = (SimPath) path.toAbsolutePath().normalize();
        Disk.Node node = p.disk().find(p.local());
        if (node == null) {
            throw new NoSuchFileException(path.toString());
        }
        return node;
    }

    /** By name, for what does not go through a path: {@code java.io.File}. Null if there is no such file, and none is made. */
    public static Disk.@Nullable Node open(String name, boolean creates) throws IOException {
        SimPath p = (SimPath) path(name);
        Disk.Node node = p.disk().find(p.local());
        return node != null || !creates ? node : p.disk().create(p.local(), false);
    }

    /** Path arithmetic is that of the real file system. */
    private record SimPath(Path real) implements Path {

        Disk disk() {
            return World.current().host(real.getName(0).toString()).disk();
        }

        String local() {
            return real.getNameCount() == 1 ? "/" : "/" + real.subpath(1, real.getNameCount());
        }

        private static Path real(Path other) {
            return other instanceof SimPath sim ? sim.real : other;
        }

        private static Path of(Path real) {
            return new SimPath(real);
        }

        private static @Nullable Path ofAny(@Nullable Path real) {
            return real == null ? null : new SimPath(real);
        }

        @Override
        public FileSystem getFileSystem() {
            return ALL;
        }

        @Override
        public boolean isAbsolute() {
            return real.isAbsolute();
        }

        @Override
        public @Nullable Path getRoot() {
            return ofAny(real.getRoot());
        }

        @Override
        public @Nullable Path getFileName() {
            return ofAny(real.getFileName());
        }

        @Override
        public @Nullable Path getParent() {
            return ofAny(real.getParent());
        }

        @Override
        public int getNameCount() {
            return real.getNameCount();
        }

        @Override
        public Path getName(int index) {
            return of(real.getName(index));
        }

        @Override
        public Path subpath(int begin, int end) {
            return of(real.subpath(begin, end));
        }

        @Override
        public boolean startsWith(Path other) {
            return real.startsWith(real(other));
        }

        @Override
        public boolean endsWith(Path other) {
            return real.endsWith(real(other));
        }

        @Override
        public Path normalize() {
            return of(real.normalize());
        }

        @Override
        public Path resolve(Path other) {
            return of(real.resolve(real(other)));
        }

        @Override
        public Path resolve(String other) {
            return of(real.resolve(other));
        }

        @Override
        public Path relativize(Path other) {
            return of(real.relativize(real(other)));
        }

        @Override
        public URI toUri() {
            return URI.create("sim:" + real);
        }

        @Override
        public Path toAbsolutePath() {
            return this;
        }

        @Override
        public Path toRealPath(LinkOption... options) {
            return this;
        }

        @Override
        public java.io.File toFile() {
            return real.toFile();
        }

        @Override
        public WatchKey register(WatchService watcher, WatchEvent.Kind<?>[] events, WatchEvent.Modifier... modifiers) {
            throw new UnsupportedOperationException("watching a simulated disk");
        }

        @Override
        public int compareTo(Path other) {
            return real.compareTo(real(other));
        }

        @Override
        public int hashCode() {
            return real.toString().hashCode();
        }

        @Override
        public String toString() {
            return real.toString();
        }
    }

    /** A file that is open. */
    private static final class Channel extends FileChannel {
        private final Disk.Node node;
        private final Disk disk;
        private final boolean append;
        private long position;
        private boolean closedByHand;

        Channel(Disk.Node node, Disk disk, boolean append) {
            this.node = node;
            this.disk = disk;
            this.append = append;
        }

        private void requireOpen() throws ClosedChannelException {
            if (closedByHand) {
                throw new ClosedChannelException();
            }
        }

        @Override
        public int read(ByteBuffer dst) throws IOException {
            requireOpen();
            int read = node.read(dst, position);
            position += Math.max(0, read);
            return read;
        }

        @Override
        public long read(ByteBuffer[] dsts, int offset, int length) throws IOException {
            long sum = 0;
            for (int i = offset; i < offset + length; i++) {
                int read = dsts[i].hasRemaining() ? read(dsts[i]) : 0;
                if (read < 0) {
                    return sum == 0 ? -1 : sum;
                }
                sum += read;
            }
            return sum;
        }

        @Override
        public int write(ByteBuffer src) throws IOException {
            requireOpen();
            World.point();
            int count = src.remaining();
            if (append) {
                position = node.size();
            }
            node.write(src, position);
            position += count;
            return count;
        }

        @Override
        public long write(ByteBuffer[] srcs, int offset, int length) throws IOException {
            long sum = 0;
            for (int i = offset; i < offset + length; i++) {
                sum += write(srcs[i]);
            }
            return sum;
        }

        @Override
        public long position() {
            return position;
        }

        @Override
        public FileChannel position(long newPosition) {
            position = newPosition;
            return this;
        }

        @Override
        public long size() throws IOException {
            requireOpen();
            return node.size();
        }

        @Override
        public FileChannel truncate(long size) throws IOException {
            requireOpen();
            if (size < node.size()) {
                node.resize(size);
            }
            position = Math.min(position, size);
            return this;
        }

        @Override
        public void force(boolean metaData) throws IOException {
            requireOpen();
            if (node.directory) {
                disk.syncNames();
            } else {
                node.sync();
            }
        }

        @Override
        public long transferTo(long at, long count, WritableByteChannel target) throws IOException {
            requireOpen();
            if (at >= node.size()) {
                return 0;
            }
            ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(count, node.size() - at));
            node.read(bytes, at);
            return target.write(bytes.flip());
        }

        @Override
        public long transferFrom(ReadableByteChannel src, long at, long count) {
            throw new UnsupportedOperationException("transferFrom of a simulated file");
        }

        @Override
        public int read(ByteBuffer dst, long at) throws IOException {
            requireOpen();
            return node.read(dst, at);
        }

        @Override
        public int write(ByteBuffer src, long at) throws IOException {
            requireOpen();
            World.point();
            int count = src.remaining();
            node.write(src, at);
            return count;
        }

        @Override
        public MappedByteBuffer map(MapMode mode, long at, long size) throws IOException {
            requireOpen();
            if (!mode.equals(MapMode.READ_ONLY)) {
                throw new UnsupportedOperationException("a simulated file is written by calls, not through a mapping");
            }
            return (MappedByteBuffer) node.map(at, size);
        }

        @Override
        public FileLock lock(long at, long size, boolean shared) throws IOException {
            FileLock lock = tryLock(at, size, shared);
            if (lock == null) {
                throw new IOException("a wait for a lock of a simulated file");
            }
            return lock;
        }

        @Override
        public @Nullable FileLock tryLock(long at, long size, boolean shared) throws IOException {
            requireOpen();
            Host.Process by = node.lockedBy;
            if (node.locked && by != null && !by.dead()) {
                return null;
            }
            node.locked = true;
            node.lockedBy = World.here().process();
            return new FileLock(this, at, size, shared) {
                @Override
                public boolean isValid() {
                    return node.locked;
                }

                @Override
                public void release() {
                    node.locked = false;
                }
            };
        }

        @Override
        protected void implCloseChannel() {
            closedByHand = true;
        }
    }

    private static final class Provider extends FileSystemProvider {

        @Override
        public String getScheme() {
            return "sim";
        }

        @Override
        public FileSystem newFileSystem(URI uri, Map<String, ?> env) {
            throw new UnsupportedOperationException("there is one");
        }

        @Override
        public FileSystem getFileSystem(URI uri) {
            return ALL;
        }

        @Override
        public Path getPath(URI uri) {
            return path(uri.getPath());
        }

        @Override
        public SeekableByteChannel newByteChannel(
                Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes) throws IOException {
            return newFileChannel(path, options, attributes);
        }

        @Override
        public FileChannel newFileChannel(Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
                throws IOException {
            SimPath p = (SimPath) path.toAbsolutePath().normalize();
            Disk disk = p.disk();
            Disk.Node node = disk.find(p.local());
            boolean writes = options.contains(StandardOpenOption.WRITE) || options.contains(StandardOpenOption.APPEND);
            if (node != null && options.contains(StandardOpenOption.CREATE_NEW)) {
                throw new FileAlreadyExistsException(path.toString());
            }
            if (node == null) {
                boolean creates =
                        options.contains(StandardOpenOption.CREATE) || options.contains(StandardOpenOption.CREATE_NEW);
                if (!writes || !creates) {
                    throw new NoSuchFileException(path.toString());
                }
                node = disk.create(p.local(), false);
            } else if (writes && options.contains(StandardOpenOption.TRUNCATE_EXISTING)) {
                node.resize(0);
            }
            return new Channel(node, disk, options.contains(StandardOpenOption.APPEND));
        }

        @Override
        public DirectoryStream<Path> newDirectoryStream(Path dir, DirectoryStream.Filter<? super Path> filter)
                throws IOException {
            SimPath p = (SimPath) dir.toAbsolutePath().normalize();
            if (!node(dir).directory) {
                throw new NotDirectoryException(dir.toString());
            }
            java.util.ArrayList<Path> found = new java.util.ArrayList<>();
            for (String child : p.disk().children(p.local())) {
                Path path = dir.resolve(child.substring(child.lastIndexOf('/') + 1));
                if (filter.accept(path)) {
                    found.add(path);
                }
            }
            return new DirectoryStream<>() {
                @Override
                public java.util.Iterator<Path> iterator() {
                    return List.copyOf(found).iterator();
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public void createDirectory(Path dir, FileAttribute<?>... attributes) throws IOException {
            SimPath p = (SimPath) dir.toAbsolutePath().normalize();
            p.disk().create(p.local(), true);
        }

        @Override
        public void delete(Path path) throws IOException {
            SimPath p = (SimPath) path.toAbsolutePath().normalize();
            if (p.disk().find(p.local()) == null) {
                throw new NoSuchFileException(path.toString());
            }
            p.disk().delete(p.local());
        }

        @Override
        public void copy(Path source, Path target, CopyOption... options) {
            throw new UnsupportedOperationException("copying a simulated file");
        }

        @Override
        public void move(Path source, Path target, CopyOption... options) throws IOException {
            SimPath from = (SimPath) source.toAbsolutePath().normalize();
            SimPath to = (SimPath) target.toAbsolutePath().normalize();
            List<CopyOption> how = List.of(options);
            if (to.disk().find(to.local()) != null
                    && !how.contains(StandardCopyOption.REPLACE_EXISTING)
                    && !how.contains(StandardCopyOption.ATOMIC_MOVE)) {
                throw new FileAlreadyExistsException(target.toString());
            }
            World.point();
            from.disk().move(from.local(), to.local());
        }

        @Override
        public boolean isSameFile(Path path, Path path2) {
            return path.equals(path2);
        }

        @Override
        public boolean isHidden(Path path) {
            return false;
        }

        @Override
        public FileStore getFileStore(Path path) throws IOException {
            node(path);
            Disk disk = ((SimPath) path).disk();
            return new FileStore() {
                @Override
                public String name() {
                    return "sim";
                }

                @Override
                public String type() {
                    return "sim";
                }

                @Override
                public boolean isReadOnly() {
                    return false;
                }

                @Override
                public long getTotalSpace() {
                    return 1L << 40;
                }

                @Override
                public long getUsableSpace() {
                    return disk.usableBytes();
                }

                @Override
                public long getUnallocatedSpace() {
                    return getUsableSpace();
                }

                @Override
                public boolean supportsFileAttributeView(Class<? extends FileAttributeView> type) {
                    return false;
                }

                @Override
                public boolean supportsFileAttributeView(String name) {
                    return false;
                }

                @Override
                public <V extends FileStoreAttributeView> @Nullable V getFileStoreAttributeView(Class<V> type) {
                    return null;
                }

                @Override
                public Object getAttribute(String attribute) {
                    throw new UnsupportedOperationException(attribute);
                }
            };
        }

        @Override
        public void checkAccess(Path path, AccessMode... modes) throws IOException {
            node(path);
        }

        @Override
        public <V extends FileAttributeView> @Nullable V getFileAttributeView(
                Path path, Class<V> type, LinkOption... options) {
            return null;
        }

        @Override
        public <A extends BasicFileAttributes> A readAttributes(Path path, Class<A> type, LinkOption... options)
                throws IOException {
            Disk.Node node = node(path);
            return type.cast(new BasicFileAttributes() {
                @Override
                public FileTime lastModifiedTime() {
                    return FileTime.fromMillis(0);
                }

                @Override
                public FileTime lastAccessTime() {
                    return FileTime.fromMillis(0);
                }

                @Override
                public FileTime creationTime() {
                    return FileTime.fromMillis(0);
                }

                @Override
                public boolean isRegularFile() {
                    return !node.directory;
                }

                @Override
                public boolean isDirectory() {
                    return node.directory;
                }

                @Override
                public boolean isSymbolicLink() {
                    return false;
                }

                @Override
                public boolean isOther() {
                    return false;
                }

                @Override
                public long size() {
                    return node.size();
                }

                @Override
                public Object fileKey() {
                    return node.inode;
                }
            });
        }

        @Override
        public Map<String, Object> readAttributes(Path path, String attributes, LinkOption... options) {
            throw new UnsupportedOperationException("attributes by name of a simulated file");
        }

        @Override
        public void setAttribute(Path path, String attribute, Object value, LinkOption... options) {
            throw new UnsupportedOperationException("attributes of a simulated file");
        }
    }

    @Override
    public FileSystemProvider provider() {
        return provider;
    }

    @Override
    public void close() {
        throw new UnsupportedOperationException("the one there is stays open");
    }

    @Override
    public boolean isOpen() {
        return true;
    }

    @Override
    public boolean isReadOnly() {
        return false;
    }

    @Override
    public String getSeparator() {
        return "/";
    }

    @Override
    public Iterable<Path> getRootDirectories() {
        return List.of(path("/"));
    }

    @Override
    public Iterable<FileStore> getFileStores() {
        return List.of();
    }

    @Override
    public Set<String> supportedFileAttributeViews() {
        return Set.of("basic");
    }

    @Override
    public Path getPath(String first, String... more) {
        return new SimPath(Path.of(first, more));
    }

    @Override
    public PathMatcher getPathMatcher(String syntaxAndPattern) {
        PathMatcher real = java.nio.file.FileSystems.getDefault().getPathMatcher(syntaxAndPattern);
        return p -> real.matches(((SimPath) p).real());
    }

    @Override
    public UserPrincipalLookupService getUserPrincipalLookupService() {
        throw new UnsupportedOperationException("users of a simulated disk");
    }

    @Override
    public WatchService newWatchService() {
        throw new UnsupportedOperationException("watching a simulated disk");
    }
}
