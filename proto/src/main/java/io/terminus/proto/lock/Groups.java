package io.terminus.proto.lock;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.util.zip.CRC32C;

/**
 * Over which of several groups of lock managers the volumes are spread, and how a call says which of them it is for: in the header {@code
 * terminus-group}, a number from 0. A call without it is for group 0, as those of clients are that know of no groups.
 *
 * <p>A volume belongs to the group CRC-32C(its name in UTF-8), taken as an unsigned number, modulo the number of groups. (CRC-32C, of
 * Castagnoli: RFC 3720, section 12.1.) Which volumes are where must never change, or two leaders would grant the same bytes; so neither may
 * this nor, once a group has begun, the number of groups.
 */
public final class Groups {

    /** A session's id has one hexadecimal digit for its group. */
    public static final int MOST = 16;

    public static final Metadata.Key<String> HEADER =
            Metadata.Key.of("terminus-group", Metadata.ASCII_STRING_MARSHALLER);

    private Groups() {}

    /** Of a volume, from 0 to below {@code groups}. */
    public static int ofVolume(String volume, int groups) {
        if (groups <= 1) {
            return 0;
        }
        CRC32C sum = new CRC32C();
        sum.update(volume.getBytes(UTF_8));
        return (int) (sum.getValue() % groups);
    }

    /** What the ids of a group's sessions begin with: nothing in group 0, {@code g1-} in group 1, {@code gf-} in group 15. */
    public static String sessionPrefix(int group) {
        return group == 0 ? "" : "g" + Character.forDigit(group, MOST) + "-";
    }

    /** Of a session, by its id. */
    public static int ofSession(String sessionId) {
        boolean prefixed = sessionId.length() > 2 && sessionId.charAt(0) == 'g' && sessionId.charAt(2) == '-';
        return prefixed ? Math.max(0, Character.digit(sessionId.charAt(1), MOST)) : 0;
    }

    /** Makes calls be for a group. */
    public static ClientInterceptor to(int group) {
        Metadata headers = new Metadata();
        if (group != 0) {
            headers.put(HEADER, String.valueOf(group));
        }
        return MetadataUtils.newAttachHeadersInterceptor(headers);
    }

    /**
     * Which group a call is for.
     *
     * @throws IllegalArgumentException unless it is a number from 0 to below {@code groups}
     */
    public static int of(Metadata headers, int groups) {
        String named = headers.get(HEADER);
        if (named == null) {
            return 0;
        }
        int group;
        try {
            group = Integer.parseInt(named);
        } catch (NumberFormatException e) {
            group = -1;
        }
        if (group < 0 || group >= groups) {
            throw new IllegalArgumentException("terminus-group of '" + named + "' breaks the rule 0 <= group < "
                    + groups + ", the number of groups");
        }
        return group;
    }
}
