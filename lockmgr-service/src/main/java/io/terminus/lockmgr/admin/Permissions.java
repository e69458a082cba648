package io.terminus.lockmgr.admin;

import jakarta.servlet.http.HttpServletRequest;

/** Who may do what over HTTP. The console hides what may not be done; {@link BrowserRules} refuses it. */
@FunctionalInterface
public interface Permissions {

    /** May whoever sends this change anything? */
    boolean mayChange(HttpServletRequest request);
}
