package io.terminus.cli;

import io.terminus.proto.lock.Groups;
import io.terminus.security.TlsFiles;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/**
 * The {@code terminus} command.
 *
 * <p>Exit codes: 0 done, 1 failed (and {@code status}: something is down or not served), 2 the command line is wrong.
 */
@Command(
        name = "terminus",
        description = "Replicated block volumes on this machine: two agents, and a lock manager or a group of them.",
        versionProvider = Terminus.Version.class,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:done; status: everything runs and every volume is served",
            "1:failed; status: something is down or not served",
            "2:the command line is wrong"
        },
        footer = "%nNot in this list, for they are programs of their own: bench measures, sim simulates.")
public final class Terminus {

    static final String DIR_HELP = "The directory of the set (default: .terminus beside the launcher).";

    private final Installation installation;
    private final Screen screen;

    @Option(
            names = "--tls-cert",
            paramLabel = "FILE",
            scope = ScopeType.INHERIT,
            description =
                    "Certificate to ask the set's processes with, PEM (else TERMINUS_TLS_CERT, else the set's admin's).")
    private @Nullable Path tlsCert;

    @Option(
            names = "--tls-key",
            paramLabel = "FILE",
            scope = ScopeType.INHERIT,
            description = "Its private key, PEM (else TERMINUS_TLS_KEY).")
    private @Nullable Path tlsKey;

    @Option(
            names = "--tls-ca",
            paramLabel = "FILE",
            scope = ScopeType.INHERIT,
            description =
                    "The authorities that may have signed the processes' certificates, PEM (else TERMINUS_TLS_CA).")
    private @Nullable Path tlsCa;

    Terminus(Installation installation, Screen screen) {
        this.installation = installation;
        this.screen = screen;
    }

    public static void main(String[] arguments) {
        System.exit(run(Installation.find(), Screen.ofProcess(), arguments));
    }

    static int run(Installation installation, Screen screen, String... arguments) {
        // gRPC logs a stack trace for every connection that is refused; what matters of it is in our own message.
        LogManager.getLogManager().reset();
        Logger.getLogger("").setLevel(Level.OFF);
        return commandLine(installation, screen).execute(arguments);
    }

    static CommandLine commandLine(Installation installation, Screen screen) {
        Terminus terminus = new Terminus(installation, screen);
        CommandLine commandLine = new CommandLine(terminus);
        commandLine
                .getCommandSpec()
                .addOption(OptionSpec.builder("-h", "--help")
                        .usageHelp(true)
                        .scopeType(ScopeType.INHERIT)
                        .description("Show this help.")
                        .build())
                .addOption(OptionSpec.builder("-V", "--version")
                        .versionHelp(true)
                        .description("Show the version.")
                        .build());
        commandLine
                .addSubcommand(new VolumeCommand(terminus))
                .addSubcommand(new PeerCommand(terminus))
                .addSubcommand(new ResyncCommand(terminus))
                .addSubcommand(new VerifyCommand(terminus))
                .addSubcommand(new LocksCommand(terminus))
                .addSubcommand(new SessionsCommand(terminus))
                .addSubcommand(lockManagers(terminus))
                .addSubcommand(new JournalCommand(terminus))
                .addSubcommand(new ProfileCommand(terminus))
                .addSubcommand(new CertsCommand(terminus));
        return commandLine
                .setOut(screen.outWriter())
                .setErr(screen.errWriter())
                .registerConverter(ByteSize.class, text -> converted(() -> ByteSize.parse(text)))
                .registerConverter(Duration.class, text -> converted(() -> TimeSpan.parse(text)))
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setColorScheme(CommandLine.Help.defaultColorScheme(screen.isTerminal() ? Ansi.AUTO : Ansi.OFF))
                .setExecutionExceptionHandler((e, command, parsed) -> {
                    if (e instanceof Failure || e instanceof CallFailure) {
                        screen.complain(String.valueOf(e.getMessage()));
                        return 1;
                    }
                    throw e;
                });
    }

    private static CommandLine lockManagers(Terminus terminus) {
        LockManagersCommand command = new LockManagersCommand(terminus);
        return new CommandLine(command).addSubcommand(command.new Members());
    }

    @Command(
            name = "up",
            description = {
                "Start what does not run, and wait until the volume 'demo' can be used.",
                "A set started in the foreground is stopped by Ctrl-C."
            })
    int up(
            @Option(names = "--detach", description = "Return when the volume can be used; leave the set running.")
                    boolean detach,
            @Option(names = "--dir", paramLabel = "DIR", description = DIR_HELP) @Nullable Path dir,
            @Option(
                            names = "--size",
                            paramLabel = "SIZE",
                            description = "Size of the volume of a new set (default: 1GiB).")
                    @Nullable
                    ByteSize size,
            @Option(
                            names = "--port-base",
                            paramLabel = "PORT",
                            description = "First of the ten ports of a new set (default: 10809).")
                    @Nullable
                    Integer portBase,
            @Option(
                            names = "--lock-managers",
                            paramLabel = "NUMBER",
                            description = "1, 3 or 5: how many lock managers a new set has; more than one are a"
                                    + " group that survives the loss of less than half of them (default: 1).")
                    @Nullable
                    Integer lockManagers,
            @Option(
                            names = "--lock-manager-groups",
                            paramLabel = "NUMBER",
                            description = "1 to 16: over so many groups the volumes of a new set with several lock"
                                    + " managers are spread, each with a leader of its own (default: 1).")
                    @Nullable
                    Integer lockManagerGroups,
            @Option(
                            names = "--timeout",
                            paramLabel = "TIME",
                            defaultValue = "120s",
                            description = "How long to wait for the volume (default: ${DEFAULT-VALUE}).")
                    Duration timeout,
            @Option(names = "--tls", description = "A new set has TLS on every port, with certificates in DIR/certs.")
                    boolean tls) {
        checkLockManagers(lockManagers);
        checkLockManagerGroups(lockManagerGroups);
        checkPortBase(portBase, lockManagers == null ? 1 : lockManagers);
        checkVolumeSize(size);
        return new Up(
                        installation,
                        plain(dir),
                        screen,
                        new Up.Options(detach, size, portBase, lockManagers, lockManagerGroups, timeout, tls))
                .run();
    }

    @Command(
            name = "status",
            description = {
                "Show the processes, volumes and replicas of a set.",
                "Exit code 0 when everything runs and every volume is served, else 1."
            })
    int status(
            @Option(names = "--json", description = "For scripts: the fields are a contract.") boolean json,
            @Option(names = "--watch", description = "Go on showing it until Ctrl-C.") boolean watch,
            @Option(names = "--dir", paramLabel = "DIR", description = DIR_HELP) @Nullable Path dir) {
        return new Status(installation, directory(dir), screen).run(json, watch);
    }

    @Command(name = "down", description = "Stop the processes of a set. Their data stays.")
    int down(@Option(names = "--dir", paramLabel = "DIR", description = DIR_HELP) @Nullable Path dir) {
        return Down.stopSet(installation, plain(dir), screen);
    }

    Screen screen() {
        return screen;
    }

    Installation installation() {
        return installation;
    }

    /** The ports of the set that is meant. */
    PortPlan ports(@Nullable Path dir) {
        return directory(dir).loadExisting().ports();
    }

    /** The processes of the set that is meant. */
    ServiceSet services(@Nullable Path dir) {
        SetDirectory directory = directory(dir);
        return new ServiceSet(installation, directory, directory.loadExisting());
    }

    StatusProbe probe(@Nullable Path dir) {
        SetDirectory directory = directory(dir);
        return new StatusProbe(installation, directory, directory.loadExisting().ports());
    }

    StatusReport report(@Nullable Path dir) {
        try (StatusProbe probe = probe(dir)) {
            return probe.report();
        }
    }

    /** One volume, in a list that is not empty. */
    List<StatusReport.Volume> volume(String name, @Nullable Path dir) {
        List<StatusReport.Volume> named = report(dir).volumes().stream()
                .filter(volume -> volume.name().equals(name))
                .toList();
        if (named.isEmpty()) {
            throw new Failure("no agent that answers knows a volume '" + name + "'");
        }
        return named;
    }

    /** The agent that serves a volume now. */
    AgentClient writerOf(String name, @Nullable Path dir, Duration deadline) {
        StatusReport.Volume volume = volume(name, dir).getFirst();
        String writer = volume.writer();
        if (writer == null || volume.nbd() == null) {
            throw new Failure(
                    "volume " + name + " is not served" + (volume.detail().isBlank() ? "" : ": " + volume.detail()));
        }
        return new AgentClient(SetMember.agent(writer), ports(dir), deadline);
    }

    private SetDirectory directory(@Nullable Path dir) {
        return new SetDirectory(Optional.ofNullable(dir).orElseGet(installation::defaultDirectory), given());
    }

    /** For commands that write down what the set is: with the set's own keys. */
    private SetDirectory plain(@Nullable Path dir) {
        return new SetDirectory(Optional.ofNullable(dir).orElseGet(installation::defaultDirectory));
    }

    /** The keys that the command line or the environment names; null if neither does. */
    @Nullable
    TlsFiles given() {
        Path cert = given(tlsCert, "TERMINUS_TLS_CERT");
        Path key = given(tlsKey, "TERMINUS_TLS_KEY");
        Path ca = given(tlsCa, "TERMINUS_TLS_CA");
        if (cert == null && key == null && ca == null) {
            return null;
        }
        if (cert == null || key == null || ca == null) {
            throw new Failure(
                    "TLS needs all of --tls-cert, --tls-key and --tls-ca (or TERMINUS_TLS_CERT, _KEY and _CA)");
        }
        return new TlsFiles(cert, key, ca);
    }

    private static @Nullable Path given(@Nullable Path option, String variable) {
        String value = System.getenv(variable);
        return option != null || value == null || value.isEmpty() ? option : Path.of(value);
    }

    private static void checkLockManagers(@Nullable Integer lockManagers) {
        if (lockManagers != null && lockManagers != 1 && lockManagers != 3 && lockManagers != 5) {
            throw new Failure("--lock-managers of " + lockManagers
                    + " is not 1, 3 or 5: an even number survives no more" + " losses than one less");
        }
    }

    private static void checkLockManagerGroups(@Nullable Integer groups) {
        if (groups != null && (groups < 1 || groups > Groups.MOST)) {
            throw new Failure("--lock-manager-groups of " + groups + " breaks the rule 1 to " + Groups.MOST);
        }
    }

    private static void checkPortBase(@Nullable Integer portBase, int lockManagers) {
        if (portBase != null) {
            try {
                new PortPlan(portBase, lockManagers, null);
            } catch (IllegalArgumentException e) {
                throw new Failure(String.valueOf(e.getMessage()), e);
            }
        }
    }

    /** The agents check it too; here it is said before anything is started. */
    static void checkVolumeSize(@Nullable ByteSize size) {
        if (size != null && (size.bytes() < 4096 || size.bytes() > 1L << 46 || size.bytes() % 4096 != 0)) {
            throw new Failure("size " + size.bytes() + " is not a multiple of 4096 from 4096 to 2^46 bytes");
        }
    }

    private interface Parse<T> {
        T parse();
    }

    private static <T> T converted(Parse<T> parse) {
        try {
            return parse.parse();
        } catch (IllegalArgumentException e) {
            throw new CommandLine.TypeConversionException(e.getMessage());
        }
    }

    /** The version of the build, and of the Java that runs it. */
    static final class Version implements IVersionProvider {
        @Override
        public String[] getVersion() {
            String version = Terminus.class.getPackage().getImplementationVersion();
            return List.of(
                            "terminus " + (version == null ? "(not packaged)" : version),
                            "Java " + Runtime.version() + " at " + System.getProperty("java.home"))
                    .toArray(String[]::new);
        }
    }
}
