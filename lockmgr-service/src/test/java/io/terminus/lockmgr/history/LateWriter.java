package io.terminus.lockmgr.history;

import io.terminus.lockmgr.client.AcquireRequest;
import io.terminus.lockmgr.client.Grant;
import io.terminus.lockmgr.client.LockClient;
import io.terminus.lockmgr.client.LockMode;
import io.terminus.lockmgr.client.LockRange;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Random;

/**
 * A writer with a fault: it takes a lock, announces its token to the storage, and from then on never asks again whether it
 * still believes. Run as a process of its own, so that it can be stopped.
 */
final class LateWriter {

    private LateWriter() {}

    /** @param args where the lock manager is, the port of the storage, the length of the range in bytes */
    public static void main(String[] args) throws Exception {
        long length = Long.parseLong(args[2]);
        AcquireRequest wanted =
                AcquireRequest.of("v", new LockRange(0, length), LockMode.EXCLUSIVE, Duration.ofSeconds(10));
        try (LockClient client =
                        LockClient.connect(LockClient.Config.of(args[0], "late").withTtl(Duration.ofSeconds(1)));
                Socket storage = new Socket(InetAddress.getLoopbackAddress(), Integer.parseInt(args[1]));
                PrintStream out = new PrintStream(storage.getOutputStream(), true, StandardCharsets.US_ASCII)) {
            Grant grant = client.lock(wanted);
            out.println("fence 0 " + length + " " + grant.token());
            Random random = new Random();
            while (!out.checkError()) {
                long start = random.nextLong(length);
                out.println(
                        "write " + start + " " + (start + 1 + random.nextLong(length - start)) + " " + grant.token());
                Thread.sleep(1); // the pace of a disk; nothing is waited for
            }
        }
    }
}
