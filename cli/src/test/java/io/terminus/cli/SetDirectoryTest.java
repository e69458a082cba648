package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SetDirectoryTest {

    private static final SetState STATE = new SetState(
            SetState.VERSION,
            "5b1c",
            10809,
            1L << 30,
            null,
            null,
            "/jdk/bin/java",
            Map.of("a", new ProcessIdentity(4711, 1_700_000_000_000L)),
            null);

    @TempDir
    private Path place;

    @Test
    void whatIsSavedIsLoaded() {
        SetDirectory directory = new SetDirectory(place.resolve("set"));
        directory.create();

        directory.save(STATE);

        assertThat(directory.load()).contains(STATE);
        assertThat(directory.loadExisting().process(SetMember.A)).isPresent();
        assertThat(directory.loadExisting().process(SetMember.B)).isEmpty();
    }

    @Test
    void theStateFileIsReadableByPeople() throws IOException {
        SetDirectory directory = new SetDirectory(place);

        directory.save(STATE);

        assertThat(Files.readString(place.resolve("set.json"))).isEqualTo("""
                {
                  "version" : 1,
                  "id" : "5b1c",
                  "portBase" : 10809,
                  "sizeBytes" : 1073741824,
                  "java" : "/jdk/bin/java",
                  "processes" : {
                    "a" : {
                      "pid" : 4711,
                      "startedMillis" : 1700000000000
                    }
                  }
                }
                """);
    }

    @Test
    void aDirectoryWithoutASetIsSaidToHaveNone() {
        SetDirectory directory = new SetDirectory(place.resolve("absent"));

        assertThat(directory.load()).isEmpty();
        assertThatThrownBy(directory::loadExisting)
                .isInstanceOf(Failure.class)
                .hasMessageContaining("there is no set in " + place.resolve("absent"));
    }

    @Test
    void aSetOfAnotherVersionIsLeftAlone() throws IOException {
        Files.writeString(place.resolve("set.json"), "{\"version\": 2, \"somethingNew\": true}");

        assertThatThrownBy(new SetDirectory(place)::load)
                .isInstanceOf(Failure.class)
                .hasMessageContaining("has version 2, this terminus knows version 1");
    }

    @Test
    void aDamagedStateFileIsNamed() throws IOException {
        Files.writeString(place.resolve("set.json"), "{\"version\": 1, \"proc");

        assertThatThrownBy(new SetDirectory(place)::load)
                .isInstanceOf(Failure.class)
                .hasMessageContaining("set.json is damaged");
    }

    @Test
    void aPlaceThatCannotBeWrittenIsNamedWithTheReason() throws IOException {
        Files.writeString(place.resolve("file"), "in the way");

        assertThatThrownBy(new SetDirectory(place.resolve("file/set"))::create)
                .isInstanceOf(Failure.class)
                .hasMessageContaining("cannot write to the directory " + place.resolve("file/set"));
    }
}
