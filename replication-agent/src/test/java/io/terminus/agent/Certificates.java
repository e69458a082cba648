package io.terminus.agent;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * A certificate authority of a test, one server it vouches for and one client, under the names that libnbd and qemu look
 * for: {@code ca-cert.pem}, {@code server-cert.pem}, {@code server-key.pem}, {@code client-cert.pem},
 * {@code client-key.pem}.
 */
public record Certificates(Path dir) {

    /** Makes them with openssl; skips the test where there is none. */
    public static Certificates make(Path dir) throws Exception {
        return make(dir, "ec");
    }

    /** {@code clientKey}: "ec" or "rsa". */
    public static Certificates make(Path dir, String clientKey) throws Exception {
        Files.createDirectories(dir);
        Certificates made = new Certificates(dir);
        Path extensions = Files.writeString(
                dir.resolve("extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
        openssl(
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=test authority " + dir.getFileName(),
                "-keyout",
                made.path("ca-key.pem"),
                "-out",
                made.path("ca-cert.pem"));
        made.sign("server", extensions, "rsa:2048");
        if (clientKey.equals("rsa")) {
            made.sign("client", extensions, "rsa:2048");
        } else {
            made.sign("client", extensions, "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1");
        }
        return made;
    }

    private void sign(String who, Path extensions, String... key) throws Exception {
        List<String> request = new ArrayList<>(List.of("req", "-nodes", "-subj", "/CN=" + who, "-newkey"));
        request.addAll(List.of(key));
        request.addAll(List.of("-keyout", path(who + "-key.pem"), "-out", path(who + ".csr")));
        openssl(request.toArray(String[]::new));
        openssl(
                "x509",
                "-req",
                "-in",
                path(who + ".csr"),
                "-CA",
                path("ca-cert.pem"),
                "-CAkey",
                path("ca-key.pem"),
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                extensions.toString(),
                "-out",
                path(who + "-cert.pem"));
    }

    public Path file(String name) {
        return dir.resolve(name);
    }

    /** What a server of these certificates speaks with. */
    public SSLContext server() throws Exception {
        return context("server");
    }

    public SSLContext client() throws Exception {
        return context("client");
    }

    private SSLContext context(String who) throws Exception {
        String p12 = path(who + ".p12");
        openssl(
                "pkcs12",
                "-export",
                "-in",
                path(who + "-cert.pem"),
                "-inkey",
                path(who + "-key.pem"),
                "-passout",
                "pass:secret",
                "-out",
                p12);
        KeyStore keys = KeyStore.getInstance(Path.of(p12).toFile(), "secret".toCharArray());
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keyManagers.init(keys, "secret".toCharArray());
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream ca = Files.newInputStream(file("ca-cert.pem"))) {
            trusted.setCertificateEntry(
                    "ca", CertificateFactory.getInstance("X.509").generateCertificate(ca));
        }
        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trustManagers.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        return context;
    }

    private String path(String name) {
        return file(name).toString();
    }

    private static void openssl(String... arguments) throws Exception {
        String[] command = new String[arguments.length + 1];
        command[0] = "openssl";
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        RealClients.run(command).succeeded();
    }
}
