package io.terminus.lockmgr.admin;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.springframework.web.filter.OncePerRequestFilter;
import tools.jackson.databind.json.JsonMapper;

/**
 * What browsers are told, and what is not believed of them.
 *
 * <p>A page of somebody else's that an operator has open could send requests here in the operator's name. It cannot read
 * answers, but a change would be done. So a change is refused if the browser says that it comes from another site; programs
 * that are no browsers say nothing of the kind.
 */
public final class BrowserRules extends OncePerRequestFilter {

    /** The console brings all it needs, talks to its own lock manager, and is in nobody's frame. */
    private static final String CONTENT_SECURITY_POLICY = "default-src 'none'; script-src 'self'; style-src 'self';"
            + " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static final Set<String> READING = Set.of("GET", "HEAD", "OPTIONS");
    private static final Set<String> OWN_SITE = Set.of("same-origin", "none");

    private final Permissions permissions;

    public BrowserRules(Permissions permissions) {
        this.permissions = permissions;
    }

    @Override
    protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws ServletException, IOException {
        // Whatever the path: one that is written in another way leads to the same place.
        response.setHeader("X-Content-Type-Options", "nosniff");
        response.setHeader("Referrer-Policy", "no-referrer");
        response.setHeader("Content-Security-Policy", CONTENT_SECURITY_POLICY);
        if (request.getRequestURI().startsWith("/console/")) {
            // The names of assets change with what is in them.
            response.setHeader(
                    "Cache-Control",
                    request.getRequestURI().startsWith("/console/assets/")
                            ? "public, max-age=31536000, immutable"
                            : "no-cache");
        }
        String why = refusal(request);
        if (why == null) {
            chain.doFilter(request, response);
        } else {
            refuse(response, why);
        }
    }

    private @Nullable String refusal(HttpServletRequest request) {
        if (READING.contains(request.getMethod())) {
            return null;
        }
        if (!isOfOwnSite(request)) {
            return "a page of another site may not change anything here";
        }
        return permissions.mayChange(request) ? null : "this address only shows: lockmgr.rest.changes is false";
    }

    private static boolean isOfOwnSite(HttpServletRequest request) {
        String site = request.getHeader("Sec-Fetch-Site");
        if (site != null) {
            return OWN_SITE.contains(site);
        }
        String origin = request.getHeader("Origin");
        if (origin == null) {
            return true;
        }
        try {
            return request.getHeader("Host") != null
                    && request.getHeader("Host").equalsIgnoreCase(new URI(origin).getRawAuthority());
        } catch (URISyntaxException e) {
            return false;
        }
    }

    private static void refuse(HttpServletResponse response, String why) throws IOException {
        response.setStatus(HttpServletResponse.SC_FORBIDDEN);
        response.setContentType("application/problem+json");
        response.getWriter()
                .write(JsonMapper.shared()
                        .writeValueAsString(Map.of(
                                "title", "Forbidden", "status", 403, "detail", why, "reason", "PERMISSION_DENIED")));
    }
}
