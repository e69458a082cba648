package io.terminus.security.rest;

import io.terminus.security.Audit;
import io.terminus.security.Identity;
import io.terminus.security.Role;
import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * Which role may ask what over HTTP: to look needs reader, to change operator, and what {@link Rule}s name needs what they say.
 * Whether the process is well everyone may ask. Who may not is refused with 403 and problem+json that names the role needed and
 * the roles had. Every request that changes something, and every refusal, is kept in the audit log.
 *
 * <p>Requests with a body of more than {@value #MOST_BODY_BYTES} bytes, or of a length not told, are refused before it is read. A body
 * has to be there within a time, however it comes: one that comes byte by byte would hold a thread for hours.
 */
public final class RestAccess implements Filter {

    /**
     * What needs another role than its method says.
     *
     * @param path begins so
     */
    public record Rule(String method, String path, Role role) {}

    static final int MOST_BODY_BYTES = 64 << 10;

    private static final String CERTIFICATES = "jakarta.servlet.request.X509Certificate";
    private static final String HEALTH = "/actuator/health";
    private static final Set<String> LOOKING = Set.of("GET", "HEAD", "OPTIONS");

    private final BooleanSupplier secure;
    private final List<Rule> rules;
    private final Audit audit;
    private final boolean keepsOwnRecord;
    private final Duration bodyTime;

    /**
     * @param secure whether callers show certificates at all
     * @param keepsOwnRecord the service itself keeps a record of what is changed, and only refusals are missing there
     * @param bodyTime for a body to come; the server itself ends a connection that is silent for as long
     */
    public RestAccess(
            BooleanSupplier secure, List<Rule> rules, Audit audit, boolean keepsOwnRecord, Duration bodyTime) {
        this.keepsOwnRecord = keepsOwnRecord;
        this.bodyTime = bodyTime;
        this.secure = secure;
        this.rules = List.copyOf(rules);
        this.audit = audit;
    }

    /** Who asks, for records of one's own. */
    public static String caller(HttpServletRequest request) {
        String address = request.getRemoteAddr() + ":" + request.getRemotePort();
        Identity identity = identity(request);
        return identity == null ? address : identity + ", " + address;
    }

    /** Has whoever asks shown a certificate with this role? */
    public static boolean has(HttpServletRequest request, Role role) {
        Identity identity = identity(request);
        return identity != null && identity.has(role);
    }

    @Override
    public void doFilter(ServletRequest asked, ServletResponse answer, FilterChain next)
            throws IOException, ServletException {
        HttpServletRequest request = (HttpServletRequest) asked;
        HttpServletResponse response = (HttpServletResponse) answer;
        String what = request.getMethod() + " " + request.getRequestURI();
        boolean looks = LOOKING.contains(request.getMethod());
        if (secure.getAsBoolean() && !isHealth(request)) {
            Identity shown = identity(request);
            Identity identity = shown == null ? Identity.nobody() : shown;
            Role needed = needed(request, looks);
            if (!identity.has(needed)) {
                String why = identity.refusal(what, Set.of(needed));
                record(request, what, "403: " + why);
                refuse(response, 403, "Forbidden", why);
                return;
            }
        }
        if (request.getContentLengthLong() > MOST_BODY_BYTES) {
            refuse(
                    response,
                    413,
                    "Content too large",
                    "a body of " + request.getContentLengthLong() + " bytes; at most " + MOST_BODY_BYTES
                            + " are allowed");
            return;
        }
        if (request.getHeader("Transfer-Encoding") != null) {
            refuse(response, 411, "Length required", "a body has to say how long it is: Content-Length");
            return;
        }
        byte[] body = body(request);
        if (body == null) {
            String late = "a body of " + request.getContentLengthLong() + " bytes has to be there within " + bodyTime;
            record(request, what, "408: " + late);
            refuse(response, 408, "Request timeout", late);
            return;
        }
        Read read = new Read(request, body);
        if (looks || keepsOwnRecord) {
            next.doFilter(read, response);
            return;
        }
        try {
            next.doFilter(read, response);
            record(request, what, response.getStatus() < 400 ? "done" : Integer.toString(response.getStatus()));
        } catch (IOException | ServletException | RuntimeException e) {
            record(request, what, "failed: " + e);
            throw e;
        }
    }

    /** All of it; null if it does not come in time. Of a status like that the server closes the connection, and reads on no more. */
    private byte @Nullable [] body(HttpServletRequest request) throws IOException {
        byte[] body = new byte[Math.max(0, (int) request.getContentLengthLong())];
        long began = System.nanoTime();
        int at = 0;
        try {
            while (at < body.length) {
                int read = request.getInputStream().read(body, at, body.length - at);
                if (read < 0) {
                    throw new EOFException("the body ends after " + at + " bytes of " + body.length);
                }
                at += read;
                if (at < body.length && System.nanoTime() - began > bodyTime.toNanos()) {
                    return null;
                }
            }
            return body;
        } catch (IOException e) {
            if (e instanceof SocketTimeoutException || e.getCause() instanceof SocketTimeoutException) {
                return null;
            }
            throw e;
        }
    }

    /** A request whose body is here already. */
    private static final class Read extends HttpServletRequestWrapper {
        private final byte[] body;

        Read(HttpServletRequest request, byte[] body) {
            super(request);
            this.body = body;
        }

        @Override
        public ServletInputStream getInputStream() {
            ByteArrayInputStream bytes = new ByteArrayInputStream(body);
            return new ServletInputStream() {
                @Override
                public int read() {
                    return bytes.read();
                }

                @Override
                public int read(byte[] into, int offset, int length) {
                    return bytes.read(into, offset, length);
                }

                @Override
                public boolean isFinished() {
                    return bytes.available() == 0;
                }

                @Override
                public boolean isReady() {
                    return true;
                }

                @Override
                public void setReadListener(ReadListener listener) {
                    throw new IllegalStateException("what is here already is not waited for");
                }
            };
        }

        @Override
        public BufferedReader getReader() {
            return new BufferedReader(new InputStreamReader(new ByteArrayInputStream(body), StandardCharsets.UTF_8));
        }
    }

    private Role needed(HttpServletRequest request, boolean looks) {
        for (Rule rule : rules) {
            if (rule.method().equals(request.getMethod()) && path(request).startsWith(rule.path())) {
                return rule.role();
            }
        }
        return looks ? Role.READER : Role.OPERATOR;
    }

    /** As controllers are found by it: decoded, and without parameters. What was sent may be spelled in many ways. */
    private static String path(HttpServletRequest request) {
        String rest = request.getPathInfo();
        return rest == null ? request.getServletPath() : request.getServletPath() + rest;
    }

    private void record(HttpServletRequest request, String what, String outcome) {
        String query = request.getQueryString();
        audit.record(caller(request), what, query == null ? "" : query, outcome);
    }

    private static boolean isHealth(HttpServletRequest request) {
        String path = request.getRequestURI();
        return request.getMethod().equals("GET") && (path.equals(HEALTH) || path.startsWith(HEALTH + "/"));
    }

    private static @Nullable Identity identity(HttpServletRequest request) {
        return request.getAttribute(CERTIFICATES) instanceof X509Certificate[] chain && chain.length > 0
                ? Identity.of(chain[0])
                : null;
    }

    private static void refuse(HttpServletResponse response, int status, String title, String detail)
            throws IOException {
        response.setStatus(status);
        response.setContentType("application/problem+json");
        response.getOutputStream()
                .write(JsonMapper.shared()
                        .writeValueAsString(Map.of("status", status, "title", title, "detail", detail))
                        .getBytes(StandardCharsets.UTF_8));
        // Now: of a request whose body was not read to its end the server would make an answer of its own.
        response.flushBuffer();
    }
}
