package io.terminus.deploy;

import com.marcnuri.helm.Helm;
import com.marcnuri.helm.LintResult;
import com.marcnuri.helm.TemplateCommand;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The chart, as Helm itself sees it: lints and renders in this process. */
final class Chart {

    private static final Helm HELM = new Helm(Repository.CHART);

    private Chart() {}

    static LintResult lint() {
        return HELM.lint().strict().call();
    }

    static String render(Path values) {
        TemplateCommand template = HELM.template()
                .withName("prod")
                .withNamespace("storage")
                .withKubeVersion("1.34.0")
                .withValuesFile(values);
        return template.call();
    }

    static List<Tree> objects(Path values) {
        return Tree.all(render(values));
    }

    /** With values that are written here. */
    static List<Tree> objectsOf(Path scratch, String values) {
        try {
            return objects(Files.writeString(scratch.resolve("values.yaml"), values));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
