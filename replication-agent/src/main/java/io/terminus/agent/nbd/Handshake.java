package io.terminus.agent.nbd;

import io.terminus.agent.nbd.Exports.Lookup;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The server's half of the fixed newstyle handshake: bytes in, one step out, no socket.
 *
 * <pre>
 *   server greets  0 "NBDMAGIC" 8 "IHAVEOPT" 16 flags 18
 *   client flags   0 flags 4
 *   option         0 "IHAVEOPT" 8 option 12 length 16 data ...
 *   reply          0 magic 8 option 12 type 16 length 20 data ...
 * </pre>
 *
 * An option of up to 64 KiB is read whole; a larger one is skipped and refused as too big; one past 32 MiB ends the
 * connection, for no honest client sends it.
 *
 * <p>After STARTTLS everything agreed on before is forgotten, and whatever the client has sent behind it ends the
 * connection: nobody knows who wrote it.
 */
final class Handshake {

    /** The largest option, header included, that must be at hand before {@link #advance} can go on. */
    static final int MOST_STAGED_BYTES = 16 + (64 << 10);

    private static final int OPTION_HEADER_BYTES = 16;
    private static final int GREETING_FLAGS = Wire.FLAG_FIXED_NEWSTYLE | Wire.FLAG_NO_ZEROES;
    private static final int OLD_STYLE_PADDING_BYTES = 124;

    /** What to do next. */
    sealed interface Step {

        /** Nothing until {@link #neededBytes} are there. */
        record NeedMore() implements Step {}

        record Reply(byte[] bytes) implements Refusal {}

        /**
         * Transmission begins with {@code welcome}. If the export cannot be attached after all, the client gets
         * {@code Handshake.refusal} instead, if there is one, and the handshake goes on.
         */
        record Enter(Export export, Dialect dialect, List<Selected> contexts, byte[] welcome) implements Step {}

        /**
         * The export is served by another agent: this option, and all that follows, is for that one. If it is served here by now, the
         * option is given to {@link Handshake#advance} again; if it cannot be relayed, the client gets {@link Handshake#refusal}.
         *
         * @param option whole, with its header
         */
        record Relay(String export, byte[] option, int clientFlags, Dialect dialect) implements Step {}

        /** Send {@code last}, and what follows in both directions is TLS; then the handshake goes on. */
        record StartTls(byte[] last) implements Step {}

        /** Send {@code last}, which may be empty, and close. */
        record Leave(String why, byte[] last) implements Refusal {}

        /** How an export that cannot be attached is refused. */
        sealed interface Refusal extends Step {}
    }

    /** A metadata context the client has selected, and its number in answers. */
    record Selected(int id, MetaContext context) {}

    private static final Step NEED_MORE = new Step.NeedMore();
    private static final byte[] NOTHING = {};

    private enum State {
        CLIENT_FLAGS,
        OPTIONS,
        SKIPPING
    }

    private Exports exports;
    private final Security security;
    private final BooleanSupplier shuttingDown;

    private State state = State.CLIENT_FLAGS;
    private int clientFlags;
    private boolean relayed;
    private ByteBuffer whole = ByteBuffer.allocate(0);
    private boolean fixed;
    private boolean zeroes;
    private boolean secure;
    private Dialect dialect = Dialect.SIMPLE;

    /** What SET_META_CONTEXT chose, and of which export. */
    private List<Selected> selected = List.of();

    private String selectedOf = "";
    private int needed = 4;
    private int option;
    private int followingBytes;
    private long skipBytes;

    Handshake(Exports exports, Security security, BooleanSupplier shuttingDown) {
        this.exports = exports;
        this.security = security;
        this.shuttingDown = shuttingDown;
    }

    /** What the server says first. */
    static byte[] greeting() {
        return ByteBuffer.allocate(18)
                .putLong(Wire.GREETING_MAGIC)
                .putLong(Wire.OPTION_MAGIC)
                .putShort((short) GREETING_FLAGS)
                .array();
    }

    /** Bytes of input without which the next {@link #advance} does nothing. */
    int neededBytes() {
        return needed;
    }

    /** Takes at most one option from {@code in}, so that nobody makes a lot of replies from one packet. */
    Step advance(ByteBuffer in) {
        return switch (state) {
            case CLIENT_FLAGS -> clientFlags(in);
            case OPTIONS -> option(in);
            case SKIPPING -> skip(in);
        };
    }

    /** The reply to the option that led to {@link Step.Enter}, if its export cannot be attached. */
    Step.Refusal refusal(String why) {
        if (option == Wire.OPT_EXPORT_NAME) {
            return new Step.Leave(why, NOTHING);
        }
        return error(Wire.REP_ERR_POLICY, why);
    }

    private Step clientFlags(ByteBuffer in) {
        if (in.remaining() < 4) {
            return NEED_MORE;
        }
        int flags = in.getInt();
        if ((flags & ~GREETING_FLAGS) != 0) {
            return new Step.Leave("Client flags 0x" + Integer.toHexString(flags) + " were not offered", NOTHING);
        }
        clientFlags = flags;
        fixed = (flags & Wire.FLAG_FIXED_NEWSTYLE) != 0;
        zeroes = (flags & Wire.FLAG_NO_ZEROES) == 0;
        state = State.OPTIONS;
        needed = OPTION_HEADER_BYTES;
        return in.hasRemaining() ? option(in) : NEED_MORE;
    }

    private Step option(ByteBuffer in) {
        needed = OPTION_HEADER_BYTES;
        if (in.remaining() < OPTION_HEADER_BYTES) {
            return NEED_MORE;
        }
        int at = in.position();
        long magic = in.getLong(at);
        if (magic != Wire.OPTION_MAGIC) {
            return new Step.Leave("Option magic is 0x" + Long.toHexString(magic), NOTHING);
        }
        option = in.getInt(at + 8);
        long length = Integer.toUnsignedLong(in.getInt(at + 12));
        if (length > Wire.MOST_PAYLOAD_BYTES) {
            return new Step.Leave("Option " + option + " has " + length + " bytes", NOTHING);
        }
        if (!fixed && option != Wire.OPT_EXPORT_NAME) {
            return new Step.Leave("Option " + option + " needs the fixed newstyle handshake", NOTHING);
        }
        if (OPTION_HEADER_BYTES + length > MOST_STAGED_BYTES) {
            if (option == Wire.OPT_EXPORT_NAME) {
                return new Step.Leave("Export name has " + length + " bytes", NOTHING);
            }
            in.position(at + OPTION_HEADER_BYTES);
            skipBytes = length;
            state = State.SKIPPING;
            return skip(in);
        }
        if (in.remaining() < OPTION_HEADER_BYTES + length) {
            needed = (int) (OPTION_HEADER_BYTES + length);
            return NEED_MORE;
        }
        ByteBuffer data = in.slice(at + OPTION_HEADER_BYTES, (int) length);
        whole = in.slice(at, (int) (OPTION_HEADER_BYTES + length));
        in.position((int) (at + OPTION_HEADER_BYTES + length));
        followingBytes = in.remaining();
        return answer(data);
    }

    private Step skip(ByteBuffer in) {
        int now = (int) Math.min(skipBytes, in.remaining());
        in.position(in.position() + now);
        skipBytes -= now;
        if (skipBytes > 0) {
            needed = 1;
            return NEED_MORE;
        }
        state = State.OPTIONS;
        needed = OPTION_HEADER_BYTES;
        return error(Wire.REP_ERR_TOO_BIG, "option data is larger than 64 KiB");
    }

    private Step answer(ByteBuffer data) {
        if (option == Wire.OPT_ABORT) {
            return new Step.Leave(
                    "Client aborted the handshake",
                    new Answer(option).put(Wire.REP_ACK, NOTHING).bytes());
        }
        if (shuttingDown.getAsBoolean()) {
            return option == Wire.OPT_EXPORT_NAME
                    ? new Step.Leave("Server is shutting down", NOTHING)
                    : error(Wire.REP_ERR_SHUTDOWN, "the server is shutting down");
        }
        if (security.required() && !secure && option != Wire.OPT_STARTTLS) {
            return option == Wire.OPT_EXPORT_NAME
                    ? new Step.Leave("TLS is required here", NOTHING)
                    : error(Wire.REP_ERR_TLS_REQD, "TLS is required here");
        }
        return switch (option) {
            case Wire.OPT_EXPORT_NAME -> exportName(data);
            case Wire.OPT_LIST -> list(data);
            case Wire.OPT_INFO, Wire.OPT_GO -> infoOrGo(data);
            case Wire.OPT_STRUCTURED_REPLY -> structuredReply(data);
            case Wire.OPT_EXTENDED_HEADERS -> extendedHeaders(data);
            case Wire.OPT_LIST_META_CONTEXT -> metaContext(data, false);
            case Wire.OPT_SET_META_CONTEXT -> metaContext(data, true);
            case Wire.OPT_STARTTLS -> startTls(data);
            case Wire.OPT_RELAYED -> {
                String name = string(data, data.remaining());
                if (name == null) {
                    yield error(
                            Wire.REP_ERR_INVALID, "the name of the export is not valid UTF-8 of at most 4096 bytes");
                }
                relayed = true;
                exports = new RelayedExports(exports, name);
                yield acknowledged();
            }
            // The option number is the client's: what is not known is refused, and the next one is read.
            default -> error(Wire.REP_ERR_UNSUP, "option " + Integer.toUnsignedString(option) + " is not known");
        };
    }

    private Step exportName(ByteBuffer data) {
        String name = string(data, data.remaining());
        if (name == null) {
            return new Step.Leave("Export name is not valid UTF-8 of at most 4096 bytes", NOTHING);
        }
        return switch (exports.find(name)) {
            case Lookup.Found found -> {
                Export export = found.export();
                ByteBuffer welcome = ByteBuffer.allocate(10 + (zeroes ? OLD_STYLE_PADDING_BYTES : 0));
                welcome.putLong(export.sizeBytes()).putShort((short) transmissionFlags(export));
                yield enter(export, welcome.array());
            }
            case Lookup.Unavailable unavailable -> new Step.Leave(unavailable.why(), NOTHING);
            case Lookup.Unknown unknown -> new Step.Leave("No export is named \"" + name + "\"", NOTHING);
            case Lookup.Elsewhere elsewhere -> elsewhere(elsewhere);
        };
    }

    private Step list(ByteBuffer data) {
        if (data.hasRemaining()) {
            return error(Wire.REP_ERR_INVALID, "a list request carries no data");
        }
        Answer answer = new Answer(option);
        for (Export export : exports.list()) {
            byte[] name = export.name().getBytes(StandardCharsets.UTF_8);
            byte[] description = export.description().getBytes(StandardCharsets.UTF_8);
            answer.put(
                    Wire.REP_SERVER,
                    ByteBuffer.allocate(4 + name.length + description.length)
                            .putInt(name.length)
                            .put(name)
                            .put(description)
                            .array());
        }
        return new Step.Reply(answer.put(Wire.REP_ACK, NOTHING).bytes());
    }

    /**
     * <pre>
     *   0 name length 4 name .. count +2 requests: count x 2
     * </pre>
     */
    private Step infoOrGo(ByteBuffer data) {
        String name = sizedString(data);
        if (name == null || data.remaining() < 2) {
            return error(Wire.REP_ERR_INVALID, "the export name does not fit the option, or is not UTF-8");
        }
        int count = Short.toUnsignedInt(data.getShort());
        if (data.remaining() != 2 * count) {
            return error(
                    Wire.REP_ERR_INVALID, count + " information requests do not fill " + data.remaining() + " bytes");
        }
        boolean blockSize = false;
        boolean canonicalName = false;
        boolean description = false;
        while (data.hasRemaining()) {
            int wanted = data.getShort();
            blockSize |= wanted == Wire.INFO_BLOCK_SIZE;
            canonicalName |= wanted == Wire.INFO_NAME;
            description |= wanted == Wire.INFO_DESCRIPTION;
        }
        Export export;
        switch (exports.find(name)) {
            case Lookup.Found found -> export = found.export();
            case Lookup.Unavailable unavailable -> {
                return error(Wire.REP_ERR_POLICY, unavailable.why());
            }
            case Lookup.Unknown unknown -> {
                return error(Wire.REP_ERR_UNKNOWN, "no export is named \"" + name + "\"");
            }
            case Lookup.Elsewhere elsewhere -> {
                return elsewhere(elsewhere);
            }
        }
        Answer answer = new Answer(option);
        answer.put(
                Wire.REP_INFO,
                ByteBuffer.allocate(12)
                        .putShort((short) Wire.INFO_EXPORT)
                        .putLong(export.sizeBytes())
                        .putShort((short) transmissionFlags(export))
                        .array());
        if (canonicalName) {
            answer.putText(Wire.INFO_NAME, export.name());
        }
        if (description) {
            answer.putText(Wire.INFO_DESCRIPTION, export.description());
        }
        if (blockSize) {
            answer.put(
                    Wire.REP_INFO,
                    ByteBuffer.allocate(14)
                            .putShort((short) Wire.INFO_BLOCK_SIZE)
                            .putInt(Wire.LEAST_BLOCK_BYTES)
                            .putInt(Wire.PREFERRED_BLOCK_BYTES)
                            .putInt(Wire.MOST_PAYLOAD_BYTES)
                            .array());
        }
        byte[] bytes = answer.put(Wire.REP_ACK, NOTHING).bytes();
        return option == Wire.OPT_GO ? enter(export, bytes) : new Step.Reply(bytes);
    }

    /** One that was relayed is not sent on: two agents that take each other for the writer would do so for ever. */
    private Step elsewhere(Lookup.Elsewhere elsewhere) {
        if (relayed) {
            return refusal("volume " + elsewhere.name() + " is not served by this agent");
        }
        byte[] asked = new byte[whole.remaining()];
        whole.get(asked);
        return new Step.Relay(elsewhere.name(), asked, clientFlags, dialect);
    }

    /** Contexts count for the export they were selected for, and for no other. */
    private Step.Enter enter(Export export, byte[] welcome) {
        return new Step.Enter(export, dialect, selectedOf.equals(export.name()) ? selected : List.of(), welcome);
    }

    private Step structuredReply(ByteBuffer data) {
        if (data.hasRemaining()) {
            return error(Wire.REP_ERR_INVALID, "a structured reply request carries no data");
        }
        if (dialect == Dialect.EXTENDED) {
            return error(Wire.REP_ERR_EXT_HEADER_REQD, "extended headers, which were agreed on, say more");
        }
        dialect = Dialect.STRUCTURED;
        return acknowledged();
    }

    private Step extendedHeaders(ByteBuffer data) {
        if (data.hasRemaining()) {
            return error(Wire.REP_ERR_INVALID, "an extended header request carries no data");
        }
        if (dialect == Dialect.EXTENDED) {
            return error(Wire.REP_ERR_INVALID, "extended headers were agreed on already");
        }
        dialect = Dialect.EXTENDED;
        return acknowledged();
    }

    private Step startTls(ByteBuffer data) {
        if (data.hasRemaining()) {
            return error(Wire.REP_ERR_INVALID, "a TLS request carries no data");
        }
        if (secure) {
            return error(Wire.REP_ERR_INVALID, "TLS has begun already");
        }
        if (security.tls().isEmpty()) {
            return error(Wire.REP_ERR_UNSUP, "TLS is not offered here");
        }
        if (followingBytes > 0) {
            return new Step.Leave(followingBytes + " bytes follow STARTTLS before it was answered", NOTHING);
        }
        secure = true;
        dialect = Dialect.SIMPLE;
        selected = List.of();
        return new Step.StartTls(new Answer(option).put(Wire.REP_ACK, NOTHING).bytes());
    }

    /**
     * Lists contexts, all of them if nothing is asked for, or selects those that are named; what is not known is passed
     * over. A new selection, also one that fails, takes the place of the one before.
     *
     * <pre>
     *   0 name length 4 name .. query count +4 { length 4 query } x count
     *   reply  0 number 4 name ...
     * </pre>
     */
    private Step metaContext(ByteBuffer data, boolean select) {
        if (select) {
            selected = List.of();
        }
        if (dialect == Dialect.SIMPLE) {
            return error(Wire.REP_ERR_INVALID, "metadata contexts need structured replies first");
        }
        String name = sizedString(data);
        if (name == null || data.remaining() < 4) {
            return error(Wire.REP_ERR_INVALID, "the export name does not fit the option, or is not UTF-8");
        }
        long count = Integer.toUnsignedLong(data.getInt());
        List<String> queries = new ArrayList<>();
        for (long i = 0; i < count; i++) {
            String query = sizedString(data);
            if (query == null) {
                return error(Wire.REP_ERR_INVALID, "query " + i + " of " + count + " does not fit the option");
            }
            queries.add(query);
        }
        if (data.hasRemaining()) {
            return error(Wire.REP_ERR_INVALID, data.remaining() + " bytes follow the last query");
        }
        Export export;
        switch (exports.find(name)) {
            case Lookup.Found found -> export = found.export();
            case Lookup.Unavailable unavailable -> {
                return error(Wire.REP_ERR_POLICY, unavailable.why());
            }
            case Lookup.Unknown unknown -> {
                return error(Wire.REP_ERR_UNKNOWN, "no export is named \"" + name + "\"");
            }
            case Lookup.Elsewhere elsewhere -> {
                return elsewhere(elsewhere);
            }
        }
        List<Selected> matching = matching(export.contexts(), queries, select);
        if (select) {
            selected = matching;
            selectedOf = export.name();
        }
        Answer answer = new Answer(option);
        for (Selected each : matching) {
            byte[] context = each.context().name().getBytes(StandardCharsets.UTF_8);
            answer.put(
                    Wire.REP_META_CONTEXT,
                    ByteBuffer.allocate(4 + context.length)
                            .putInt(select ? each.id() : 0)
                            .put(context)
                            .array());
        }
        return new Step.Reply(answer.put(Wire.REP_ACK, NOTHING).bytes());
    }

    private static List<Selected> matching(List<MetaContext> offered, List<String> queries, boolean select) {
        List<Selected> matching = new ArrayList<>();
        for (int i = 0; i < offered.size(); i++) {
            MetaContext context = offered.get(i);
            boolean meant = select
                    ? queries.contains(context.name())
                    : queries.isEmpty() || queries.stream().anyMatch(context::listedBy);
            if (meant) {
                matching.add(new Selected(i + 1, context));
            }
        }
        return List.copyOf(matching);
    }

    private Step acknowledged() {
        return new Step.Reply(new Answer(option).put(Wire.REP_ACK, NOTHING).bytes());
    }

    private Step.Reply error(int type, String why) {
        return new Step.Reply(new Answer(option)
                .put(type, why.getBytes(StandardCharsets.UTF_8))
                .bytes());
    }

    private int transmissionFlags(Export export) {
        return Wire.HAS_FLAGS
                | (export.readOnly() ? Wire.READ_ONLY : 0)
                | Wire.SEND_FLUSH
                | Wire.SEND_FUA
                | Wire.SEND_TRIM
                | Wire.SEND_WRITE_ZEROES
                | Wire.SEND_FAST_ZERO
                | Wire.CAN_MULTI_CONN
                | Wire.SEND_CACHE
                | (dialect == Dialect.SIMPLE ? 0 : Wire.SEND_DF);
    }

    private static @Nullable String sizedString(ByteBuffer data) {
        if (data.remaining() < 4) {
            return null;
        }
        long length = Integer.toUnsignedLong(data.getInt());
        return length > data.remaining() ? null : string(data, (int) length);
    }

    private static @Nullable String string(ByteBuffer data, int length) {
        if (length > Wire.MOST_STRING_BYTES) {
            return null;
        }
        ByteBuffer bytes = data.slice(data.position(), length);
        data.position(data.position() + length);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    /** The replies to one option. */
    private static final class Answer {
        private final int option;
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Answer(int option) {
            this.option = option;
        }

        Answer put(int type, byte[] data) {
            try (DataOutputStream out = new DataOutputStream(bytes)) {
                out.writeLong(Wire.OPTION_REPLY_MAGIC);
                out.writeInt(option);
                out.writeInt(type);
                out.writeInt(data.length);
                out.write(data);
            } catch (IOException e) {
                throw new UncheckedIOException(e); // memory does not fail
            }
            return this;
        }

        void putText(int info, String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            put(
                    Wire.REP_INFO,
                    ByteBuffer.allocate(2 + utf8.length)
                            .putShort((short) info)
                            .put(utf8)
                            .array());
        }

        byte[] bytes() {
            return bytes.toByteArray();
        }
    }
}
