package io.terminus.security;

import java.nio.file.Path;

/**
 * PEM files, read anew when they change.
 *
 * @param cert this side's certificate, and those between it and the one the other side trusts
 * @param key its private key, without a password: PKCS#8, PKCS#1 or SEC1
 * @param ca the other side must show a certificate that one of these has signed
 */
public record TlsFiles(Path cert, Path key, Path ca) {}
