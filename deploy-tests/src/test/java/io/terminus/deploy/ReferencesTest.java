package io.terminus.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class ReferencesTest {

    @Test
    void theReferenceOfSettingsSaysWhatTheRecordsSay() throws IOException {
        isUpToDate("configuration.md", ConfigurationReference.markdown());
    }

    @Test
    void theReferenceOfInterfacesSaysWhatTheContractsSay() throws IOException {
        isUpToDate("api.md", ApiReference.markdown());
    }

    /** A setting without a word about it would be a row that helps nobody. */
    @Test
    void everySettingIsExplained() {
        for (String service : new String[] {"agent", "lockmgr"}) {
            assertThat(ConfigurationReference.settings(service))
                    .hasSizeGreaterThan(10)
                    .allSatisfy(setting -> assertThat(setting.key().endsWith("-port")
                                    || !setting.words().isBlank())
                            .as("%s has a comment", setting.key())
                            .isTrue());
        }
    }

    private static void isUpToDate(String page, String made) throws IOException {
        Path file = Repository.ROOT.resolve("docs").resolve(page);
        if ("write".equals(System.getProperty("terminus.docs"))) {
            Files.writeString(file, made);
        }
        assertThat(Repository.read(file))
                .as("docs/%s; run ./mvnw -pl deploy-tests test -Dtest=ReferencesTest -Dterminus.docs=write", page)
                .isEqualTo(made);
    }
}
