package io.terminus.agent.nbd;

import static io.terminus.agent.nbd.NbdTestClient.contextData;
import static io.terminus.agent.nbd.NbdTestClient.goData;
import static io.terminus.agent.nbd.NbdTestClient.optionBytes;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.Test;

class HandshakeTest {

    private static final byte[] FIXED = {0, 0, 0, 3};

    private final MemoryExports exports =
            MemoryExports.of(new MemoryExport("disk", 1 << 20)).andElsewhere("moved", "agent b writes \"moved\" now");
    private final AtomicBoolean shuttingDown = new AtomicBoolean();
    private Security security = Security.plain();

    @Test
    void goAnswersWhatWasAskedAndEnters() {
        byte[] session = join(FIXED, optionBytes(Wire.OPT_GO, goData("disk", Wire.INFO_BLOCK_SIZE, Wire.INFO_NAME)));

        List<String> said = play(session, session.length);

        assertThat(said)
                .containsExactly("enter disk simple 3:0000" + "0000000000100000" + "0d6d"
                        + " 3:0001" + hex("disk")
                        + " 3:0003" + "00000001" + "00001000" + "02000000"
                        + " 1:");
    }

    @Test
    void defaultExportIsTheOnlyOne() {
        byte[] session = join(FIXED, optionBytes(Wire.OPT_GO, goData("")));

        assertThat(play(session, session.length)).singleElement().asString().startsWith("enter disk");
    }

    @Test
    void dontFragmentIsOfferedWithStructuredReplies() {
        byte[] session = join(FIXED, optionBytes(Wire.OPT_STRUCTURED_REPLY), optionBytes(Wire.OPT_GO, goData("disk")));

        assertThat(play(session, session.length))
                .containsExactly("reply 1:", "enter disk structured 3:0000" + "0000000000100000" + "0ded" + " 1:");
    }

    @Test
    void oldStyleWayInIsPaddedUnlessTheClientSaidNoZeroes() {
        byte[] name = "disk".getBytes(StandardCharsets.UTF_8);

        Handshake padded = new Handshake(exports, Security.plain(), shuttingDown::get);
        Handshake.Step step = padded.advance(ByteBuffer.wrap(join(new byte[] {0, 0, 0, 0}, optionBytes(1, name))));
        Handshake bare = new Handshake(exports, Security.plain(), shuttingDown::get);
        Handshake.Step bareStep = bare.advance(ByteBuffer.wrap(join(new byte[] {0, 0, 0, 2}, optionBytes(1, name))));

        assertThat(step)
                .isInstanceOfSatisfying(
                        Handshake.Step.Enter.class, e -> assertThat(e.welcome()).hasSize(134));
        assertThat(bareStep)
                .isInstanceOfSatisfying(
                        Handshake.Step.Enter.class, e -> assertThat(e.welcome()).hasSize(10));
    }

    @Test
    void refusalsSayWhy() {
        assertThat(after(optionBytes(Wire.OPT_GO, goData("nope"))))
                .isEqualTo(error(Wire.REP_ERR_UNKNOWN, "no export is named \"nope\""));
        assertThat(after(optionBytes(Wire.OPT_INFO, goData("moved"))))
                .isEqualTo(error(Wire.REP_ERR_POLICY, "agent b writes \"moved\" now"));
        assertThat(after(optionBytes(Wire.OPT_STARTTLS)))
                .isEqualTo(error(Wire.REP_ERR_UNSUP, "TLS is not offered here"));
        assertThat(after(optionBytes(4711, (byte) 1, (byte) 2)))
                .isEqualTo(error(Wire.REP_ERR_UNSUP, "option 4711 is not known"));
        assertThat(after(optionBytes(Wire.OPT_LIST, (byte) 1)))
                .isEqualTo(error(Wire.REP_ERR_INVALID, "a list request carries no data"));
        assertThat(after(optionBytes(Wire.OPT_SET_META_CONTEXT, goData("disk"))))
                .isEqualTo(error(Wire.REP_ERR_INVALID, "metadata contexts need structured replies first"));
        assertThat(after(optionBytes(Wire.OPT_GO, (byte) 0x7f, (byte) 0, (byte) 0, (byte) 0, (byte) 0, (byte) 0)))
                .startsWith("reply " + Integer.toUnsignedString(Wire.REP_ERR_INVALID, 16));
        assertThat(after(new byte[16])).isEqualTo("leave Option magic is 0x0 ");
    }

    @Test
    void contextsAreListedByNamespaceAndSelectedByName() {
        byte[] all = contextData("disk");
        byte[] ours = contextData("disk", "x-test:");
        byte[] named = contextData("disk", "x-test:blocks", "base:", "qemu:dirty-bitmap:b0");
        byte[] truncated = Arrays.copyOf(ours, ours.length - 1);
        byte[] session = join(
                FIXED,
                optionBytes(Wire.OPT_STRUCTURED_REPLY),
                optionBytes(Wire.OPT_LIST_META_CONTEXT, all),
                optionBytes(Wire.OPT_LIST_META_CONTEXT, ours),
                optionBytes(Wire.OPT_SET_META_CONTEXT, named),
                optionBytes(Wire.OPT_LIST_META_CONTEXT, truncated),
                optionBytes(Wire.OPT_GO, goData("disk")));

        List<String> said = play(session, session.length);

        String allocation = hex("base:allocation");
        String blocks = hex("x-test:blocks");
        assertThat(said.subList(1, 6))
                .containsExactly(
                        "reply 4:00000000" + allocation + " 4:00000000" + blocks + " 1:",
                        "reply 4:00000000" + blocks + " 1:",
                        "reply 4:00000002" + blocks + " 1:",
                        error(Wire.REP_ERR_INVALID, "query 0 of 1 does not fit the option"),
                        "enter disk structured with 2 3:0000" + "0000000000100000" + "0ded" + " 1:");
    }

    @Test
    void selectionIsForItsExportAndUntilTheNextOne() {
        byte[] select = optionBytes(Wire.OPT_SET_META_CONTEXT, contextData("disk", "base:allocation"));
        byte[] none = optionBytes(Wire.OPT_SET_META_CONTEXT, contextData("disk"));
        byte[] failing = optionBytes(Wire.OPT_SET_META_CONTEXT, contextData("nope", "base:allocation"));
        byte[] go = optionBytes(Wire.OPT_GO, goData(""));
        byte[] begin = join(FIXED, optionBytes(Wire.OPT_STRUCTURED_REPLY), select);

        assertThat(last(join(begin, go))).startsWith("enter disk structured with 1 ");
        assertThat(last(join(begin, none, go))).startsWith("enter disk structured 3");
        assertThat(last(join(begin, failing, go))).startsWith("enter disk structured 3");
    }

    @Test
    void extendedHeadersIncludeStructuredReplies() {
        byte[] extended = optionBytes(Wire.OPT_EXTENDED_HEADERS);
        byte[] session = join(
                FIXED,
                optionBytes(Wire.OPT_EXTENDED_HEADERS, (byte) 1),
                extended,
                extended,
                optionBytes(Wire.OPT_STRUCTURED_REPLY),
                optionBytes(Wire.OPT_GO, goData("disk")));

        assertThat(play(session, session.length))
                .containsExactly(
                        error(Wire.REP_ERR_INVALID, "an extended header request carries no data"),
                        "reply 1:",
                        error(Wire.REP_ERR_INVALID, "extended headers were agreed on already"),
                        error(Wire.REP_ERR_EXT_HEADER_REQD, "extended headers, which were agreed on, say more"),
                        "enter disk extended 3:0000" + "0000000000100000" + "0ded" + " 1:");
    }

    @Test
    void whereTlsIsRequiredNothingIsSaidWithoutIt() throws Exception {
        security = Security.required(SSLContext.getDefault());

        for (byte[] option : List.of(
                optionBytes(Wire.OPT_LIST),
                optionBytes(Wire.OPT_STRUCTURED_REPLY),
                optionBytes(Wire.OPT_GO, goData("disk")))) {
            assertThat(after(option)).isEqualTo(error(Wire.REP_ERR_TLS_REQD, "TLS is required here"));
        }
        assertThat(after(optionBytes(Wire.OPT_EXPORT_NAME, (byte) 'd'))).isEqualTo("leave TLS is required here ");
        assertThat(after(optionBytes(Wire.OPT_ABORT))).startsWith("leave Client aborted");
        assertThat(after(optionBytes(Wire.OPT_STARTTLS))).isEqualTo("tls 1:");
    }

    @Test
    void tlsForgetsWhatWasAgreedOnBefore() throws Exception {
        security = Security.offered(SSLContext.getDefault());
        Handshake handshake = new Handshake(exports, security, shuttingDown::get);
        byte[] before = join(
                FIXED,
                optionBytes(Wire.OPT_EXTENDED_HEADERS),
                optionBytes(Wire.OPT_SET_META_CONTEXT, contextData("disk", "base:allocation")),
                optionBytes(Wire.OPT_STARTTLS));
        ByteBuffer in = ByteBuffer.wrap(before);
        while (in.hasRemaining()) {
            handshake.advance(in);
        }

        Handshake.Step again = handshake.advance(ByteBuffer.wrap(optionBytes(Wire.OPT_STARTTLS)));
        Handshake.Step go = handshake.advance(ByteBuffer.wrap(optionBytes(Wire.OPT_GO, goData("disk"))));

        assertThat(describe(again)).isEqualTo(error(Wire.REP_ERR_INVALID, "TLS has begun already"));
        assertThat(describe(go)).startsWith("enter disk simple 3");
    }

    @Test
    void bytesBehindStartTlsEndTheConnection() throws Exception {
        security = Security.offered(SSLContext.getDefault());

        String said = last(join(FIXED, optionBytes(Wire.OPT_STARTTLS), optionBytes(Wire.OPT_GO, goData("disk"))));

        assertThat(said).startsWith("leave ").contains("bytes follow STARTTLS");
    }

    @Test
    void oversizeOptionIsSkippedAndTheNextOneAnswered() {
        byte[] session = join(FIXED, optionBytes(Wire.OPT_INFO, new byte[100_000]), optionBytes(Wire.OPT_LIST));

        List<String> said = play(session, 1000);

        assertThat(said.get(0)).isEqualTo(error(Wire.REP_ERR_TOO_BIG, "option data is larger than 64 KiB"));
        assertThat(said.get(1)).startsWith("reply 2:00000004" + hex("disk"));
    }

    @Test
    void absurdLengthEndsTheConnection() {
        byte[] header = ByteBuffer.allocate(16)
                .putLong(Wire.OPTION_MAGIC)
                .putInt(Wire.OPT_LIST)
                .putInt(-1)
                .array();

        assertThat(after(header)).isEqualTo("leave Option 3 has 4294967295 bytes ");
    }

    @Test
    void unknownClientFlagsEndTheConnection() {
        assertThat(play(new byte[] {0, 0, 1, 3}, 4)).containsExactly("leave Client flags 0x103 were not offered ");
    }

    @Test
    void unfixedClientMayOnlyNameAnExport() {
        byte[] session = join(new byte[4], optionBytes(Wire.OPT_LIST));

        assertThat(play(session, session.length)).containsExactly("leave Option 3 needs the fixed newstyle handshake ");
    }

    @Test
    void shutdownIsSaidToEveryOptionButAbort() {
        shuttingDown.set(true);

        assertThat(after(optionBytes(Wire.OPT_GO, goData("disk"))))
                .isEqualTo(error(Wire.REP_ERR_SHUTDOWN, "the server is shutting down"));
        assertThat(after(optionBytes(Wire.OPT_ABORT))).isEqualTo("leave Client aborted the handshake 1:");
    }

    @Test
    void everySplitOfAValidSessionSaysTheSame() {
        byte[] session = validSession();
        List<String> whole = play(session, session.length);
        assertThat(whole).hasSize(8);

        for (int step = 1; step < session.length; step++) {
            assertThat(play(session, step)).as("in steps of %d", step).isEqualTo(whole);
        }
    }

    @Test
    void mutatedSessionsNeverBreakTheServer() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);
        byte[] valid = validSession();

        for (int round = 0; round < 20_000; round++) {
            byte[] session = valid.clone();
            int mutations = 1 + random.nextInt(4);
            for (int i = 0; i < mutations; i++) {
                session[random.nextInt(session.length)] = (byte) random.nextInt();
            }
            try {
                int step = 1 + random.nextInt(session.length);
                assertThat(play(session, step)).isEqualTo(play(session, session.length));
            } catch (RuntimeException | AssertionError e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
    }

    @Test
    void randomBytesNeverBreakTheServer() {
        long seed = Long.getLong("terminus.seed", 1);
        Random random = new Random(seed);

        for (int round = 0; round < 20_000; round++) {
            byte[] data = new byte[random.nextInt(100)];
            random.nextBytes(data);
            byte[] session = join(FIXED, optionBytes(random.nextInt(13), data));
            try {
                play(session, 1 + random.nextInt(session.length));
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
    }

    // ---- fixtures

    private static byte[] validSession() {
        return join(
                FIXED,
                optionBytes(Wire.OPT_LIST),
                optionBytes(Wire.OPT_STRUCTURED_REPLY),
                optionBytes(Wire.OPT_INFO, goData("disk", Wire.INFO_DESCRIPTION)),
                optionBytes(Wire.OPT_SET_META_CONTEXT, contextData("disk", "base:allocation")),
                optionBytes(Wire.OPT_EXTENDED_HEADERS),
                optionBytes(Wire.OPT_STARTTLS),
                optionBytes(99, new byte[30]),
                optionBytes(Wire.OPT_GO, goData("disk", Wire.INFO_BLOCK_SIZE)));
    }

    private String after(byte[] option) {
        return play(join(FIXED, option), 4 + option.length).getLast();
    }

    private String last(byte[] session) {
        return play(session, session.length).getLast();
    }

    /** Feeds the bytes in steps, as a connection does, and writes down what the server says. */
    private List<String> play(byte[] session, int stepBytes) {
        Handshake handshake = new Handshake(exports, security, shuttingDown::get);
        ByteBuffer staged = ByteBuffer.allocate(session.length);
        List<String> said = new ArrayList<>();
        for (int at = 0; at < session.length; at += stepBytes) {
            staged.put(session, at, Math.min(stepBytes, session.length - at)).flip();
            while (true) {
                Handshake.Step step = handshake.advance(staged);
                if (step instanceof Handshake.Step.NeedMore) {
                    assertThat(handshake.neededBytes()).isGreaterThan(staged.remaining());
                    assertThat(handshake.neededBytes()).isLessThanOrEqualTo(Handshake.MOST_STAGED_BYTES);
                    break;
                }
                said.add(describe(step));
                if (!(step instanceof Handshake.Step.Reply)) {
                    return said;
                }
            }
            staged.compact();
        }
        return said;
    }

    private static String describe(Handshake.Step step) {
        return switch (step) {
            case Handshake.Step.Relay relay -> throw new AssertionError("nothing is served elsewhere here: " + relay);
            case Handshake.Step.NeedMore more -> "need more";
            case Handshake.Step.Reply reply -> "reply " + describe(reply.bytes());
            case Handshake.Step.StartTls tls -> "tls " + describe(tls.last());
            case Handshake.Step.Enter enter ->
                "enter " + enter.export().name() + " "
                        + enter.dialect().toString().toLowerCase(Locale.ROOT)
                        + (enter.contexts().isEmpty() ? "" : " with")
                        + enter.contexts().stream()
                                .map(selected -> " " + selected.id())
                                .reduce("", String::concat)
                        + " " + describe(enter.welcome());
            case Handshake.Step.Leave leave -> "leave " + leave.why() + " " + describe(leave.last());
        };
    }

    private static String error(int type, String text) {
        return "reply " + Integer.toUnsignedString(type, 16) + ":" + hex(text);
    }

    /** Option replies as "type:data", separated by blanks; anything else in hex. */
    private static String describe(byte[] bytes) {
        List<String> replies = new ArrayList<>();
        ByteBuffer in = ByteBuffer.wrap(bytes);
        while (in.hasRemaining()) {
            if (in.remaining() < 20 || in.getLong() != Wire.OPTION_REPLY_MAGIC) {
                return HexFormat.of().formatHex(bytes);
            }
            in.getInt();
            int type = in.getInt();
            byte[] data = new byte[in.getInt()];
            in.get(data);
            replies.add(
                    Integer.toUnsignedString(type, 16) + ":" + HexFormat.of().formatHex(data));
        }
        return String.join(" ", replies);
    }

    private static String hex(String text) {
        return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }
}
