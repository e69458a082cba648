package io.terminus.security;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/**
 * One side's key, certificate and the authorities it trusts, from PEM files that may change while it runs.
 *
 * <p>The files are read once a second. New ones count as soon as key and certificate belong together; until then, for they
 * are not written at one instant, this side goes on with what it had, and trusts the old authorities and the new ones. A
 * connection that stands is not ended by new files: it ends with its own reasons.
 *
 * <p>Each change makes another {@link SSLContext}, so that no session of before is taken up again. {@link #keyManager} and {@link
 * #trustManager} follow the change by themselves, for libraries that want to have their managers once. Any thread.
 */
public final class TlsKeys implements AutoCloseable {

    private static final Logger LOG = System.getLogger(TlsKeys.class.getName());
    private static final long LOOK_MILLIS = 1_000;
    private static final int SESSION_SECONDS = 600;
    /** Of stores that never leave the memory; libraries will not do without one. */
    static final String PASSWORD = "memory";

    /** The bytes of the three files. */
    private record Read(byte[] cert, byte[] key, byte[] ca) {
        boolean same(Read other) {
            return Arrays.equals(cert, other.cert) && Arrays.equals(key, other.key) && Arrays.equals(ca, other.ca);
        }
    }

    private record Loaded(
            PrivateKey key,
            List<X509Certificate> chain,
            List<X509Certificate> anchors,
            X509ExtendedKeyManager keys,
            X509ExtendedTrustManager trust,
            SSLContext context) {}

    private final String setting;
    private final TlsFiles files;
    private final List<Runnable> listeners = new CopyOnWriteArrayList<>();
    private final Thread watcher;
    private volatile Loaded now;
    private volatile boolean closed;
    private Read seen; // of reload alone, which is synchronized

    private TlsKeys(String setting, TlsFiles files, Read read, Loaded loaded) {
        this.setting = setting;
        this.files = files;
        this.seen = read;
        this.now = loaded;
        this.watcher = Thread.ofVirtual().name("tls-files").unstarted(this::watch);
    }

    /**
     * @param setting what errors are to name, such as {@code agent.tls}
     * @throws KeysRefusedException if a file cannot be read, or they do not belong together
     */
    public static TlsKeys load(String setting, TlsFiles files) throws KeysRefusedException {
        Read read = new Read(
                read(setting + ".cert", files.cert()),
                read(setting + ".key", files.key()),
                read(setting + ".ca", files.ca()));
        List<X509Certificate> chain = certificates(setting + ".cert", files.cert(), read.cert());
        List<X509Certificate> anchors = certificates(setting + ".ca", files.ca(), read.ca());
        try {
            PrivateKey key = Pem.key(read.key());
            if (!Pem.match(chain.getFirst(), key)) {
                throw new KeysRefusedException(setting + ": the key in \"" + files.key()
                        + "\" does not belong to the certificate in \"" + files.cert() + "\"");
            }
            TlsKeys keys = new TlsKeys(setting, files, read, loaded(key, chain, anchors));
            keys.watcher.start();
            return keys;
        } catch (GeneralSecurityException e) {
            throw new KeysRefusedException(setting + ".key of \"" + files.key() + "\": " + e.getMessage(), e);
        }
    }

    /** For the next connection. */
    public SSLContext context() {
        return now.context;
    }

    /** A server's engine: the other side has to show a certificate. */
    public SSLEngine serverEngine() {
        SSLEngine engine = context().createSSLEngine();
        engine.setUseClientMode(false);
        engine.setNeedClientAuth(true);
        return engine;
    }

    /** A client's engine: the certificate of the other side has to name this host. */
    public SSLEngine clientEngine(String host, int port) {
        return clientEngine(context(), host, port);
    }

    private static SSLEngine clientEngine(SSLContext context, String host, int port) {
        SSLEngine engine = context.createSSLEngine(host, port);
        engine.setUseClientMode(true);
        var parameters = engine.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        engine.setSSLParameters(parameters);
        return engine;
    }

    /**
     * A client's engine: the certificate of the other side has to name this host, and be that of this agent. Its context is its
     * own: when a session is taken up again nobody looks at certificates, and this one may have been begun with another agent.
     */
    public SSLEngine clientEngine(String host, int port, String agent) {
        try {
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(new KeyManager[] {keyManager()}, new TrustManager[] {trustManager(agent)}, null);
            return clientEngine(context, host, port);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("TLS cannot be set up with this JDK", e);
        }
    }

    /** Follows the files. */
    public X509ExtendedKeyManager keyManager() {
        return new CurrentKeys();
    }

    /** Follows the files. */
    public X509ExtendedTrustManager trustManager() {
        return new CurrentTrust(anybody -> {});
    }

    /** Follows the files. Trusts that agent alone: whichever certificate an agent shows, an authority has signed it. */
    public X509ExtendedTrustManager trustManager(String agent) {
        return new CurrentTrust(certificate -> {
            Identity there = Identity.of(certificate);
            if (!there.agent().equals(agent)) {
                throw new CertificateException("not agent " + agent + " answers there: " + there);
            }
        });
    }

    /** Follows the files. Of those whom the authorities vouch for, clients and servers, it trusts the expected alone. */
    public X509ExtendedTrustManager trustManager(Expected expected) {
        return new CurrentTrust(expected);
    }

    /** Which of the certificates that the authorities vouch for are meant. */
    @FunctionalInterface
    public interface Expected {
        /** @throws CertificateException if this one is not */
        void require(X509Certificate certificate) throws CertificateException;
    }

    /** Of this moment, under {@link #password}. */
    public KeyStore keyStore() {
        try {
            return keyStore(now.key, now.chain);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("keys that were loaded once cannot be stored in memory", e);
        }
    }

    /** What libraries ask for, and nothing secret: the store is in this process's memory, as the key is. */
    public static String password() {
        return PASSWORD;
    }

    /** Of this moment. */
    public KeyStore trustStore() {
        try {
            return trustStore(now.anchors);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("certificates that were loaded once cannot be stored in memory", e);
        }
    }

    /** Who this side is. */
    public Identity identity() {
        return Identity.of(now.chain.getFirst());
    }

    /** The setting that they come from, such as {@code agent.tls}. */
    public String setting() {
        return setting;
    }

    /** How long this side's certificate holds, by the one of its chain that ends first. */
    public Validity validity() {
        return now.chain.stream()
                .map(Validity::of)
                .min(Comparator.comparing(Validity::end))
                .orElseThrow();
    }

    /** How long anybody is trusted: of several authorities the one that ends last, for who changes one has both for a while. */
    public Validity authorities() {
        return now.anchors.stream()
                .map(Validity::of)
                .max(Comparator.comparing(Validity::end))
                .orElseThrow();
    }

    /** From when to when a certificate holds. */
    public record Validity(Instant begin, Instant end) {
        static Validity of(X509Certificate certificate) {
            return new Validity(
                    certificate.getNotBefore().toInstant(),
                    certificate.getNotAfter().toInstant());
        }
    }

    /** Called behind each change, by the thread that found it. */
    public void onChange(Runnable listener) {
        listeners.add(listener);
    }

    @Override
    public void close() {
        closed = true;
        watcher.interrupt();
    }

    /** Looks at the files now; returns whether something else counts from here on. */
    synchronized boolean reload() {
        Read read;
        try {
            read = new Read(
                    Files.readAllBytes(files.cert()), Files.readAllBytes(files.key()), Files.readAllBytes(files.ca()));
        } catch (IOException e) {
            return false; // being replaced, or gone: what there was goes on
        }
        if (read.same(seen)) {
            return false;
        }
        seen = read;
        Loaded before = now;
        @Nullable List<X509Certificate> anchors = null;
        try {
            anchors = Pem.certificates(read.ca());
            List<X509Certificate> chain = Pem.certificates(read.cert());
            PrivateKey key = Pem.key(read.key());
            if (Pem.match(chain.getFirst(), key)) {
                now = loaded(key, chain, anchors);
                LOG.log(Level.INFO, () -> setting + ": new files, from now on " + identity());
            } else {
                throw new GeneralSecurityException("key and certificate do not belong together");
            }
        } catch (GeneralSecurityException e) {
            LOG.log(Level.WARNING, () -> setting + ": the files have changed and are not used yet: " + e.getMessage());
            if (anchors == null) {
                return false;
            }
            List<X509Certificate> both = new ArrayList<>(before.anchors);
            both.addAll(anchors);
            try {
                now = loaded(before.key, before.chain, both.stream().distinct().toList());
            } catch (GeneralSecurityException wrong) {
                return false;
            }
        }
        listeners.forEach(Runnable::run);
        return true;
    }

    private void watch() {
        while (!closed) {
            try {
                Thread.sleep(LOOK_MILLIS);
                reload();
            } catch (InterruptedException e) {
                return;
            } catch (RuntimeException e) {
                LOG.log(Level.ERROR, setting + ": the files cannot be looked at", e);
            }
        }
    }

    private static Loaded loaded(PrivateKey key, List<X509Certificate> chain, List<X509Certificate> anchors)
            throws GeneralSecurityException {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        keys.init(keyStore(key, chain), PASSWORD.toCharArray());
        trust.init(trustStore(anchors));
        X509ExtendedKeyManager keyManager = (X509ExtendedKeyManager) keys.getKeyManagers()[0];
        X509ExtendedTrustManager trustManager = (X509ExtendedTrustManager) trust.getTrustManagers()[0];
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(new KeyManager[] {keyManager}, new TrustManager[] {trustManager}, null);
        context.getServerSessionContext().setSessionTimeout(SESSION_SECONDS);
        context.getClientSessionContext().setSessionTimeout(SESSION_SECONDS);
        return new Loaded(key, chain, anchors, keyManager, trustManager, context);
    }

    private static KeyStore keyStore(PrivateKey key, List<X509Certificate> chain) throws GeneralSecurityException {
        KeyStore store = empty();
        store.setKeyEntry("terminus", key, PASSWORD.toCharArray(), chain.toArray(X509Certificate[]::new));
        return store;
    }

    private static KeyStore trustStore(List<X509Certificate> anchors) throws GeneralSecurityException {
        KeyStore store = empty();
        for (int i = 0; i < anchors.size(); i++) {
            store.setCertificateEntry("ca-" + i, anchors.get(i));
        }
        return store;
    }

    private static KeyStore empty() throws GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try {
            store.load(null, PASSWORD.toCharArray());
        } catch (IOException e) {
            throw new GeneralSecurityException(e); // nothing is read
        }
        return store;
    }

    private static byte[] read(String setting, Path file) throws KeysRefusedException {
        try {
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new KeysRefusedException(setting + " of \"" + file + "\" cannot be read: " + e, e);
        }
    }

    private static List<X509Certificate> certificates(String setting, Path file, byte[] pem)
            throws KeysRefusedException {
        try {
            return Pem.certificates(pem);
        } catch (GeneralSecurityException e) {
            throw new KeysRefusedException(setting + " of \"" + file + "\": " + e.getMessage(), e);
        }
    }

    private final class CurrentKeys extends X509ExtendedKeyManager {
        @Override
        public String @Nullable [] getClientAliases(String keyType, Principal[] issuers) {
            return now.keys.getClientAliases(keyType, issuers);
        }

        @Override
        public @Nullable String chooseClientAlias(String[] keyType, Principal[] issuers, Socket socket) {
            return now.keys.chooseClientAlias(keyType, issuers, socket);
        }

        @Override
        public String @Nullable [] getServerAliases(String keyType, Principal[] issuers) {
            return now.keys.getServerAliases(keyType, issuers);
        }

        @Override
        public @Nullable String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
            return now.keys.chooseServerAlias(keyType, issuers, socket);
        }

        @Override
        public @Nullable String chooseEngineClientAlias(String[] keyType, Principal[] issuers, SSLEngine engine) {
            return now.keys.chooseEngineClientAlias(keyType, issuers, engine);
        }

        @Override
        public @Nullable String chooseEngineServerAlias(String keyType, Principal[] issuers, SSLEngine engine) {
            return now.keys.chooseEngineServerAlias(keyType, issuers, engine);
        }

        @Override
        public X509Certificate @Nullable [] getCertificateChain(String alias) {
            return now.keys.getCertificateChain(alias);
        }

        @Override
        public @Nullable PrivateKey getPrivateKey(String alias) {
            return now.keys.getPrivateKey(alias);
        }
    }

    private final class CurrentTrust extends X509ExtendedTrustManager {
        private final Expected expected;

        CurrentTrust(Expected expected) {
            this.expected = expected;
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
                throws CertificateException {
            now.trust.checkClientTrusted(chain, authType, socket);
            expected.require(chain[0]);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
                throws CertificateException {
            now.trust.checkServerTrusted(chain, authType, socket);
            expected.require(chain[0]);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
                throws CertificateException {
            now.trust.checkClientTrusted(chain, authType, engine);
            expected.require(chain[0]);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
                throws CertificateException {
            now.trust.checkServerTrusted(chain, authType, engine);
            expected.require(chain[0]);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
            now.trust.checkClientTrusted(chain, authType);
            expected.require(chain[0]);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
            now.trust.checkServerTrusted(chain, authType);
            expected.require(chain[0]);
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return now.trust.getAcceptedIssuers();
        }
    }
}
