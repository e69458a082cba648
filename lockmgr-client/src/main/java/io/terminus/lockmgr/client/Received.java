package io.terminus.lockmgr.client;

import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Event;
import io.terminus.proto.lock.v1.ServerMessage;
import io.terminus.proto.lock.v1.Welcome;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A {@link ServerMessage} as it is worked on.
 *
 * @param renewal the sequence of the renewal it answers; counts if {@code renews}
 */
record Received(@Nullable Welcome welcome, List<Event> events, List<Reply> replies, boolean renews, long renewal) {

    static Received of(ServerMessage message) {
        List<Reply> replies = new ArrayList<>(message.getAnswersCount());
        for (Answer answer : message.getAnswersList()) {
            replies.add(new Reply.Other(answer));
        }
        return new Received(
                message.hasWelcome() ? message.getWelcome() : null,
                message.getEventsList(),
                replies,
                message.hasRenewal(),
                message.getRenewal().getSequence());
    }
}
