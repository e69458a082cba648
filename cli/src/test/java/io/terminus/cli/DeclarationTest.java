package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DeclarationTest {

    @TempDir
    Path scratch;

    @Test
    void whatIsLeftOutIsLeftAsItIs() throws IOException {
        Path file = file("""
                {"agents": ["a:1", "b:1"], "volumes": [
                  {"name": "small", "size": "4MiB", "replicas": ["b"]},
                  {"name": "large", "size": "1TiB", "replicas": ["a", "b"], "ackLevel": "Durable", "copies": 2,
                   "minCopies": 2, "failover": "automatic"}]}
                """);

        Declaration declaration = Declaration.read(file);

        assertThat(declaration.agents()).containsExactly("a:1", "b:1");
        assertThat(declaration.volumes())
                .extracting(
                        Declaration.Volume::name,
                        volume -> volume.size().bytes(),
                        Declaration.Volume::ackLevel,
                        Declaration.Volume::copies,
                        Declaration.Volume::minCopies,
                        Declaration.Volume::failover)
                .containsExactly(
                        org.assertj.core.groups.Tuple.tuple("small", 4L << 20, null, null, null, null),
                        org.assertj.core.groups.Tuple.tuple(
                                "large",
                                1L << 40,
                                VolumeCommand.Ack.DURABLE,
                                2,
                                2,
                                VolumeCommand.FailoverChoice.AUTOMATIC));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "1GiB"}]}                                    | a name, a size and replicas
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "1 potato", "replicas": ["a"]}]}             | '1 potato' is not a size
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "5000", "replicas": ["a"]}]}                 | size 5000 is not a multiple
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "4k", "replicas": ["a", "a"]}]}              | name an agent twice
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "4k", "replicas": []}]}                      | are none
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "4k", "replicas": ["a"], "ackLevel": "x"}]}  | ackLevel of 'x' is not one of [local, received, durable]
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "4k", "replicas": ["a"], "sise": "4k"}]}     | Unrecognized property "sise"
            {"agents": ["a:1"], "volumes": [{"name": "v", "size": "4k", "replicas": ["a"]}, {"name": "v", "size": "4k", "replicas": ["a"]}]} | volume v is declared twice
            {"agents": [                                                                                       | is not a declaration of volumes
            """)
    void aMistakeIsNamedWithTheFileAndTheRule(String text, String sentence) throws IOException {
        Path file = file(text);

        assertThatThrownBy(() -> Declaration.read(file))
                .isInstanceOf(Failure.class)
                .hasMessageStartingWith(file.toString())
                .hasMessageContaining(sentence);
    }

    @Test
    void aFileThatIsNotThereIsNamed() {
        Path file = scratch.resolve("none.json");

        assertThatThrownBy(() -> Declaration.read(file))
                .isInstanceOf(Failure.class)
                .hasMessageContaining("none.json");
    }

    private Path file(String text) throws IOException {
        return Files.writeString(scratch.resolve("volumes.json"), text);
    }
}
