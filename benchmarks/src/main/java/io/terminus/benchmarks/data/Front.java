package io.terminus.benchmarks.data;

import java.nio.file.Path;
import java.util.List;

/** How a client reaches a server: the benchmark's clients all contenders alike, and quorum its second copy. Ours go to theirs by TCP in any case. */
enum Front {
    TCP {
        @Override
        String uri(int port, Path socket, String export) {
            return "nbd://127.0.0.1:" + port + "/" + export;
        }

        @Override
        List<String> qemuNbd(int port, Path socket) {
            return List.of("-b", "127.0.0.1", "-p", String.valueOf(port));
        }

        @Override
        String storageDaemon(int port, Path socket) {
            return "addr.type=inet,addr.host=127.0.0.1,addr.port=" + port;
        }

        @Override
        String blockdev(int port, Path socket) {
            return "server.type=inet,server.host=127.0.0.1,server.port=" + port;
        }
    },
    UNIX {
        @Override
        String uri(int port, Path socket, String export) {
            return "nbd+unix:///" + export + "?socket=" + socket;
        }

        @Override
        List<String> qemuNbd(int port, Path socket) {
            return List.of("-k", socket.toString());
        }

        @Override
        String storageDaemon(int port, Path socket) {
            return "addr.type=unix,addr.path=" + socket;
        }

        @Override
        String blockdev(int port, Path socket) {
            return "server.type=unix,server.path=" + socket;
        }
    };

    abstract String uri(int port, Path socket, String export);

    abstract List<String> qemuNbd(int port, Path socket);

    abstract String storageDaemon(int port, Path socket);

    abstract String blockdev(int port, Path socket);
}
