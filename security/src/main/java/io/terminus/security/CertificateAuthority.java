package io.terminus.security;

import java.io.IOException;
import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.regex.Pattern;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.bouncycastle.util.io.pem.PemWriter;

/**
 * A small authority in a directory, for tests and first steps: who can read {@code ca.key} can be anybody. Keys are EC on
 * P-256, which every client in use takes.
 *
 * <pre>
 *   ca.crt  ca.key  NAME.crt  NAME.key
 * </pre>
 */
public final class CertificateAuthority {

    private static final String CA = "ca";
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,63}");
    private static final int CURVE_BITS = 256;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final Path directory;
    private final X509Certificate certificate;
    private final PrivateKey key;

    private CertificateAuthority(Path directory, X509Certificate certificate, PrivateKey key) {
        this.directory = directory;
        this.certificate = certificate;
        this.key = key;
    }

    /** A new one. An authority that is there already stays: whoever trusts it would trust the next one's not. */
    public static CertificateAuthority create(Path directory, String name, Instant until) throws IOException {
        Files.createDirectories(directory);
        if (Files.exists(directory.resolve(CA + ".crt"))) {
            throw new IOException("there is an authority in " + directory + " already");
        }
        try {
            KeyPair pair = pair();
            X500Principal subject = new X500Principal("CN=" + name);
            JcaX509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(
                    subject, serial(), Date.from(backdated()), Date.from(until), subject, pair.getPublic());
            builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
            builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign));
            X509Certificate made = sign(builder, pair.getPrivate());
            write(directory, CA, made, pair);
            return new CertificateAuthority(directory, made, pair.getPrivate());
        } catch (GeneralSecurityException | OperatorCreationException e) {
            throw new IOException("cannot make an authority: " + e.getMessage(), e);
        }
    }

    /** One that was made here before. */
    public static CertificateAuthority open(Path directory) throws IOException {
        try {
            return new CertificateAuthority(
                    directory,
                    Pem.certificates(Files.readAllBytes(directory.resolve(CA + ".crt")))
                            .getFirst(),
                    Pem.key(Files.readAllBytes(directory.resolve(CA + ".key"))));
        } catch (NoSuchFileException e) {
            throw new IOException("there is no authority in " + directory + ": it has no " + e.getMessage(), e);
        } catch (GeneralSecurityException e) {
            throw new IOException("the authority in " + directory + " cannot be used: " + e.getMessage(), e);
        }
    }

    /**
     * Makes a key and a certificate for it, or others in the place of those that are there.
     *
     * @param name of the files, and the subject's common name
     * @param uris see {@link Identity}
     * @param hosts names and addresses under which it is reached as a server
     */
    public TlsFiles issue(String name, Collection<String> uris, Collection<String> hosts, Instant from, Instant until)
            throws IOException {
        requireName(name);
        if (!until.isAfter(from)) {
            throw new IOException("a certificate that ends at " + until + " has to begin before that, not at " + from);
        }
        try {
            KeyPair pair = pair();
            JcaX509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(
                    certificate.getSubjectX500Principal(),
                    serial(),
                    Date.from(from),
                    Date.from(until),
                    new X500Principal("CN=" + name),
                    pair.getPublic());
            List<GeneralName> names = new ArrayList<>();
            uris.forEach(uri -> names.add(new GeneralName(GeneralName.uniformResourceIdentifier, uri)));
            for (String host : hosts) {
                boolean address = host.matches("[0-9.]+") || host.contains(":");
                names.add(new GeneralName(address ? GeneralName.iPAddress : GeneralName.dNSName, host));
            }
            if (!names.isEmpty()) {
                builder.addExtension(
                        Extension.subjectAlternativeName, false, new GeneralNames(names.toArray(GeneralName[]::new)));
            }
            builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(false));
            builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
            builder.addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(new KeyPurposeId[] {
                KeyPurposeId.id_kp_serverAuth, KeyPurposeId.id_kp_clientAuth
            }));
            write(directory, name, sign(builder, key), pair);
            return files(name);
        } catch (GeneralSecurityException | OperatorCreationException | IllegalArgumentException e) {
            throw new IOException("cannot make a certificate for " + name + ": " + e.getMessage(), e);
        }
    }

    /** It becomes the name of two files, and the authority's own would be replaced and lost by one of the same name. */
    private static void requireName(String name) throws IOException {
        if (!NAME.matcher(name).matches()) {
            throw new IOException("certificate name '" + name + "' breaks the rule " + NAME.pattern());
        }
        if (name.equals(CA)) {
            throw new IOException("'" + CA + "' is the name of the authority itself: its key would be lost");
        }
    }

    /** As {@link #issue(String, Collection, Collection, Instant, Instant)}, from now on. */
    public TlsFiles issue(String name, Collection<String> uris, Collection<String> hosts, Instant until)
            throws IOException {
        return issue(name, uris, hosts, backdated(), until);
    }

    public TlsFiles files(String name) {
        return new TlsFiles(
                directory.resolve(name + ".crt"), directory.resolve(name + ".key"), directory.resolve(CA + ".crt"));
    }

    /** Clocks differ. */
    private static Instant backdated() {
        return Instant.now().minusSeconds(300);
    }

    private static KeyPair pair() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"), RANDOM);
        return generator.generateKeyPair();
    }

    private static BigInteger serial() {
        return new BigInteger(127, RANDOM).setBit(126);
    }

    private static X509Certificate sign(JcaX509v3CertificateBuilder builder, PrivateKey by)
            throws GeneralSecurityException, OperatorCreationException {
        return new JcaX509CertificateConverter()
                .getCertificate(builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(by)));
    }

    private static void write(Path directory, String name, X509Certificate certificate, KeyPair pair)
            throws IOException, GeneralSecurityException {
        replace(
                directory.resolve(name + ".key"),
                pem("PRIVATE KEY", withPublicKey(pair).getEncoded()),
                "rw-------");
        replace(directory.resolve(name + ".crt"), pem("CERTIFICATE", certificate.getEncoded()), "rw-r--r--");
    }

    /** GnuTLS 3.7, and with it qemu and libnbd, reads no EC key without its public half, which the JDK leaves away. */
    private static PrivateKeyInfo withPublicKey(KeyPair pair) throws IOException {
        SubjectPublicKeyInfo open =
                SubjectPublicKeyInfo.getInstance(pair.getPublic().getEncoded());
        ECPrivateKey both = new ECPrivateKey(
                CURVE_BITS,
                ((java.security.interfaces.ECPrivateKey) pair.getPrivate()).getS(),
                open.getPublicKeyData(),
                null);
        return new PrivateKeyInfo(open.getAlgorithm(), both);
    }

    private static String pem(String type, byte[] der) throws IOException {
        StringWriter text = new StringWriter();
        try (PemWriter writer = new PemWriter(text)) {
            writer.writeObject(new PemObject(type, der));
        }
        return text.toString();
    }

    /** A key is never there with another mode, not even for a moment. */
    private static void replace(Path file, String text, String mode) throws IOException {
        Path fresh = file.resolveSibling(file.getFileName() + ".new");
        Files.deleteIfExists(fresh);
        Files.createFile(fresh, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(mode)));
        Files.write(fresh, text.getBytes(StandardCharsets.US_ASCII), StandardOpenOption.WRITE);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}
