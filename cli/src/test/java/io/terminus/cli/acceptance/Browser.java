package io.terminus.cli.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.BrowserType;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.Playwright;
import com.microsoft.playwright.options.ColorScheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The system's Chromium without a window, driven by the console's own playwright-core. What the page complains of and what it
 * asks of others is kept, and checked when a page is left.
 */
final class Browser implements AutoCloseable {

    private static final double PATIENCE_MILLIS = 30_000;
    private static final int WIDTH = 1280;
    private static final int HEIGHT = 900;

    private final Playwright playwright;
    private final com.microsoft.playwright.Browser chromium;
    private final Path pictures;

    private Browser(Playwright playwright, com.microsoft.playwright.Browser chromium, Path pictures) {
        this.playwright = playwright;
        this.chromium = chromium;
        this.pictures = pictures;
    }

    static Browser start() {
        try {
            Path console = LiveSet.module().resolve("../console").normalize();
            Path target = LiveSet.module().resolve("target");
            Path node = Path.of(Program.run(
                            Files.createDirectories(target.resolve("acceptance")),
                            console.resolve("web.sh").toString(),
                            "node")
                    .strip());
            // Where the driver would be unpacked to, had it come with the client.
            Path driver = Files.createDirectories(target.resolve("playwright"));
            Files.deleteIfExists(driver.resolve("package"));
            Files.createSymbolicLink(driver.resolve("package"), console.resolve("node_modules/playwright-core"));
            System.setProperty("playwright.cli.dir", driver.toString());
            Playwright playwright = Playwright.create(new Playwright.CreateOptions()
                    .setEnv(Map.of(
                            "PLAYWRIGHT_NODEJS_PATH", node.toString(), "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")));
            com.microsoft.playwright.Browser chromium = playwright
                    .chromium()
                    .launch(new BrowserType.LaunchOptions()
                            .setExecutablePath(Path.of("/usr/bin/chromium"))
                            // Containers have neither a sandbox for root nor a /dev/shm worth having.
                            .setArgs(List.of("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")));
            return new Browser(playwright, chromium, Files.createDirectories(target.resolve("console")));
        } catch (IOException e) {
            throw new AssertionError("cannot start a browser", e);
        }
    }

    /** A new browser profile with one page. */
    Visit visit(ColorScheme colours) {
        BrowserContext context = chromium.newContext(new com.microsoft.playwright.Browser.NewContextOptions()
                .setColorScheme(colours)
                .setViewportSize(WIDTH, HEIGHT));
        context.setDefaultTimeout(PATIENCE_MILLIS);
        return new Visit(context, pictures);
    }

    @Override
    public void close() {
        chromium.close();
        playwright.close();
    }

    /** One page, until it is left. */
    static final class Visit implements AutoCloseable {

        private final BrowserContext context;
        private final Path pictures;
        private final Page page;
        private final List<String> complaints = new ArrayList<>();
        private final List<String> hosts = new ArrayList<>();

        private Visit(BrowserContext context, Path pictures) {
            this.context = context;
            this.pictures = pictures;
            this.page = context.newPage();
            page.onPageError(complaints::add);
            page.onConsoleMessage(message -> {
                if (message.type().equals("error")) {
                    complaints.add(message.text());
                }
            });
            page.onRequest(
                    request -> hosts.add(java.net.URI.create(request.url()).getAuthority()));
        }

        Page page() {
            return page;
        }

        /** The whole page as a picture, for whoever wants to see what it looks like. */
        void picture(String name) {
            page.screenshot(new Page.ScreenshotOptions().setFullPage(true).setPath(pictures.resolve(name + ".png")));
        }

        /** @param authorities whom the page may have asked */
        void leave(String... authorities) {
            assertThat(complaints).as("what the browser complains of").isEmpty();
            assertThat(hosts).isNotEmpty().allMatch(List.of(authorities)::contains);
        }

        @Override
        public void close() {
            context.close();
        }
    }
}
