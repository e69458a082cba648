/**
 * A volume's journal: one sequence of positions, the same bytes on disk and on the wire. {@link io.terminus.agent.journal.Journal}
 * is the way in; the record layout is drawn at {@code RecordFormat}, the life of a segment at {@code SegmentStore}.
 */
@NullMarked
package io.terminus.agent.journal;

import org.jspecify.annotations.NullMarked;
