package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * A table that says which test shows a feature is worth as much as the test is there. Names are written {@code ClassTest}, {@code
 * ClassTest.method}, and behind that {@code .method} or {@code method} for more of the same class.
 */
class DocsTest {

    private static final Pattern NAME = Pattern.compile("`([^`\\s]+)`");
    private static final Pattern TEST = Pattern.compile("([A-Z]\\w*[a-z](?:\\w*Test|IT))(?:\\.(\\w+))?");
    private static final Pattern MORE = Pattern.compile("\\.(\\w+)");

    @Test
    void everyTestThatIsNamedIsThere() throws IOException {
        Map<String, String> classes = testClasses();
        TreeSet<String> missing = new TreeSet<>();
        int named = 0;

        for (Path page : pages()) {
            for (String line : Files.readAllLines(page)) {
                String last = null;
                Matcher names = NAME.matcher(line);
                while (names.find()) {
                    Matcher test = TEST.matcher(names.group(1));
                    Matcher more = MORE.matcher(names.group(1));
                    String method;
                    if (test.matches()) {
                        last = test.group(1);
                        method = test.group(2);
                    } else if (last != null && more.matches()) {
                        method = more.group(1);
                    } else {
                        continue;
                    }
                    named++;
                    String source = classes.get(last);
                    if (source == null || (method != null && !source.contains(" void " + method + "("))) {
                        missing.add(page.getFileName() + ": " + last + (method == null ? "" : "." + method));
                    }
                }
            }
        }

        assertThat(named).isGreaterThan(100);
        assertThat(missing).isEmpty();
    }

    private static List<Path> pages() throws IOException {
        List<Path> pages = new ArrayList<>();
        try (Stream<Path> files = Files.walk(root().resolve("docs"))) {
            files.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
        }
        try (Stream<Path> files = Files.list(root())) {
            files.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
        }
        return pages;
    }

    /** Of all modules, by name; of two with the same name both texts. */
    private static Map<String, String> testClasses() throws IOException {
        Map<String, String> classes = new HashMap<>();
        try (Stream<Path> modules = Files.list(root())) {
            for (Path module : modules.toList()) {
                Path tests = module.resolve("src/test/java");
                if (!Files.isDirectory(tests)) {
                    continue;
                }
                try (Stream<Path> files = Files.walk(tests)) {
                    for (Path file :
                            files.filter(f -> f.toString().endsWith(".java")).toList()) {
                        String name = file.getFileName().toString().replace(".java", "");
                        classes.merge(name, Files.readString(file), String::concat);
                    }
                }
            }
        }
        return classes;
    }

    private static Path root() {
        Path here = Path.of("").toAbsolutePath();
        return Files.exists(here.resolve("docs")) ? here : here.resolve("..").normalize();
    }
}
