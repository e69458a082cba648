package io.terminus.security;

import java.util.Locale;

/** What a certificate lets its owner do; docs/security.md has the table. */
public enum Role {
    /** Everything. */
    ADMIN,
    /** Creates, resizes, moves and releases, and reads. */
    OPERATOR,
    /** Lists and looks, and changes nothing. */
    READER,
    /** Holds locks in sessions of its own, and uses volumes over NBD. */
    CLIENT,
    /** Replicates: has a name, and acts for the volumes it has a replica of. */
    AGENT,
    /** A lock manager: asks the other members of its group. */
    LOCKMGR;

    /** As it stands in certificates and messages. */
    public String title() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** What this role may, who has {@code had} may too. */
    boolean isIn(Role had) {
        return had == this || had == ADMIN || (this == READER && had == OPERATOR);
    }
}
