package io.terminus.agent.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.terminus.agent.image.NoSpaceException;
import java.io.IOException;
import org.junit.jupiter.api.Test;

/** A disk on which so many pieces are free, a journal that has pieces to give back, and a clock that moves when it is asked. */
class ImageSpaceTest {

    private static final long SECOND_NANOS = 1_000_000_000L;

    private int free;
    private int inJournal;
    private int asked;
    private boolean moreToCome;
    private long nowNanos = 100;
    private long stepNanos;
    private final ImageSpace space = new ImageSpace(this::take, this::giveBack, () -> nowNanos += stepNanos);

    @Test
    void whereThereIsSpaceNothingIsAskedOfTheJournal() throws IOException {
        free = 1;

        space.await(0, 1, () -> true);

        assertThat(free).isZero();
        assertThat(asked).isZero();
        assertThat(space.wanted()).isFalse();
    }

    @Test
    void theJournalGivesWayBeforeAClientHearsOfAFullDisk() throws IOException {
        inJournal = 1;

        space.await(0, 1, () -> true);

        assertThat(inJournal).isZero();
        assertThat(space.wanted()).isTrue();
    }

    @Test
    void whatIsReleasedALittleLaterIsWaitedFor() throws IOException {
        moreToCome = true;

        space.await(0, 1, () -> {
            inJournal = asked == 3 ? 1 : 0; // a checkpoint has been taken, somebody absent is given up
            return true;
        });

        assertThat(asked).isEqualTo(4);
    }

    @Test
    void aDiskThatIsFullOfOtherThingsIsSaidToBeFullAtOnce() {
        assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> space.await(0, 1, () -> true));

        assertThat(asked).isEqualTo(1);
    }

    @Test
    void patienceEndsAndIsNotBegunAnewByTheNextOneWhoFindsNoSpace() {
        moreToCome = true;
        stepNanos = SECOND_NANOS / 4;
        assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> space.await(0, 1, () -> true));
        int askedByTheFirst = asked;

        assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> space.await(0, 1, () -> true));

        assertThat(askedByTheFirst).isGreaterThan(5);
        assertThat(asked).isEqualTo(askedByTheFirst + 1);
    }

    @Test
    void whoMustNotWaitTriesTwice() throws IOException {
        moreToCome = true;
        assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> space.secure(0, 1));
        inJournal = 1;

        space.secure(0, 1);

        assertThat(asked).isEqualTo(2);
        assertThat(space.wanted()).isTrue();
    }

    @Test
    void aWriterThatEndsWaitsNoLonger() {
        moreToCome = true;

        assertThatExceptionOfType(NoSpaceException.class).isThrownBy(() -> space.await(0, 1, () -> false));

        assertThat(asked).isEqualTo(1);
    }

    private void take(long offset, long length) throws NoSpaceException {
        if (free == 0) {
            throw new NoSpaceException("no space for " + length + " bytes at offset " + offset);
        }
        free--;
    }

    private boolean giveBack() {
        asked++;
        free += inJournal;
        inJournal = 0;
        return moreToCome;
    }
}
