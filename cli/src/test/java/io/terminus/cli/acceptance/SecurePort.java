package io.terminus.cli.acceptance;

import io.terminus.security.TlsKeys;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Duration;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/** A port of a set that has TLS everywhere, as one meets it who brings keys of his own and believes whatever the other side shows. */
record SecurePort(String process, Use use, int port) {

    enum Use {
        GRPC,
        /** Of a lock manager, for the other ones. */
        GROUP,
        REST,
        NBD,
        PEER
    }

    static final String TLS_1_2 = "TLSv1.2";
    static final String TLS_1_3 = "TLSv1.3";

    private static final int PATIENCE_MILLIS = 20_000;
    private static final String[] HTTP_2 = {"h2"};

    private static final int NBD_GREETING_BYTES = 18;
    private static final int NBD_REPLY_BYTES = 20;
    private static final long NBD_OPTION = 0x49484156454f5054L;
    private static final int NBD_STARTTLS = 5;

    /**
     * The number of the certificate that the port shows, once it has taken these keys. By TLS 1.2, whose handshake is over for the caller
     * when it is for the other side, too.
     */
    BigInteger serialShownTo(TlsKeys own) throws IOException {
        try (SSLSocket socket = connect(own, TLS_1_2)) {
            socket.startHandshake();
            return ((X509Certificate) socket.getSession().getPeerCertificates()[0]).getSerialNumber();
        }
    }

    /**
     * What becomes of somebody with these keys: how the handshake is ended, or what he gets behind it. That a port has enough of one who says
     * nothing behind it is not taken for a refusal.
     *
     * @param own null: none are shown
     */
    String answerTo(@Nullable TlsKeys own, String version) throws IOException {
        try (SSLSocket socket = connect(own, version)) {
            socket.startHandshake();
            if (use == Use.REST) {
                socket.getOutputStream()
                        .write("GET /actuator/prometheus HTTP/1.0\r\nHost: localhost\r\n\r\n"
                                .getBytes(StandardCharsets.US_ASCII));
            } else if (version.equals(TLS_1_2)) {
                return "admitted";
            }
            // By TLS 1.3 the caller is through before the other side has looked at what he shows.
            byte[] said = socket.getInputStream().readNBytes("HTTP/1.1 403".length());
            return said.length == 0 ? "closed" : new String(said, StandardCharsets.ISO_8859_1);
        } catch (SSLException e) {
            return "refused: " + e.getMessage();
        } catch (SocketException e) {
            return "cut: " + e.getMessage();
        }
    }

    /** Connects, says nothing, and returns when the other side has had enough of it. Whatever it says meanwhile is not answered. */
    void beSilent(Duration patience) throws IOException {
        try (Socket silent = new Socket(InetAddress.getLoopbackAddress(), port)) {
            silent.setSoTimeout(Math.toIntExact(patience.toMillis()));
            silent.getInputStream().transferTo(OutputStream.nullOutputStream());
        } catch (SocketException e) {
            // Cut is over, too.
        }
    }

    /** A connection before its handshake. */
    private SSLSocket connect(@Nullable TlsKeys own, String version) throws IOException {
        Socket plain = new Socket(InetAddress.getLoopbackAddress(), port);
        try {
            plain.setSoTimeout(PATIENCE_MILLIS);
            if (use == Use.NBD) {
                startNbdTls(plain);
            }
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(
                    own == null ? null : new KeyManager[] {new Insistent(own.keyManager())},
                    new TrustManager[] {new Everybody()},
                    null);
            SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(plain, "localhost", port, true);
            SSLParameters parameters = socket.getSSLParameters();
            if (use == Use.GRPC || use == Use.GROUP) {
                parameters.setApplicationProtocols(HTTP_2);
            }
            parameters.setProtocols(new String[] {version});
            socket.setSSLParameters(parameters);
            return socket;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("this JDK has no TLS", e);
        }
    }

    private static void startNbdTls(Socket plain) throws IOException {
        DataInputStream in = new DataInputStream(plain.getInputStream());
        in.skipNBytes(NBD_GREETING_BYTES);
        DataOutputStream out = new DataOutputStream(plain.getOutputStream());
        out.writeInt(3); // fixed newstyle, no zeroes
        out.writeLong(NBD_OPTION);
        out.writeInt(NBD_STARTTLS);
        out.writeInt(0);
        in.skipNBytes(NBD_REPLY_BYTES);
    }

    @Override
    public String toString() {
        return process + " " + use;
    }

    /** Shows what it has, also where the other side says that it trusts others. */
    private static final class Insistent extends X509ExtendedKeyManager {
        private final X509ExtendedKeyManager own;
        private final String alias;

        Insistent(X509ExtendedKeyManager own) {
            this.own = own;
            String[] aliases = own.getClientAliases("EC", null);
            if (aliases == null) {
                throw new IllegalStateException("there is no EC key");
            }
            this.alias = aliases[0];
        }

        @Override
        public String[] getClientAliases(String keyType, Principal[] issuers) {
            return new String[] {alias};
        }

        @Override
        public String chooseClientAlias(String[] keyType, Principal[] issuers, Socket socket) {
            return alias;
        }

        @Override
        public String chooseEngineClientAlias(String[] keyType, Principal[] issuers, SSLEngine engine) {
            return alias;
        }

        @Override
        public String @Nullable [] getServerAliases(String keyType, Principal[] issuers) {
            return null;
        }

        @Override
        public @Nullable String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
            return null;
        }

        @Override
        public X509Certificate @Nullable [] getCertificateChain(String of) {
            return own.getCertificateChain(of);
        }

        @Override
        public @Nullable PrivateKey getPrivateKey(String of) {
            return own.getPrivateKey(of);
        }
    }

    /** It is the other side that is on trial here. */
    private static final class Everybody extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
