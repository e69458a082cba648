package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExtentMapTest {

    private static final String MODULES =
            "java.base,java.compiler,java.logging,java.management,java.naming,java.xml,jdk.unsupported";

    @TempDir
    private Path temp;

    /** Marks a block, and finds it again: ExtentMapTest FILE. */
    public static void main(String[] arguments) throws IOException {
        Path file = Path.of(arguments[0]);
        try (ExtentMap map = ExtentMap.open(file, 4)) {
            map.mark(3, 5, 7, 1_000);
        }
        try (ExtentMap map = ExtentMap.open(file, 4)) {
            System.out.println("found " + map.countBlocks() + " without a compiler: "
                    + ModuleLayer.boot().findModule("jdk.compiler").isEmpty());
        }
    }

    @Test
    void aMapIsOpenedWhereThereIsNoCompiler() throws Exception {
        Path output = temp.resolve("output");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--limit-modules",
                MODULES,
                "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
                "--add-opens=java.base/java.lang=ALL-UNNAMED",
                "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
                "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-cp",
                System.getProperty("java.class.path"),
                ExtentMapTest.class.getName(),
                temp.resolve("map").toString()));

        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();

        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(Files.readString(output)).contains("found 2 without a compiler: true");
    }
}
