package io.terminus.simulation;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import org.jspecify.annotations.Nullable;

/**
 * Loads the product, as {@link Rewriting} changes it, and what drives it. The kernel and the stand-ins are outside: they are
 * the world that the product finds itself in. One for a JVM: that the product is loaded once for all runs makes thousands of
 * them cheap, and means that what the product keeps in static fields is shared by all processes of all runs.
 */
public final class SimLoader extends ClassLoader {

    private static final String[] OUTSIDE = {"io.terminus.simulation.kernel.", "io.terminus.simulation.standin."};

    private static @Nullable SimLoader only;

    private final Rewriting rewriting;

    static {
        registerAsParallelCapable();
    }

    private SimLoader(ClassLoader parent) {
        super("simulated", parent);
        this.rewriting = new Rewriting(parent);
    }

    /** One that has loaded nothing yet. */
    static SimLoader fresh() {
        return new SimLoader(SimLoader.class.getClassLoader());
    }

    public static synchronized SimLoader get() {
        SimLoader there = only;
        if (there == null) {
            there = fresh();
            only = there;
        }
        return there;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!isInside(name)) {
            return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
            Class<?> loaded = findLoadedClass(name);
            return loaded != null ? loaded : define(name);
        }
    }

    private static boolean isInside(String name) {
        if (!name.startsWith("io.terminus.")) {
            return false;
        }
        for (String outside : OUTSIDE) {
            if (name.startsWith(outside)) {
                return false;
            }
        }
        // This package itself, but for the worlds below it.
        return !name.startsWith("io.terminus.simulation.") || name.startsWith("io.terminus.simulation.world.");
    }

    private Class<?> define(String name) throws ClassNotFoundException {
        URL resource = getParent().getResource(name.replace('.', '/') + ".class");
        if (resource == null) {
            throw new ClassNotFoundException(name);
        }
        try (InputStream in = resource.openStream()) {
            byte[] bytes = in.readAllBytes();
            // Messages neither wait nor look at a clock; the stubs beside them do.
            boolean message = name.startsWith("io.terminus.proto.") && !name.contains("Grpc");
            byte[] defined = message ? bytes : rewriting.rewritten(bytes);
            return defineClass(name, defined, 0, defined.length);
        } catch (IOException e) {
            throw new ClassNotFoundException(name, e);
        }
    }
}
