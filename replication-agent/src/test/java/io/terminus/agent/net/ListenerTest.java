package io.terminus.agent.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ListenerTest {

    private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);

    @TempDir
    Path dir;

    @Test
    void takenPortIsNamed() throws Exception {
        try (Listener first = Listener.bind(ANY_PORT, "first", 1)) {
            InetSocketAddress taken = (InetSocketAddress) first.address();

            assertThatThrownBy(() -> Listener.bind(taken, "NBD server", 1))
                    .isInstanceOfSatisfying(
                            CannotListenException.class,
                            e -> assertThat(e.address()).isEqualTo(taken))
                    .hasMessageContaining("NBD server: cannot listen on port " + taken.getPort());
        }
    }

    @Test
    void connectionBeyondTheBoundIsClosedAndAFreedPlaceIsUsed() throws Exception {
        BlockingQueue<Listener.Place> places = new LinkedBlockingQueue<>();
        try (Listener listener = Listener.bind(ANY_PORT, "small", 1).start((channel, place) -> places.add(place))) {
            SocketChannel first = SocketChannel.open(listener.address());
            Listener.Place place = places.take();

            try (SocketChannel second = SocketChannel.open(listener.address())) {
                assertThat(second.read(ByteBuffer.allocate(1))).isEqualTo(-1);
            }
            assertThat(listener.turnedAway()).isEqualTo(1);
            place.close();
            place.close();
            SocketChannel third = SocketChannel.open(listener.address());

            assertThat(places.take()).isNotNull();
            first.close();
            third.close();
        }
    }

    @Test
    void fileThatIsNoSocketIsLeftAlone() throws Exception {
        Path file = Files.writeString(dir.resolve("precious"), "data");

        assertThatThrownBy(() -> Listener.bind(UnixDomainSocketAddress.of(file), "NBD server", 1))
                .isInstanceOf(CannotListenException.class)
                .hasMessageContaining("NBD server: cannot listen on socket " + file)
                .hasMessageContaining("no socket");
        assertThatThrownBy(() -> Listener.bind(UnixDomainSocketAddress.of(dir.resolve("no/where")), "NBD server", 1))
                .isInstanceOf(CannotListenException.class)
                .hasMessageContaining("directory");

        assertThat(file).hasContent("data");
    }

    @Test
    void socketFileOfTheNextProcessIsNotDeleted() throws Exception {
        UnixDomainSocketAddress at = UnixDomainSocketAddress.of(dir.resolve("nbd.sock"));
        Listener first = Listener.bind(at, "first", 1);
        Files.delete(at.getPath());
        try (Listener second = Listener.bind(at, "second", 1)) {
            first.close();

            assertThat(at.getPath()).exists();
            assertThat(second.address()).isEqualTo(at);
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(at.getPath())))
                    .isEqualTo("rw-rw----");
        }
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void socketFileOfAKilledProcessIsReplaced() throws Exception {
        UnixDomainSocketAddress at = UnixDomainSocketAddress.of(dir.resolve("nbd.sock"));
        ServerSocketChannel killed = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        killed.bind(at);
        killed.close();
        assertThat(at.getPath()).exists();

        BlockingQueue<SocketChannel> accepted = new LinkedBlockingQueue<>();
        try (Listener listener = Listener.bind(at, "again", 1).start((channel, place) -> accepted.add(channel));
                SocketChannel client = SocketChannel.open(listener.address())) {
            assertThat(accepted.take().isOpen()).isTrue();
            assertThat(client.isConnected()).isTrue();
            assertThat(listener.address()).isEqualTo(at);
            assertThatThrownBy(() -> Listener.bind(at, "second", 1)).isInstanceOf(CannotListenException.class);
        }
        await().until(() -> Files.notExists(at.getPath()));
    }
}
