package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;

import io.terminus.agent.journal.Journal;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A candidate "b" lacks what was acknowledged with "c", and fetches it. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class CollectTest {

    @TempDir
    private Path temp;

    private Agents agents;

    @BeforeEach
    void aTailThatOnlyAnotherMemberHas() throws Exception {
        agents = new Agents(temp, 4 << 20, 64L << 20, Duration.ofHours(1));
        agents.copies = 2;
        agents.start("a", "b", "c");
        Agents.Client client = agents.client("a");
        client.writeAndAwait(0, filled(1));
        Agents.awaitTrue(() -> journal("b").end() == journal("a").end());
        agents.hold("b");
        for (int i = 1; i < 8; i++) {
            client.writeAndAwait(i * 256L << 10, filled(1 + i));
        }
        agents.agent("b").wire.cut();
        agents.letGo("b");
        agents.agent("a").vanish();
        agents.agent("b").wire.join();
        assertThat(journal("b").end()).isLessThan(journal("c").end());
    }

    @AfterEach
    void stop() throws IOException {
        agents.close();
    }

    @Test
    void whatWasAcknowledgedIsFetchedBeforeItIsServed() throws Exception {
        agents.promote("b");

        for (int i = 0; i < 8; i++) {
            assertThat(agents.client("b").read(i * 256L << 10, 4_096)).containsOnly(1 + i);
        }
    }

    @Test
    void aTailThatIsOnItsWayDoesNotLandBesideANewerTerm() throws Exception {
        agents.hold("c"); // the question for it does not arrive
        CompletableFuture<String> promotion = CompletableFuture.supplyAsync(() -> {
            try {
                agents.promote("b");
                return "served";
            } catch (RefusedException | InterruptedException e) {
                return String.valueOf(e.getMessage());
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        Agents.awaitTrue(() -> agents.volume("b").status().detail().startsWith("fetching"));
        Volume b = agents.volume("b");
        long term = b.config().term();

        Election.Answer sealed =
                b.seal(term + 1, 1_000, agents.lockManager.block().version(), "c");
        agents.letGo("c");

        assertThat(promotion.join()).contains("term " + (term + 1));
        assertThat(journal("b").end()).isEqualTo(sealed.received());
        assertThat(agents.volume("b").serving()).isFalse();
    }

    private Journal journal(String agent) {
        return agents.journal(agent);
    }

    private static byte[] filled(int value) {
        byte[] bytes = new byte[256 << 10];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }
}
