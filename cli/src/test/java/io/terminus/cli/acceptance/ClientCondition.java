package io.terminus.cli.acceptance;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.platform.commons.support.AnnotationSupport;

/** See {@link NeedsClients}. */
final class ClientCondition implements ExecutionCondition {

    private static final String PYTHON = "python3-libnbd";
    private static final Map<String, String> PACKAGES = Map.of(
            "nbdcopy",
            "libnbd-bin",
            "nbdinfo",
            "libnbd-bin",
            "qemu-img",
            "qemu-utils",
            "qemu-io",
            "qemu-utils",
            "mkfs.ext4",
            "e2fsprogs",
            "fsck.ext4",
            "e2fsprogs",
            "losetup",
            "mount",
            PYTHON,
            PYTHON);

    /** Said once, when the last test of the run is over. */
    private static final class Skipped implements AutoCloseable {

        final AtomicInteger tests = new AtomicInteger();
        final Set<String> packages = new ConcurrentSkipListSet<>();

        @Override
        public void close() {
            System.out.println("Skipped " + tests + " tests with real clients; to run them: apt-get install "
                    + String.join(" ", packages));
        }
    }

    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
        List<String> missing = AnnotationSupport.findAnnotation(context.getElement(), NeedsClients.class)
                .map(needs -> Stream.of(needs.value())
                        .filter(client -> !isInstalled(client))
                        .toList())
                .orElse(List.of());
        if (missing.isEmpty()) {
            return ConditionEvaluationResult.enabled("its clients are installed");
        }
        if ("required".equals(System.getenv("TERMINUS_REAL_CLIENTS"))) {
            throw new IllegalStateException(
                    missing + " is not installed, and TERMINUS_REAL_CLIENTS=required forbids skipping");
        }
        Skipped skipped = context.getRoot()
                .getStore(Namespace.create(ClientCondition.class))
                .computeIfAbsent(Skipped.class, type -> new Skipped(), Skipped.class);
        skipped.tests.incrementAndGet();
        skipped.packages.addAll(missing.stream()
                .map(client -> PACKAGES.getOrDefault(client, client))
                .collect(Collectors.toSet()));
        return ConditionEvaluationResult.disabled(missing + " is not installed");
    }

    private static boolean isInstalled(String client) {
        if (client.equals(PYTHON)) {
            return pythonHasNbd();
        }
        // mkfs.ext4 is in sbin, which is not on everybody's PATH.
        String path = System.getenv().getOrDefault("PATH", "") + File.pathSeparator + "/usr/sbin" + File.pathSeparator
                + "/sbin";
        return Stream.of(path.split(Pattern.quote(File.pathSeparator), -1))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, client)));
    }

    private static boolean pythonHasNbd() {
        try {
            return new ProcessBuilder("/usr/bin/python3", "-c", "import nbd")
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException noPython) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while looking for " + PYTHON, e);
        }
    }
}
