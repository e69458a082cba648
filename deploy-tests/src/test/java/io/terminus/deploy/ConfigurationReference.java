package io.terminus.deploy;

import com.sun.source.doctree.DocCommentTree;
import com.sun.source.doctree.DocTree;
import com.sun.source.doctree.ParamTree;
import com.sun.source.tree.AnnotationTree;
import com.sun.source.tree.AssignmentTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.ExpressionTree;
import com.sun.source.tree.LiteralTree;
import com.sun.source.tree.NewArrayTree;
import com.sun.source.tree.Tree.Kind;
import com.sun.source.tree.VariableTree;
import com.sun.source.util.DocTrees;
import com.sun.source.util.JavacTask;
import com.sun.source.util.TreePath;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import javax.lang.model.element.Modifier;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;

/**
 * {@code docs/configuration.md}, out of the records that the services' settings are read into: their components, the defaults of
 * their annotations, and what their comments say. Read by the compiler's own parser.
 */
final class ConfigurationReference {

    private static final Map<String, String> SERVICES = Map.of(
            "agent", "replication-agent/src/main/java/io/terminus/agent/app/AgentProperties.java",
            "lockmgr", "lockmgr-service/src/main/java/io/terminus/lockmgr/app/LockManagerProperties.java");

    /** Records that the services' have parts of. */
    private static final Map<String, String> SHARED =
            Map.of("TlsFiles", "security/src/main/java/io/terminus/security/TlsFiles.java");

    /** What Spring Boot reads itself, and what both services ask it for. */
    private static final Set<String> OF_BOOT = Set.of("server.port", "server.address", "terminus.insecure");

    /** @param standard as it is written; empty: none */
    record Setting(String key, String type, String standard, String words) {

        /** As Spring Boot reads it from the environment. */
        String variable() {
            return key.toUpperCase(Locale.ROOT).replace("-", "").replace('.', '_');
        }
    }

    private ConfigurationReference() {}

    static Set<String> keys() {
        Set<String> keys = new TreeSet<>(OF_BOOT);
        for (String prefix : SERVICES.keySet()) {
            settings(prefix).forEach(setting -> keys.add(setting.key()));
        }
        return keys;
    }

    /** How Spring Boot would find them in the environment. */
    static Set<String> variables() {
        return keys().stream()
                .map(key -> new Setting(key, "", "", "").variable())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    static String markdown() {
        StringBuilder page = new StringBuilder("""
                # Settings

                <!-- Made from the configuration records of the services: after a change there, run
                     ./mvnw -pl deploy-tests test -Dtest=ReferencesTest -Dterminus.docs=write -->

                Each can be given as `--KEY=VALUE` on the command line, as the variable in the environment, or as `KEY=VALUE` in an
                `application.properties` in the process's working directory; the first of these that there is counts. Times are written as
                `500ms`, `10s`, `5m`, sizes as `4KB`, `64MB` (of 1024). A value that breaks a rule stops the start with a sentence that names
                it. What they are for, and how they belong together: [operations](operations.md#settings).
                """);
        section(
                page,
                "The agent",
                "agent",
                "`server.port` (`SERVER_PORT`), 10814 by default, is the port of REST and metrics");
        section(
                page,
                "The lock manager",
                "lockmgr",
                "`server.port` (`SERVER_PORT`), 10812 by default, is the port of REST and metrics");
        return page.toString();
    }

    private static void section(StringBuilder page, String title, String prefix, String rest) {
        page.append("\n## ").append(title).append("\n\n");
        page.append(rest)
                .append(", `server.address` (`SERVER_ADDRESS`) where it listens, by default where the other ports do;"
                        + " `terminus.insecure` (`TERMINUS_INSECURE`), false by default, lets ports beyond loopback be open to"
                        + " everyone, see [security](security.md).\n\n");
        page.append("| Key | Variable | Type | Default | |\n|---|---|---|---|---|\n");
        for (Setting setting : settings(prefix)) {
            page.append("| `%s` | `%s` | %s | %s | %s |\n"
                    .formatted(
                            setting.key(),
                            setting.variable(),
                            setting.type(),
                            setting.standard().isEmpty() ? "" : "`" + setting.standard() + "`",
                            setting.words()));
        }
    }

    static List<Setting> settings(String prefix) {
        return settings(prefix, String.valueOf(SERVICES.get(prefix)));
    }

    private static List<Setting> settings(String prefix, String source) {
        Path file = Repository.ROOT.resolve(source);
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        try (var files = compiler.getStandardFileManager(null, null, null)) {
            JavacTask task =
                    (JavacTask) compiler.getTask(null, files, null, List.of(), null, files.getJavaFileObjects(file));
            CompilationUnitTree unit = task.parse().iterator().next();
            TreePath root = new TreePath(unit);
            TreePath record = new TreePath(root, unit.getTypeDecls().getFirst());
            List<Setting> settings = new ArrayList<>();
            of(DocTrees.instance(task), record, prefix, settings);
            return settings;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void of(DocTrees docs, TreePath path, String prefix, List<Setting> settings) {
        ClassTree record = (ClassTree) path.getLeaf();
        Map<String, String> words = words(docs.getDocCommentTree(path));
        Map<String, TreePath> nested = new HashMap<>();
        Map<String, String> choices = new HashMap<>();
        for (var member : record.getMembers()) {
            if (member.getKind() == Kind.RECORD) {
                ClassTree inner = (ClassTree) member;
                nested.put(inner.getSimpleName().toString(), new TreePath(path, inner));
            } else if (member.getKind() == Kind.ENUM) {
                ClassTree choice = (ClassTree) member;
                choices.put(choice.getSimpleName().toString(), constants(choice));
            }
        }
        for (var member : record.getMembers()) {
            if (!(member instanceof VariableTree component)
                    || component.getModifiers().getFlags().contains(Modifier.STATIC)) {
                continue;
            }
            String name = component.getName().toString();
            String key =
                    prefix + "." + name.replaceAll("([a-z0-9])([A-Z])", "$1-$2").toLowerCase(Locale.ROOT);
            String type = component.getType().toString().replaceAll("@\\w+(\\(\\))? ?", "");
            TreePath inner = nested.get(type);
            if (inner != null) {
                of(docs, inner, key, settings);
            } else if (SHARED.containsKey(type)) {
                settings.addAll(settings(key, String.valueOf(SHARED.get(type))));
            } else {
                String word = choices.containsKey(type) ? String.valueOf(choices.get(type)) : type(type);
                settings.add(new Setting(key, word, standard(component), words.getOrDefault(name, "")));
            }
        }
    }

    /** As Spring Boot reads them. */
    private static String constants(ClassTree choice) {
        return choice.getMembers().stream()
                .filter(VariableTree.class::isInstance)
                .map(constant -> ((VariableTree) constant).getName().toString().toLowerCase(Locale.ROOT))
                .collect(Collectors.joining(" or "));
    }

    private static Map<String, String> words(DocCommentTree comment) {
        Map<String, String> words = new HashMap<>();
        if (comment != null) {
            for (DocTree tag : comment.getBlockTags()) {
                if (tag instanceof ParamTree param) {
                    words.put(param.getName().toString(), markdown(param));
                }
            }
        }
        return words;
    }

    private static String markdown(ParamTree param) {
        String text = param.getDescription().stream().map(DocTree::toString).collect(Collectors.joining());
        return text.replaceAll("\\{@(?:code|link) ([^}]*)\\}", "`$1`")
                .replaceAll("\\s+", " ")
                .replace("|", "\\|");
    }

    private static String standard(VariableTree component) {
        for (AnnotationTree annotation : component.getModifiers().getAnnotations()) {
            if (annotation.getAnnotationType().toString().equals("DefaultValue")) {
                return annotation.getArguments().stream()
                        .map(ConfigurationReference::literals)
                        .collect(Collectors.joining(","));
            }
        }
        return "";
    }

    private static String literals(ExpressionTree expression) {
        return switch (expression) {
            case AssignmentTree assignment -> literals(assignment.getExpression());
            case NewArrayTree array ->
                array.getInitializers().stream()
                        .map(ConfigurationReference::literals)
                        .collect(Collectors.joining(","));
            case LiteralTree literal -> String.valueOf(literal.getValue());
            default -> throw new AssertionError("a default that is no literal: " + expression);
        };
    }

    private static String type(String java) {
        return switch (java) {
            case "Duration" -> "time";
            case "DataSize" -> "size";
            case "int", "long" -> "number";
            case "boolean" -> "true or false";
            case "Path" -> "path";
            case "String" -> "text";
            case "List<String>" -> "list, with commas";
            default -> throw new AssertionError("a type that has no word here: " + java);
        };
    }
}
