package io.terminus.security.rest;

import io.terminus.security.Audit;
import io.terminus.security.Identity;
import io.terminus.security.Role;
import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
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
 * <p>Requests with a body of more than {@value #MOST_BODY_BYTES} bytes, or of a length not told, are refused before it is read.
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

    /**
     * @param secure whether callers show certificates at all
     * @param keepsOwnRecord the service itself keeps a record of what is changed, and only refusals are missing there
     */
    public RestAccess(BooleanSupplier secure, List<Rule> rules, Audit audit, boolean keepsOwnRecord) {
        this.keepsOwnRecord = keepsOwnRecord;
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
        if (looks || keepsOwnRecord) {
            next.doFilter(request, response);
            return;
        }
        try {
            next.doFilter(request, response);
            record(request, what, response.getStatus() < 400 ? "done" : Integer.toString(response.getStatus()));
        } catch (IOException | ServletException | RuntimeException e) {
            record(request, what, "failed: " + e);
            throw e;
        }
    }

    private Role needed(HttpServletRequest request, boolean looks) {
        for (Rule rule : rules) {
            if (rule.method().equals(request.getMethod())
                    && request.getRequestURI().startsWith(rule.path())) {
                return rule.role();
            }
        }
        return looks ? Role.READER : Role.OPERATOR;
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
    }
}
