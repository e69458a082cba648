package io.terminus.lockmgr.grpc;

import io.terminus.proto.lock.v1.Answer;
import io.terminus.proto.lock.v1.Reason;

/** A unary call for an {@link Answer}: a refusal becomes a status, which a person with a generic client sees as an error. */
record AnswerCaller(UnaryCall<Answer> call) implements SessionDesk.Caller {

    @Override
    public void answered(Answer answer) {
        if (answer.hasRefused()) {
            failed(answer.getRefused().getReason(), answer.getRefused().getMessage());
        } else {
            call.reply(answer);
        }
    }

    @Override
    public void failed(Reason reason, String message) {
        call.fail(reason, message);
    }
}
