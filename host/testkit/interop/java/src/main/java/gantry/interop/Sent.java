package gantry.interop;

import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;

/** What every successful send must say. */
public final class Sent {

    private Sent() {
    }

    public static SendResult ok(SendResult result) {
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        Check.that(result.getMsgId() != null && !result.getMsgId().isEmpty(), "send result without msgId");
        Check.that(result.getOffsetMsgId() != null && result.getOffsetMsgId().length() >= 32,
            "send result with offsetMsgId " + result.getOffsetMsgId());
        Check.that(result.getQueueOffset() >= 0, "send result with queue offset " + result.getQueueOffset());
        return result;
    }
}
