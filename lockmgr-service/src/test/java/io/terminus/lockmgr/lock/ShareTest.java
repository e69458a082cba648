package io.terminus.lockmgr.lock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.terminus.lockmgr.lock.LockQuery.Page;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** Tables that have a share of the volumes each. */
class ShareTest {

    private static final long SECOND = 1_000_000_000L;

    /** Volumes belong to the group that their first character says. */
    private static Share share(int group) {
        return new Share(group, 3, volume -> volume.charAt(0) - '0');
    }

    @Test
    void whateverNamesAVolumeOfAnotherGroupIsRefused() {
        LockTable table = table(1);

        List<Command> commands = List.of(
                acquire(1, "2x", List.of()),
                acquire(2, "1x", List.of(new Command.Part("2x", "uuid", 0, 10, Mode.EX))),
                new Command.PutValue("s", 3, "2x", 1, 0, new byte[0]),
                new Command.ConfigureVolume(4, "2x", "uuid", 0),
                new Command.ForceRelease(5, "2x", 1));

        for (Command command : commands) {
            assertThat(table.apply(command, 0).notices())
                    .as(command.toString())
                    .singleElement()
                    .isInstanceOfSatisfying(Notice.Refused.class, refused -> {
                        assertThat(refused.reason()).isEqualTo(Reason.INVALID_ARGUMENT);
                        assertThat(refused.message())
                                .isEqualTo("volume '2x' belongs to group 2 of 3, and this was asked of group 1");
                    });
        }
    }

    @Test
    void noTwoGroupsGiveTheSameTokenOrId() {
        Notice.Granted zero = granted(table(0), "0x");
        Notice.Granted one = granted(table(1), "1x");
        Notice.Granted two = granted(table(2), "2x");

        assertThat(List.of(zero.lockId(), one.lockId(), two.lockId())).doesNotHaveDuplicates();
        assertThat(List.of(zero.token(), one.token(), two.token()))
                .doesNotHaveDuplicates()
                .allMatch(t -> t >> 40 == 5);
    }

    @Test
    void aShareThatIsNoneIsRefused() {
        assertThatThrownBy(() -> new Share(3, 3, volume -> 0))
                .hasMessage("group 3 of 3 breaks the rule 0 <= group < groups <= 16");
    }

    @Test
    void pagesOfSeveralTablesAreReadAsIfTheyWereOfOne() {
        List<List<String>> tables = List.of(
                List.of("a", "d", "e", "k", "l"), List.of(), List.of("b", "c", "f", "g", "h", "i", "j"), List.of("m"));

        for (int limit = 1; limit <= 14; limit++) {
            List<String> read = new ArrayList<>();
            String after = "";
            do {
                String behind = after;
                int most = limit;
                List<Page<String>> pages =
                        tables.stream().map(one -> page(one, behind, most)).toList();
                Page<String> page = Page.merge(pages, Function.identity(), limit);
                assertThat(page.items()).hasSizeLessThanOrEqualTo(limit);
                read.addAll(page.items());
                after = page.next();
            } while (!after.isEmpty());

            assertThat(String.join("", read)).as("limit %d", limit).isEqualTo("abcdefghijklm");
        }
    }

    private static Page<String> page(List<String> all, String after, int limit) {
        List<String> rest = all.stream().filter(one -> one.compareTo(after) > 0).toList();
        return rest.size() <= limit ? new Page<>(rest, "") : new Page<>(rest.subList(0, limit), rest.get(limit - 1));
    }

    private static LockTable table(int group) {
        LockTable table = new LockTable(Settings.defaults(), share(group), 5, 0, 0);
        var unused = table.apply(new Command.OpenSession("s", "owner", 10 * SECOND), 0);
        return table;
    }

    private static Command.Acquire acquire(long id, String volume, List<Command.Part> also) {
        return new Command.Acquire("s", id, volume, "uuid", 0, 10, Mode.EX, 0, false, 0, 0, also);
    }

    private static Notice.Granted granted(LockTable table, String volume) {
        return (Notice.Granted)
                table.apply(acquire(1, volume, List.of()), 0).notices().getFirst();
    }
}
