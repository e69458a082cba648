package io.terminus.lockmgr.history;

import io.terminus.lockmgr.fencing.FencingChecker;
import io.terminus.ranges.BlockRange;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Storage that keeps, for every byte, the token of its last writer, and lets a {@link FencingChecker} judge who may write.
 * Takes lines {@code fence START END TOKEN} and {@code write START END TOKEN}.
 */
final class FencedStorage implements AutoCloseable {

    private final ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final FencingChecker fences = new FencingChecker();
    private final long[] writtenBy;
    private final Map<Long, Integer> admitted = new HashMap<>();
    private final Map<Long, Integer> refused = new HashMap<>();

    FencedStorage(int lengthBytes) throws IOException {
        writtenBy = new long[lengthBytes];
        Thread.ofPlatform().daemon().start(this::accept);
    }

    int port() {
        return listening.getLocalPort();
    }

    synchronized void fence(BlockRange range, long token) {
        fences.fence(range, token);
    }

    synchronized boolean write(BlockRange range, long token) {
        if (fences.admit(range, token) instanceof FencingChecker.Refused) {
            refused.merge(token, 1, Integer::sum);
            return false;
        }
        Arrays.fill(writtenBy, (int) range.start(), (int) range.end(), token);
        admitted.merge(token, 1, Integer::sum);
        return true;
    }

    synchronized int admitted(long token) {
        return admitted.getOrDefault(token, 0);
    }

    synchronized int refused(long token) {
        return refused.getOrDefault(token, 0);
    }

    /** The tokens of all writers so far; 0 stands for nobody. */
    synchronized long[] writers() {
        return Arrays.stream(writtenBy).distinct().sorted().toArray();
    }

    @Override
    public void close() throws IOException {
        listening.close();
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listening.accept();
                Thread.ofPlatform().daemon().start(() -> serve(client));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private void serve(Socket client) {
        try (client;
                BufferedReader in =
                        new BufferedReader(new InputStreamReader(client.getInputStream(), StandardCharsets.US_ASCII))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ", -1);
                BlockRange range = new BlockRange(Long.parseLong(words[1]), Long.parseLong(words[2]));
                long token = Long.parseLong(words[3]);
                if (words[0].equals("fence")) {
                    fence(range, token);
                } else {
                    write(range, token);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
