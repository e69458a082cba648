package io.terminus.cli.acceptance;

import static com.microsoft.playwright.assertions.PlaywrightAssertions.assertThat;
import static org.assertj.core.api.Assertions.assertThat;

import com.microsoft.playwright.Locator;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.assertions.LocatorAssertions;
import com.microsoft.playwright.assertions.PlaywrightAssertions;
import com.microsoft.playwright.options.AriaRole;
import com.microsoft.playwright.options.ColorScheme;
import io.terminus.proto.lock.v1.Mode;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.MissingNode;

/** The console in a real browser, at a real set. Pictures of it stay in {@code target/console}. */
@ExtendWith(TellsTime.class)
@NeedsClients("chromium")
class ConsoleIT {

    private static final long MIB = 1 << 20;
    /** By force: until the killed one's lease and its margin have ended at the latest. */
    private static final double PROMOTION_MILLIS = 70_000;

    private static final Pattern DRAWN = Pattern.compile("M.*");
    private static final String INDEXER = "app/indexer";
    private static final String WRITER = "app/writer";
    private static final String BACKUP = "app/backup";

    @RegisterExtension
    static final SharedSet SET =
            new SharedSet("64MiB", Map.of("AGENT_LEASETTL", "60s", "LOCKMGR_MAXTTL", LockHolders.TTL_MILLIS + "ms"));

    private static Browser browser;

    /** Its processes do not move while it runs. */
    private static @Nullable LiveSet seen;

    private static JsonNode processes = MissingNode.getInstance();

    private String console;
    private String lockManager;

    @BeforeAll
    static void startBrowser() {
        PlaywrightAssertions.setDefaultAssertionTimeout(30_000);
        browser = Browser.start();
    }

    @AfterAll
    static void stopBrowser() {
        browser.close();
    }

    @BeforeEach
    void lookAtTheSet() {
        if (SET.get() != seen) {
            seen = SET.get();
            processes = seen.status().path("processes");
        }
        console = endpoint("lockmgr", "rest");
        lockManager = endpoint("lockmgr", "grpc");
    }

    @Test
    void aVolumeIsShownWithItsReplicasItsLocksAndWhatItDoes() throws Exception {
        try (Browser.Visit visit = browser.visit(ColorScheme.LIGHT)) {
            Page page = visit.page();

            page.navigate("http://" + console + "/");
            assertThat(page).hasTitle("Terminus");
            Locator row = page.getByRole(AriaRole.ROW).filter(new Locator.FilterOptions().setHasText("demo"));
            assertThat(row).containsText("well");
            assertThat(row).containsText("2 of 2");
            visit.picture("volumes-light");
            row.getByRole(AriaRole.LINK).click();

            assertThat(page.getByRole(AriaRole.HEADING, named("demo"))).isVisible();
            assertThat(card(page, "Replicas")).containsText("nbd://localhost:");
            assertThat(card(page, "Replicas").locator("tbody tr")).hasCount(2);
            assertThat(card(page, "Replicas")).containsText("writer");
            assertThat(card(page, "Locks")).containsText("the whole volume");
            assertThat(page.getByTestId("map-words")).containsText("Held: 100 %");
            assertThat(card(page, "Who waits for whom")).containsText("Nobody waits for anybody.");
            // Lag is known with the first look at the writer, latency with the writes between that one and another.
            assertThat(line(page, "Lag")).hasAttribute("d", DRAWN);
            write(200);
            assertThat(line(page, "Writes take")).hasAttribute("d", DRAWN);
            visit.picture("volume-light");
            visit.leave(console);
        }
    }

    @Test
    void aBlockedWaiterIsInTheMapAndInTheGraph() {
        try (LockHolders holders = new LockHolders(lockManager);
                Browser.Visit visit = browser.visit(ColorScheme.DARK)) {
            contend(holders, "store");
            Page page = visit.page();

            page.navigate("http://" + console + "/console/#/volumes/store");

            Locator graph = page.getByTestId("graph");
            assertThat(graph.getByTestId("edge")).hasCount(3);
            assertThat(graph).containsText(INDEXER + " waits for " + WRITER + ": wants EX of [32 MiB, 96 MiB)");
            assertThat(graph).containsText(BACKUP + " waits for " + INDEXER);
            assertThat(page.getByTestId("map-words")).containsText(Pattern.compile("contended: [1-9]"));
            assertThat(card(page, "Locks")).containsText("recalled");
            assertThat(page.locator("body")).hasCSS("background-color", "rgb(15, 21, 27)");
            visit.picture("contention-dark");
            page.getByLabel("Colours", new Page.GetByLabelOptions().setExact(true))
                    .selectOption("light");
            assertThat(page.locator("body")).hasCSS("background-color", "rgb(244, 246, 248)");
            visit.picture("contention-light");
            visit.leave(console);
        }
    }

    @Test
    void theKeyboardAloneFindsAVolumeAndItsBlocks() {
        try (LockHolders holders = new LockHolders(lockManager);
                Browser.Visit visit = browser.visit(ColorScheme.LIGHT)) {
            holders.hold("app/keys", "keys", Mode.MODE_EX, 0, 64 * MIB);
            holders.hold("app/keys", "keys", Mode.MODE_PR, 128 * MIB, 256 * MIB);
            Page page = visit.page();
            page.navigate("http://" + console + "/");
            assertThat(page.getByRole(AriaRole.ROW).filter(new Locator.FilterOptions().setHasText("keys")))
                    .isVisible();

            page.keyboard().press("/");
            page.keyboard().type("keys");
            assertThat(page.locator("tbody tr")).hasCount(1);
            page.keyboard().press("Tab");
            page.keyboard().press("Enter");
            Locator map = page.getByRole(AriaRole.APPLICATION);
            assertThat(map).isVisible();
            assertThat(page.locator(".figure")).hasText("[0 B, 256 MiB)");
            map.focus();
            assertThat(page.getByTestId("map-words")).not().containsText("Looking");
            page.keyboard().press("ArrowRight");
            assertThat(page.getByTestId("map-words")).containsText("1 lock held (none to write)");
            page.keyboard().press("Escape");
            page.keyboard().press("+");
            assertThat(page.locator(".figure")).hasText("[64 MiB, 192 MiB)");
            for (int i = 0; i < 20; i++) {
                page.keyboard().press("+");
            }
            assertThat(page.locator(".toolbar")).containsText("4 KiB a cell");
            visit.picture("blocks-light");
            page.keyboard().press("Home");
            assertThat(page.locator(".figure")).hasText("[0 B, 256 MiB)");
            visit.leave(console);
        }
    }

    @Test
    void aLockIsTakenAndASessionClosedAfterASecondWord() {
        try (LockHolders holders = new LockHolders(lockManager);
                Browser.Visit visit = browser.visit(ColorScheme.LIGHT)) {
            contend(holders, "taken");
            Page page = visit.page();
            page.navigate("http://" + console + "/console/#/volumes/taken");
            Locator release = page.getByRole(AriaRole.BUTTON, named("Release lock of " + WRITER));

            release.click();
            assertThat(page.getByRole(AriaRole.DIALOG)).containsText("Take EX of [0 B, 64 MiB) from " + WRITER);
            visit.picture("confirm-light");
            page.keyboard().press("Escape");
            assertThat(page.getByRole(AriaRole.DIALOG)).hasCount(0);
            assertThat(card(page, "Locks")).not().containsText("revoked");
            release.click();
            page.getByRole(AriaRole.BUTTON, exactly("Release lock")).click();
            assertThat(page.getByRole(AriaRole.STATUS)).containsText("The lock of " + WRITER + " is revoked.");
            assertThat(card(page, "Locks")).containsText("revoked");

            page.getByRole(AriaRole.LINK, named("Sessions")).click();
            page.getByRole(AriaRole.ROW)
                    .filter(new Locator.FilterOptions().setHasText(WRITER))
                    .filter(new Locator.FilterOptions().setHasText("1 loss not acknowledged"))
                    .getByRole(AriaRole.BUTTON)
                    .click();
            page.getByRole(AriaRole.BUTTON, exactly("Close session")).click();
            assertThat(page.getByRole(AriaRole.STATUS)).containsText("The session of " + WRITER + " is closed.");
            visit.picture("sessions-light");
            page.navigate("http://" + console + "/console/#/volumes/taken");

            assertThat(page.getByRole(AriaRole.BUTTON, named("Release lock of " + INDEXER)))
                    .isVisible();
            visit.leave(console);
        }
    }

    @Test
    void anAgentLeadsToTheConsoleWhichPromotesIt() {
        LiveSet set = SET.get();
        String replica = set.replica();
        String agent = endpoint(replica, "rest");
        try (Browser.Visit visit = browser.visit(ColorScheme.LIGHT)) {
            Page page = visit.page();
            page.navigate("http://" + agent + "/");
            page.getByRole(AriaRole.LINK, exactly("demo")).click();

            page.getByRole(AriaRole.BUTTON, named("Promote " + replica)).click();
            assertThat(page.getByRole(AriaRole.DIALOG)).containsText("Make " + replica + " the writer of demo?");
            page.getByRole(AriaRole.BUTTON, exactly("Promote")).click();

            assertThat(page.getByRole(AriaRole.STATUS)).containsText("served by " + replica);
            assertThat(card(page, "Replicas")
                            .getByRole(AriaRole.ROW)
                            .filter(new Locator.FilterOptions().setHasText("✎")))
                    .containsText(replica);
            visit.leave(console, agent);
        }
        assertThat(set.writer()).isEqualTo(replica);
    }

    @Test
    void aWriterThatIsKilledIsSeenAndTheOtherAgentPromotedByForce() {
        LiveSet set = SET.get();
        String killed = set.writer();
        String other = set.replica();
        try (Browser.Visit visit = browser.visit(ColorScheme.DARK)) {
            Page page = visit.page();
            page.navigate("http://" + console + "/console/#/volumes/demo");
            assertThat(page.locator("body")).containsText("well");

            set.kill(killed);
            assertThat(page.locator("body")).containsText("not served");
            visit.picture("writer-killed-dark");
            page.getByRole(AriaRole.BUTTON, named("Promote " + other)).click();
            page.getByLabel("By force").check();
            page.getByRole(AriaRole.BUTTON, exactly("Promote")).click();

            assertThat(page.getByRole(AriaRole.STATUS))
                    .containsText(
                            "served by " + other,
                            new LocatorAssertions.ContainsTextOptions().setTimeout(PROMOTION_MILLIS));
            assertThat(card(page, "Replicas")
                            .getByRole(AriaRole.ROW)
                            .filter(new Locator.FilterOptions().setHasText("✎")))
                    .containsText(other);
            assertThat(page.locator("body")).containsText("degraded");
            visit.picture("failed-over-dark");
            visit.leave(console);
        }
        set.repair();
    }

    /** A holder, one that wants a part of it and more, one that stands behind both, and readers in peace. */
    private static void contend(LockHolders holders, String volume) {
        holders.hold(WRITER, volume, Mode.MODE_EX, 0, 64 * MIB);
        holders.hold("app/reader", volume, Mode.MODE_PR, 128 * MIB, 192 * MIB);
        holders.hold(BACKUP, volume, Mode.MODE_PR, 160 * MIB, 256 * MIB);
        holders.ask(INDEXER, volume, Mode.MODE_EX, 32 * MIB, 96 * MIB);
        holders.awaitWaiting(volume, 1);
        holders.ask(BACKUP, volume, Mode.MODE_PR, 48 * MIB, 80 * MIB);
        holders.awaitWaiting(volume, 2);
    }

    /** So many blocks to the demo volume, one after the other. */
    private static void write(int blocks) throws Exception {
        String[] at = SET.get().uri().replaceFirst("nbd://", "").split("[:/]");
        try (NbdConnection volume =
                NbdConnection.open(new InetSocketAddress(at[0], Integer.parseInt(at[1])), at[2], 30_000)) {
            for (int i = 0; i < blocks; i++) {
                volume.send(NbdConnection.WRITE, 0, i, i * 4096L, 4096, new byte[4096]);
                assertThat(volume.receive(30_000).error()).isZero();
            }
            volume.disconnect();
        }
    }

    private static String endpoint(String process, String kind) {
        for (JsonNode one : processes) {
            if (one.path("name").asString().equals(process)) {
                return one.path("endpoints").path(kind).asString();
            }
        }
        throw new AssertionError("status shows no process " + process);
    }

    /** The first line of a plot. */
    private static Locator line(Page page, String plot) {
        return page.getByRole(AriaRole.IMG, named(plot)).locator("path.line").first();
    }

    private static Locator card(Page page, String heading) {
        return page.locator(".card")
                .filter(new Locator.FilterOptions()
                        .setHas(page.getByRole(
                                AriaRole.HEADING,
                                new Page.GetByRoleOptions().setName(heading).setExact(true))));
    }

    private static Page.GetByRoleOptions named(String name) {
        return new Page.GetByRoleOptions().setName(name);
    }

    private static Page.GetByRoleOptions exactly(String name) {
        return new Page.GetByRoleOptions().setName(name).setExact(true);
    }
}
