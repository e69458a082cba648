package io.terminus.agent.admin;

import jakarta.servlet.http.HttpServletRequest;
import java.net.URI;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * From an agent's root to the console, which the lock manager serves. Where that is follows from where its gRPC is: the same
 * host, the next port, unless {@code agent.console.url} says otherwise.
 */
@RestController
public final class ConsoleWay {

    /** For an agent; for the browser of somebody who came from elsewhere the lock manager's host is the one it asked. */
    private static final Set<String> THIS_HOST = Set.of("localhost", "127.0.0.1", "[::1]");

    private final @Nullable URI url;
    private final String lockManager;

    /**
     * @param url of the console; null: to be guessed
     * @param lockManager host:port of its gRPC, of several the first
     */
    public ConsoleWay(@Nullable URI url, String lockManager) {
        this.url = url;
        this.lockManager = lockManager.split(",", 2)[0].strip();
    }

    @GetMapping({"/", "/console", "/console/"})
    public ResponseEntity<Void> way(HttpServletRequest request) {
        return from(request.getServerName());
    }

    ResponseEntity<Void> from(String askedHost) {
        URI there = url != null ? url : guess(lockManager, askedHost);
        return ResponseEntity.status(HttpStatus.FOUND).location(there).build();
    }

    static URI guess(String lockManager, String askedHost) {
        int colon = lockManager.lastIndexOf(':');
        String host = lockManager.substring(0, colon);
        int port = Integer.parseInt(lockManager.substring(colon + 1)) + 1;
        return URI.create("http://" + (THIS_HOST.contains(host) ? askedHost : host) + ":" + port + "/console/");
    }
}
