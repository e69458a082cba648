package io.terminus.cli.acceptance;

import java.time.Duration;
import java.util.Locale;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;

/** Says how long each test took: these are the tests that make a build long. */
final class TellsTime implements BeforeEachCallback, AfterEachCallback {

    private static final Namespace NAMESPACE = Namespace.create(TellsTime.class);

    @Override
    public void beforeEach(ExtensionContext context) {
        context.getStore(NAMESPACE).put("began", System.nanoTime());
    }

    @Override
    public void afterEach(ExtensionContext context) {
        Long began = context.getStore(NAMESPACE).get("began", Long.class);
        if (began != null) {
            System.out.printf(
                    Locale.ROOT,
                    "%7.1f s  %s.%s%s%n",
                    Duration.ofNanos(System.nanoTime() - began).toMillis() / 1000.0,
                    context.getRequiredTestClass().getSimpleName(),
                    context.getRequiredTestMethod().getName(),
                    context.getExecutionException().isPresent() ? "  FAILED" : "");
        }
    }
}
