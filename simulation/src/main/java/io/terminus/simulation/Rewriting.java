package io.terminus.simulation;

import io.terminus.simulation.kernel.World;
import io.terminus.simulation.standin.Grpc;
import io.terminus.simulation.standin.Locks;
import io.terminus.simulation.standin.Maps;
import io.terminus.simulation.standin.Misc;
import io.terminus.simulation.standin.Pools;
import io.terminus.simulation.standin.Selectors;
import io.terminus.simulation.standin.Servers;
import io.terminus.simulation.standin.SimThread;
import io.terminus.simulation.standin.Sockets;
import io.terminus.simulation.standin.Sync;
import io.terminus.simulation.standin.Threads;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.FieldModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.Opcode;
import java.lang.classfile.TypeKind;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.MonitorInstruction;
import java.lang.classfile.instruction.NewObjectInstruction;
import java.lang.classfile.instruction.ReturnInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.DirectMethodHandleDesc;
import java.lang.constant.DynamicCallSiteDesc;
import java.lang.constant.MethodHandleDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.reflect.AccessFlag;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What a class of the product becomes when it is loaded for a run: wherever it calls the JDK or a library for threads, locks,
 * time, chance, files or sockets, it calls a stand-in. Nothing else of it changes, but that
 *
 * <ul>
 *   <li>monitors are stand-ins' as well: a task that waits must not hold one that the JVM knows of,
 *   <li>objects that are hashed by where they lie get a number from the run instead,
 *   <li>a read or write of a volatile field is a place at which another task may get its turn,
 *   <li>a static initialiser says when it begins and ends: no run may see whether it was in this one.
 * </ul>
 */
final class Rewriting {

    /** Whose methods may have stand-ins, and where those are: static methods of the same name, the receiver first. */
    private static final Map<String, Class<?>> METHODS = new LinkedHashMap<>();

    /** What is made with {@code new} instead: subclasses. */
    static final Map<String, Class<?>> CLASSES = new LinkedHashMap<>();

    /** Places where the product itself reaches the system, by owner, name and type; and the class that does it here. */
    static final Map<String, String> SEAMS = Map.of(
            "io/terminus/lockmgr/client/LockClient.connect(Lio/terminus/lockmgr/client/LockClient$Config;)"
                    + "Lio/terminus/lockmgr/client/LockClient;",
            "io.terminus.lockmgr.client.SimulatedClients",
            "io/terminus/lockmgr/client/LeaseClock.system()Lio/terminus/lockmgr/client/LeaseClock;",
            "io.terminus.lockmgr.client.SimulatedClients",
            "io/terminus/agent/image/NativeFile.open(Ljava/nio/file/Path;)Lio/terminus/agent/image/NativeFile;",
            "io.terminus.agent.image.SimulatedFile");

    static {
        for (String owner : List.of(
                "java/lang/Thread",
                "java/util/concurrent/TimeUnit",
                "java/lang/Thread$Builder$OfPlatform",
                "java/lang/Thread$Builder$OfVirtual")) {
            METHODS.put(owner, Threads.class);
        }
        for (String owner : List.of(
                "java/lang/Object",
                "java/util/concurrent/locks/LockSupport",
                "java/util/concurrent/CompletableFuture",
                "java/util/concurrent/Future")) {
            METHODS.put(owner, Sync.class);
        }
        METHODS.put("java/util/concurrent/Executors", Pools.class);
        for (String owner : List.of(
                "java/lang/System",
                "java/lang/Runtime",
                "java/time/Instant",
                "java/util/UUID",
                "java/util/Collection",
                "java/nio/file/Path",
                "java/io/RandomAccessFile",
                "java/io/FileDescriptor",
                "org/slf4j/LoggerFactory",
                "io/github/resilience4j/core/IntervalFunction",
                "io/github/resilience4j/circuitbreaker/CircuitBreaker",
                "io/github/resilience4j/ratelimiter/RateLimiter",
                "io/github/resilience4j/retry/Retry")) {
            METHODS.put(owner, Misc.class);
        }
        METHODS.put("java/nio/channels/SocketChannel", Sockets.class);
        METHODS.put("java/nio/channels/ServerSocketChannel", Servers.class);
        METHODS.put("java/nio/channels/Selector", Selectors.class);
        METHODS.put("net/openhft/chronicle/map/ChronicleMapBuilder", Maps.class);
        for (String owner :
                List.of("io/grpc/netty/NettyChannelBuilder", "io/grpc/stub/AbstractStub", "io/grpc/stub/ClientCalls")) {
            METHODS.put(owner, Grpc.class);
        }
        CLASSES.put("java/lang/Thread", SimThread.class);
        CLASSES.put("java/util/concurrent/locks/ReentrantLock", Locks.Reentrant.class);
        CLASSES.put("java/util/concurrent/locks/ReentrantReadWriteLock", Locks.ReadWrite.class);
        CLASSES.put("java/util/concurrent/locks/StampedLock", Locks.Stamped.class);
        CLASSES.put("java/util/concurrent/Semaphore", Locks.Counting.class);
        CLASSES.put("java/util/concurrent/CountDownLatch", Locks.Latch.class);
        CLASSES.put("java/util/concurrent/ThreadPoolExecutor", Pools.Pool.class);
        CLASSES.put("java/util/concurrent/ScheduledThreadPoolExecutor", Pools.ScheduledPool.class);
        CLASSES.put("java/io/RandomAccessFile", Misc.RandomAccess.class);
        CLASSES.put("java/security/SecureRandom", Misc.Secure.class);
        CLASSES.put("java/net/InetSocketAddress", Sockets.Address.class);
    }

    private static final ClassDesc SYNC = desc(Sync.class);
    private static final ClassDesc WORLD = desc(World.class);
    private static final ClassDesc MISC = desc(Misc.class);
    private static final MethodTypeDesc OF_OBJECT = MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_Object);
    private static final String HASH = "sim$hash";

    private final ClassLoader from;
    private final ClassFile files;
    private final Map<Class<?>, Map<String, Method>> standIns = new HashMap<>();
    private final Map<String, ClassModel> models = new HashMap<>();
    private final Map<String, List<String>> ancestors = new HashMap<>();

    Rewriting(ClassLoader from) {
        this.from = from;
        this.files = ClassFile.of(ClassFile.ClassHierarchyResolverOption.of(
                ClassHierarchyResolver.ofResourceParsing(from).cached()));
    }

    private static ClassDesc desc(Class<?> type) {
        return type.describeConstable().orElseThrow();
    }

    static boolean isProduct(String internalName) {
        return internalName.startsWith("io/terminus/")
                && !internalName.startsWith("io/terminus/simulation/kernel/")
                && !internalName.startsWith("io/terminus/simulation/standin/");
    }

    // ---- what stands in

    /** The stand-in of a method, or null. */
    @Nullable
    Method standIn(String owner, String name, MethodTypeDesc type, boolean isStatic) {
        for (String o : lookedUpIn(owner, name, type.descriptorString())) {
            Class<?> where = METHODS.get(o);
            if (where == null) {
                continue;
            }
            MethodTypeDesc wanted = isStatic ? type : type.insertParameterTypes(0, ClassDesc.ofInternalName(o));
            Method found = methods(where).get(name + parameters(wanted));
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    private static String parameters(MethodTypeDesc type) {
        String whole = type.descriptorString();
        return whole.substring(0, whole.indexOf(')') + 1);
    }

    private Map<String, Method> methods(Class<?> of) {
        return standIns.computeIfAbsent(of, c -> {
            Map<String, Method> found = new HashMap<>();
            for (Method m : c.getMethods()) {
                if (Modifier.isStatic(m.getModifiers())) {
                    MethodTypeDesc type = java.lang.invoke.MethodType.methodType(
                                    m.getReturnType(), m.getParameterTypes())
                            .describeConstable()
                            .orElseThrow();
                    found.put(m.getName() + parameters(type), m);
                }
            }
            return found;
        });
    }

    /** The classes in which the JVM would look for a method, as long as no product class has it. */
    private List<String> lookedUpIn(String owner, String name, String type) {
        String at = owner;
        while (isProduct(at)) {
            ClassModel model = model(at);
            if (model == null
                    || model.methods().stream()
                            .anyMatch(m -> m.methodName().equalsString(name)
                                    && m.methodType().equalsString(type))) {
                return List.of();
            }
            if (model.superclass().isEmpty()) {
                return List.of();
            }
            at = model.superclass().get().asInternalName();
        }
        return ancestors.computeIfAbsent(at, this::ancestorsOf);
    }

    /** Of what is not the product's. */
    private List<String> ancestorsOf(String name) {
        if (name.startsWith("[")) {
            return List.of();
        }
        try {
            java.util.LinkedHashSet<String> all = new java.util.LinkedHashSet<>();
            collect(Class.forName(name.replace('/', '.'), false, from), all);
            all.remove("java/lang/Object");
            if (name.equals("java/lang/Object")) {
                all.add(name);
            }
            return List.copyOf(all);
        } catch (ClassNotFoundException | LinkageError e) {
            return List.of(name);
        }
    }

    private static void collect(Class<?> type, Set<String> into) {
        into.add(type.getName().replace('.', '/'));
        if (type.getSuperclass() != null) {
            collect(type.getSuperclass(), into);
        }
        for (Class<?> i : type.getInterfaces()) {
            collect(i, into);
        }
    }

    private ClassModel model(String internalName) {
        return models.computeIfAbsent(internalName, n -> {
            try (var in = from.getResourceAsStream(n + ".class")) {
                return in == null ? null : files.parse(in.readAllBytes());
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
    }

    // ---- rewriting

    byte[] rewritten(byte[] bytes) {
        ClassModel model = files.parse(bytes);
        return files.transformClass(model, new Whole(model));
    }

    private final class Whole implements ClassTransform {
        private final ClassModel model;
        private final CodeTransform code;

        Whole(ClassModel model) {
            this.model = model;
            this.code = new Calls(model.thisClass().asInternalName().startsWith("io/terminus/proto/"));
        }

        @Override
        public void accept(ClassBuilder to, ClassElement element) {
            if (element instanceof MethodModel m && m.code().isPresent()) {
                if (m.methodName().equalsString("<clinit>")) {
                    to.transformMethod(m, MethodTransform.transformingCode(code.andThen(new Initialiser(model))));
                } else if (m.flags().has(AccessFlag.SYNCHRONIZED)) {
                    withoutMonitor(to, m);
                } else {
                    to.transformMethod(m, MethodTransform.transformingCode(code));
                }
            } else {
                to.with(element);
            }
        }

        @Override
        public void atEnd(ClassBuilder to) {
            boolean plain = !model.flags().has(AccessFlag.INTERFACE)
                    && model.superclass()
                            .map(s -> s.asInternalName().equals("java/lang/Object"))
                            .orElse(false);
            boolean hashes = model.methods().stream()
                    .anyMatch(m -> m.methodName().equalsString("hashCode")
                            && m.methodType().equalsString("()I"));
            if (!plain || hashes) {
                return;
            }
            ClassDesc self = model.thisClass().asSymbol();
            to.withField(HASH, ConstantDescs.CD_int, ClassFile.ACC_PRIVATE | ClassFile.ACC_SYNTHETIC);
            to.withMethodBody(
                    "hashCode",
                    MethodTypeDesc.of(ConstantDescs.CD_int),
                    ClassFile.ACC_PUBLIC | ClassFile.ACC_SYNTHETIC,
                    b -> b.aload(0)
                            .getfield(self, HASH, ConstantDescs.CD_int)
                            .ifThen(
                                    Opcode.IFEQ,
                                    t -> t.aload(0)
                                            .invokestatic(WORLD, "nextHash", MethodTypeDesc.of(ConstantDescs.CD_int))
                                            .putfield(self, HASH, ConstantDescs.CD_int))
                            .aload(0)
                            .getfield(self, HASH, ConstantDescs.CD_int)
                            .ireturn());
        }

        /** The method under another name, and one that enters, calls it and leaves. */
        private void withoutMonitor(ClassBuilder to, MethodModel m) {
            ClassDesc self = model.thisClass().asSymbol();
            boolean isStatic = m.flags().has(AccessFlag.STATIC);
            String inner = m.methodName().stringValue() + "$unsynchronized";
            int flags = m.flags().flagsMask() & ~ClassFile.ACC_SYNCHRONIZED;
            int innerFlags = flags & ~(ClassFile.ACC_PUBLIC | ClassFile.ACC_PROTECTED) | ClassFile.ACC_PRIVATE;
            to.withMethod(
                    inner,
                    m.methodTypeSymbol(),
                    innerFlags,
                    b -> b.transformCode(m.code().orElseThrow(), code));
            to.withMethodBody(m.methodName().stringValue(), m.methodTypeSymbol(), flags, b -> {
                Runnable lock = () -> {
                    if (isStatic) {
                        b.loadConstant(self);
                    } else {
                        b.aload(0);
                    }
                };
                lock.run();
                b.invokestatic(SYNC, "enter", OF_OBJECT);
                b.trying(
                        t -> {
                            int slot = 0;
                            if (!isStatic) {
                                t.aload(0);
                                slot = 1;
                            }
                            for (ClassDesc p : m.methodTypeSymbol().parameterList()) {
                                TypeKind kind = TypeKind.from(p);
                                t.loadLocal(kind, slot);
                                slot += kind.slotSize();
                            }
                            if (isStatic) {
                                t.invokestatic(self, inner, m.methodTypeSymbol());
                            } else {
                                t.invokespecial(self, inner, m.methodTypeSymbol());
                            }
                            if (isStatic) {
                                t.loadConstant(self);
                            } else {
                                t.aload(0);
                            }
                            t.invokestatic(SYNC, "exit", OF_OBJECT);
                            t.return_(TypeKind.from(m.methodTypeSymbol().returnType()));
                        },
                        c -> c.catchingAll(t -> {
                            if (isStatic) {
                                t.loadConstant(self);
                            } else {
                                t.aload(0);
                            }
                            t.invokestatic(SYNC, "exit", OF_OBJECT);
                            t.athrow();
                        }));
            });
        }
    }

    /** Says when it begins and ends. */
    private record Initialiser(ClassModel model) implements CodeTransform {

        @Override
        public void atStart(CodeBuilder to) {
            to.loadConstant(model.thisClass().asInternalName());
            to.invokestatic(
                    WORLD, "enterInitialiser", MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_String));
        }

        @Override
        public void accept(CodeBuilder to, CodeElement element) {
            if (element instanceof ReturnInstruction) {
                to.invokestatic(WORLD, "leaveInitialiser", MethodTypeDesc.of(ConstantDescs.CD_void));
            }
            to.with(element);
        }
    }

    private final class Calls implements CodeTransform {

        /**
         * What protoc has made keeps descriptors in static fields once somebody has asked for them, under a monitor that nobody
         * waits in: a run must not see whether it is the one that asks first.
         */
        private final boolean generated;

        Calls(boolean generated) {
            this.generated = generated;
        }

        @Override
        public void accept(CodeBuilder to, CodeElement element) {
            switch (element) {
                case InvokeInstruction i -> invoke(to, i);
                case InvokeDynamicInstruction i -> dynamic(to, i);
                case NewObjectInstruction n -> {
                    Class<?> instead = CLASSES.get(n.className().asInternalName());
                    if (instead == null) {
                        to.with(n);
                    } else {
                        to.new_(desc(instead));
                    }
                }
                case MonitorInstruction m -> {
                    if (generated) {
                        to.with(m);
                    } else {
                        to.invokestatic(SYNC, m.opcode() == Opcode.MONITORENTER ? "enter" : "exit", OF_OBJECT);
                    }
                }
                case FieldInstruction f -> {
                    if (isVolatile(f)) {
                        to.invokestatic(WORLD, "point", MethodTypeDesc.of(ConstantDescs.CD_void));
                    }
                    to.with(f);
                }
                default -> to.with(element);
            }
        }

        private void invoke(CodeBuilder to, InvokeInstruction i) {
            String owner = i.owner().asInternalName();
            String name = i.name().stringValue();
            MethodTypeDesc type = i.typeSymbol();
            boolean isStatic = i.opcode() == Opcode.INVOKESTATIC;
            if (i.opcode() == Opcode.INVOKESPECIAL) {
                Class<?> instead = name.equals("<init>") ? CLASSES.get(owner) : null;
                if (instead == null) {
                    to.with(i);
                } else {
                    to.invokespecial(desc(instead), name, type);
                }
                return;
            }
            String seam = SEAMS.get(owner + "." + name + type.descriptorString());
            if (seam != null) {
                to.invokestatic(ClassDesc.of(seam), name, type);
                return;
            }
            Method standIn = standIn(owner, name, type, isStatic);
            if (standIn != null) {
                MethodTypeDesc its = typeOf(standIn);
                to.invokestatic(desc(standIn.getDeclaringClass()), name, its);
                if (!its.returnType().equals(type.returnType())) {
                    if (type.returnType().isPrimitive()) {
                        throw new IllegalStateException(standIn + " returns something else than " + owner + "." + name);
                    }
                    to.checkcast(type.returnType());
                }
                return;
            }
            to.with(i);
            if (isUnsteady(owner, name)) {
                to.invokestatic(MISC, "steady", MethodTypeDesc.of(type.returnType(), type.returnType()));
            }
        }

        private void dynamic(CodeBuilder to, InvokeDynamicInstruction i) {
            List<ConstantDesc> arguments = i.bootstrapArgs();
            ConstantDesc[] mapped = new ConstantDesc[arguments.size()];
            boolean changed = false;
            for (int n = 0; n < mapped.length; n++) {
                mapped[n] = arguments.get(n) instanceof DirectMethodHandleDesc h ? handle(h) : arguments.get(n);
                changed |= !mapped[n].equals(arguments.get(n));
            }
            if (changed) {
                to.invokedynamic(
                        DynamicCallSiteDesc.of(i.bootstrapMethod(), i.name().stringValue(), i.typeSymbol(), mapped));
            } else {
                to.with(i);
            }
        }

        private MethodHandleDesc handle(DirectMethodHandleDesc h) {
            String owner = internalName(h.owner());
            return switch (h.kind()) {
                case CONSTRUCTOR -> {
                    Class<?> instead = CLASSES.get(owner);
                    yield instead == null
                            ? h
                            : MethodHandleDesc.ofConstructor(
                                    desc(instead), typeOf(h).parameterList().toArray(ClassDesc[]::new));
                }
                case STATIC, INTERFACE_STATIC, VIRTUAL, INTERFACE_VIRTUAL -> {
                    boolean isStatic = h.kind() == DirectMethodHandleDesc.Kind.STATIC
                            || h.kind() == DirectMethodHandleDesc.Kind.INTERFACE_STATIC;
                    Method standIn = standIn(owner, h.methodName(), typeOf(h), isStatic);
                    yield standIn == null
                            ? h
                            : MethodHandleDesc.ofMethod(
                                    DirectMethodHandleDesc.Kind.STATIC,
                                    desc(standIn.getDeclaringClass()),
                                    h.methodName(),
                                    typeOf(standIn));
                }
                default -> h;
            };
        }
    }

    private static MethodTypeDesc typeOf(DirectMethodHandleDesc method) {
        return MethodTypeDesc.ofDescriptor(method.lookupDescriptor());
    }

    private static MethodTypeDesc typeOf(Method m) {
        return java.lang.invoke.MethodType.methodType(m.getReturnType(), m.getParameterTypes())
                .describeConstable()
                .orElseThrow();
    }

    private static String internalName(ClassDesc type) {
        String d = type.descriptorString();
        return d.startsWith("L") ? d.substring(1, d.length() - 1) : d;
    }

    /** Iterated in an order that the JVM draws anew each time it starts. */
    static boolean isUnsteady(String owner, String name) {
        return (owner.equals("java/util/Set") || owner.equals("java/util/Map"))
                && (name.equals("of") || name.equals("copyOf") || name.equals("ofEntries"));
    }

    private final Map<String, Set<String>> volatiles = new HashMap<>();

    private boolean isVolatile(FieldInstruction f) {
        String owner = f.owner().asInternalName();
        if (!isProduct(owner) || owner.startsWith("io/terminus/proto/")) {
            return false;
        }
        return volatiles
                .computeIfAbsent(owner, o -> {
                    Set<String> names = new HashSet<>();
                    ClassModel model = model(o);
                    if (model != null) {
                        for (FieldModel field : model.fields()) {
                            if (field.flags().has(AccessFlag.VOLATILE)) {
                                names.add(field.fieldName().stringValue());
                            }
                        }
                    }
                    return names;
                })
                .contains(f.name().stringValue());
    }

    /** Every call of one class that is not to a product's own method: for the test that shows what has a stand-in. */
    Set<String> callsWithout(byte[] bytes, java.util.function.BiPredicate<String, String> counts) {
        Set<String> found = new java.util.TreeSet<>();
        for (MethodModel m : files.parse(bytes).methods()) {
            CodeModel body = m.code().orElse(null);
            if (body == null) {
                continue;
            }
            for (CodeElement e : body) {
                switch (e) {
                    case InvokeInstruction i -> {
                        String owner = i.owner().asInternalName();
                        String name = i.name().stringValue();
                        if (i.opcode() == Opcode.INVOKESPECIAL
                                && (!name.equals("<init>") || CLASSES.containsKey(owner))) {
                            continue;
                        }
                        if (!SEAMS.containsKey(owner + "." + name + i.type().stringValue())) {
                            note(found, counts, owner, name, i.typeSymbol(), i.opcode() == Opcode.INVOKESTATIC);
                        }
                    }
                    case InvokeDynamicInstruction i -> {
                        for (ConstantDesc a : i.bootstrapArgs()) {
                            if (a instanceof DirectMethodHandleDesc h
                                    && h.lookupDescriptor().startsWith("(")) {
                                String owner = internalName(h.owner());
                                if (h.kind() == DirectMethodHandleDesc.Kind.CONSTRUCTOR && CLASSES.containsKey(owner)) {
                                    continue;
                                }
                                note(
                                        found,
                                        counts,
                                        owner,
                                        h.methodName(),
                                        MethodTypeDesc.ofDescriptor(h.lookupDescriptor()),
                                        h.kind() == DirectMethodHandleDesc.Kind.STATIC
                                                || h.kind() == DirectMethodHandleDesc.Kind.INTERFACE_STATIC);
                            }
                        }
                    }
                    default -> {}
                }
            }
        }
        return found;
    }

    private void note(
            Set<String> found,
            java.util.function.BiPredicate<String, String> counts,
            String owner,
            String name,
            MethodTypeDesc type,
            boolean isStatic) {
        for (String o : lookedUpIn(owner, name, type.descriptorString())) {
            if (counts.test(o, name)) {
                if (standIn(owner, name, type, isStatic) == null) {
                    found.add(o + "." + name + type.descriptorString());
                }
                return;
            }
        }
    }
}
