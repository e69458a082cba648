package io.terminus.cli.acceptance;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import java.util.concurrent.TimeUnit;

/**
 * A {@link VolatileDisk} as an NBD server, in a process of its own: who uses it through a file system must not be who serves it.
 * Says its port, and then does what it is told on its input, line by line, each answered with a line:
 *
 * <pre>
 * cut       loses its power: what it kept is all there is, and requests wait
 * fail      those that wait, and come, are answered with EIO
 * restore   is a disk again, for new connections
 * slow MS   a flush takes so much longer
 * </pre>
 *
 * The end of its input is its own.
 */
final class VolatileDiskServer {

    private static final long MAGIC = 0x4e42444d41474943L;
    private static final long OPTION_MAGIC = 0x49484156454f5054L;
    private static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    private static final int REQUEST_MAGIC = 0x25609513;
    private static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    private static final int FIXED_NEWSTYLE_NO_ZEROES = 3;
    private static final int OPTION_ABORT = 2;
    private static final int OPTION_INFO = 6;
    private static final int OPTION_GO = 7;
    private static final int REPLY_ACK = 1;
    private static final int REPLY_INFO = 3;
    private static final int REPLY_UNSUPPORTED = 0x80000001;
    /** Has flags, and knows FLUSH. */
    private static final int FLAGS = 1 | 4;

    private static final int DISCONNECT = 2;
    private static final int EIO = 5;
    private static final int EINVAL = 22;

    private enum State {
        ON,
        CUT,
        FAILED
    }

    private final VolatileDisk disk;
    private State state = State.ON;
    /** Connections of before a loss of power lead nowhere. */
    private int life;

    private volatile long slowMillis;

    VolatileDiskServer(VolatileDisk disk) {
        this.disk = disk;
    }

    /** @param args the medium's file, sizes of disk and cache in bytes, milliseconds of a lie, seed */
    public static void main(String[] args) throws IOException {
        FileChannel medium = FileChannel.open(
                Path.of(args[0]), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        VolatileDiskServer server = new VolatileDiskServer(new VolatileDisk(
                medium,
                Long.parseLong(args[1]),
                Long.parseLong(args[2]),
                TimeUnit.MILLISECONDS.toNanos(Long.parseLong(args[3])),
                new Random(Long.parseLong(args[4]))));
        System.out.println(server.serve());
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            System.out.println(server.obey(order));
        }
        System.exit(0);
    }

    /** Returns its port on loopback. */
    int serve() throws IOException {
        ServerSocket listener = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
        Thread.ofPlatform().daemon().name("disk").start(() -> {
            while (true) {
                try {
                    Socket client = listener.accept();
                    Thread.ofPlatform().daemon().name("disk-client").start(() -> serve(client));
                } catch (IOException e) {
                    return;
                }
            }
        });
        return listener.getLocalPort();
    }

    synchronized String obey(String order) {
        String[] words = order.split(" ", -1);
        switch (words[0]) {
            case "cut" -> {
                state = State.CUT;
                VolatileDisk.Lost lost = disk.losePower();
                return lost.sectors() + " sectors lost, " + lost.kept() + " kept";
            }
            case "fail" -> {
                state = State.FAILED;
                notifyAll();
            }
            case "restore" -> {
                life++;
                state = State.ON;
            }
            case "slow" -> slowMillis = Long.parseLong(words[1]);
            default -> throw new IllegalArgumentException("no order: " + order);
        }
        return "done";
    }

    private void serve(Socket client) {
        try (client) {
            client.setTcpNoDelay(true);
            DataInputStream in = new DataInputStream(new BufferedInputStream(client.getInputStream(), 1 << 16));
            DataOutputStream out = new DataOutputStream(new BufferedOutputStream(client.getOutputStream(), 1 << 16));
            if (negotiate(in, out)) {
                int mine = life();
                while (request(in, out, mine)) {
                    // The next one.
                }
            }
        } catch (IOException gone) {
            // So is its connection.
        }
    }

    private synchronized int life() {
        return life;
    }

    private boolean negotiate(DataInputStream in, DataOutputStream out) throws IOException {
        out.writeLong(MAGIC);
        out.writeLong(OPTION_MAGIC);
        out.writeShort(FIXED_NEWSTYLE_NO_ZEROES);
        out.flush();
        in.readInt();
        while (true) {
            if (in.readLong() != OPTION_MAGIC) {
                return false;
            }
            int option = in.readInt();
            in.skipNBytes(in.readInt());
            switch (option) {
                case OPTION_GO, OPTION_INFO -> {
                    reply(out, option, REPLY_INFO, 12);
                    out.writeShort(0);
                    out.writeLong(disk.sizeBytes());
                    out.writeShort(FLAGS);
                    reply(out, option, REPLY_ACK, 0);
                }
                case OPTION_ABORT -> reply(out, option, REPLY_ACK, 0);
                default -> reply(out, option, REPLY_UNSUPPORTED, 0);
            }
            out.flush();
            if (option == OPTION_GO || option == OPTION_ABORT) {
                return option == OPTION_GO;
            }
        }
    }

    private static void reply(DataOutputStream out, int option, int kind, int lengthBytes) throws IOException {
        out.writeLong(OPTION_REPLY_MAGIC);
        out.writeInt(option);
        out.writeInt(kind);
        out.writeInt(lengthBytes);
    }

    private boolean request(DataInputStream in, DataOutputStream out, int mine) throws IOException {
        if (in.readInt() != REQUEST_MAGIC) {
            return false;
        }
        in.readUnsignedShort();
        int command = in.readUnsignedShort();
        long cookie = in.readLong();
        long offset = in.readLong();
        int lengthBytes = in.readInt();
        byte[] data = command == NbdConnection.WRITE ? in.readNBytes(lengthBytes) : new byte[0];
        if (command == NbdConnection.FLUSH && slowMillis > 0) {
            rest(slowMillis);
        }
        int error = 0;
        synchronized (this) {
            while (state == State.CUT && mine == life) {
                await();
            }
            if (state == State.FAILED || mine != life) {
                error = EIO;
            } else {
                switch (command) {
                    case NbdConnection.READ -> data = disk.read(offset, lengthBytes);
                    case NbdConnection.WRITE -> disk.write(offset, data);
                    case NbdConnection.FLUSH -> disk.flush(System.nanoTime());
                    case DISCONNECT -> {
                        return false;
                    }
                    default -> error = EINVAL;
                }
            }
        }
        out.writeInt(SIMPLE_REPLY_MAGIC);
        out.writeInt(error);
        out.writeLong(cookie);
        if (command == NbdConnection.READ && error == 0) {
            out.write(data);
        }
        out.flush();
        return true;
    }

    private void await() {
        try {
            wait();
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }

    private static void rest(long millis) {
        try {
            TimeUnit.MILLISECONDS.sleep(millis);
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }
}
