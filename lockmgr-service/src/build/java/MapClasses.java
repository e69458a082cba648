import java.lang.reflect.Method;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/**
 * Run by the build: makes what Chronicle Map would otherwise make whenever a map is opened, so that a start needs no
 * compiler and no second for it. The library looks for these classes before it makes them.
 *
 * <ul>
 *   <li>The off-heap form of the one value that every map has in its header, from the library's own generator.
 *   <li>A compiler that is none. The library asks for the JDK's when its first class is loaded, used or not, and dies
 *       without. This one is found only where there is no other, and says so.
 * </ul>
 *
 * <p>Argument: the directory for the classes. The library is on the class path.
 */
final class MapClasses {

    private static final String HEADER_VALUE = "net.openhft.chronicle.hash.VanillaGlobalMutableState";
    private static final String NO_COMPILER =
            """
            package com.sun.tools.javac.api;

            public final class JavacTool {
                private JavacTool() {}

                public static javax.tools.JavaCompiler create() {
                    return null;
                }
            }
            """;

    private MapClasses() {}

    public static void main(String[] arguments) throws ReflectiveOperationException {
        Path classes = Path.of(arguments[0]);
        Class<?> value = Class.forName(HEADER_VALUE);
        Class<?> modelClass = Class.forName("net.openhft.chronicle.values.ValueModel");
        Object model = modelClass.getMethod("acquire", Class.class).invoke(null, value);
        Method generate = Class.forName("net.openhft.chronicle.values.Generators")
                .getDeclaredMethod("generateNativeClass", modelClass, String.class);
        generate.setAccessible(true);
        String name = value.getSimpleName() + "$$Native";
        compile(classes, value.getPackageName() + "." + name, (String) generate.invoke(null, model, name), List.of());
        // Of a package that belongs to the compiler's own module, where that is seen.
        compile(
                classes,
                "com.sun.tools.javac.api.JavacTool",
                NO_COMPILER,
                List.of("--limit-modules", "java.base,java.compiler"));
    }

    private static void compile(Path classes, String name, String source, List<String> more) {
        List<String> options = new ArrayList<>(
                List.of("-d", classes.toString(), "-proc:none", "-cp", System.getProperty("java.class.path")));
        options.addAll(more);
        URI uri = URI.create("string:///" + name.replace('.', '/').replace("$", "%24") + ".java");
        JavaFileObject file = new SimpleJavaFileObject(uri, JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return source;
            }
        };
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        if (!compiler.getTask(null, null, null, options, null, List.of(file)).call()) {
            throw new IllegalStateException("cannot compile " + name);
        }
    }
}
