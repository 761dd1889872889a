package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import gantry.interop.Sent;
import gantry.interop.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.producer.RecallMessageHandle;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Messages with a delivery time of their own, and their recall. */
public final class TimerCases {

    /** A timed message comes at its time, at most so much later. */
    private static final long LATE_MS = 1000;

    public static final List<Case> ALL = List.of(
        Case.of("timed", TimerCases::timed),
        Case.of("timed-limits", TimerCases::limits),
        Case.of("recall", TimerCases::recall));

    private TimerCases() {
    }

    private static String timed(Env env) throws Exception {
        String topic = env.topic();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();

        DefaultMQProducer producer = env.producer();
        List<Message> sent = new ArrayList<>();
        Map<String, Long> due = new HashMap<>();
        for (int i = 0; i < 30; i++) {
            String id = "m" + i;
            Message message = Payload.message(topic, id, 100);
            message.setTags("tag" + i);
            long delay = 1500 + 137L * i;
            long now = System.currentTimeMillis();
            switch (i % 3) {
                case 0 -> message.setDelayTimeSec(delay / 1000);
                case 1 -> message.setDelayTimeMs(delay);
                default -> message.setDeliverTimeMs(now + delay);
            }
            due.put(id, now + (i % 3 == 0 ? delay / 1000 * 1000 : delay));
            Sent.ok(producer.send(message));
            sent.add(message);
        }
        Message past = Payload.message(topic, "past", 100);
        past.setDeliverTimeMs(System.currentTimeMillis() - 5000);
        due.put("past", 0L);
        Sent.ok(producer.send(past));
        sent.add(past);

        inbox.awaitAll(20, sent);
        Check.equal(0, inbox.duplicates(), "messages delivered twice");
        long latest = 0;
        for (MessageExt message : inbox.messages()) {
            String id = Payload.id(message);
            long late = message.getStoreTimestamp() - due.get(id);
            Check.that(late >= 0, id + " was delivered " + -late + " ms early");
            if (!id.equals("past")) {
                latest = Math.max(latest, late);
                Check.equal("tag" + id.substring(1), message.getTags(), "tag of " + id);
                Check.that(message.getProperty(MessageConst.PROPERTY_TIMER_OUT_MS) != null, id + " lost TIMER_OUT_MS");
            }
        }
        Check.that(latest <= LATE_MS + 500, "a message was stored " + latest + " ms late");
        return "at most " + latest + " ms late, sending included";
    }

    private static String limits(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        Message noNumber = Payload.message(topic, "a", 100);
        noNumber.putUserProperty("x", "y");
        noNumber.getProperties().put(MessageConst.PROPERTY_TIMER_DELAY_SEC, "soon");
        refused(producer, noNumber, "a delay that is no number");
        Message tooFar = Payload.message(topic, "b", 100);
        tooFar.setDeliverTimeMs(Long.MAX_VALUE);
        refused(producer, tooFar, "a delivery time beyond the limit");

        Message both = Payload.message(topic, "both", 100);
        both.setDelayTimeLevel(1);
        both.setDelayTimeSec(3600);
        Sent.ok(producer.send(both));
        Check.eventually(10, () -> env.read(topic).messages().size() == 1, () -> "the delay level did not win");
        Topic read = env.read(topic);
        Check.equal("both", Payload.id(read.messages().get(0)), "message with a level and a time");
        return "refused with MESSAGE_ILLEGAL; a level wins over a time";
    }

    private static void refused(DefaultMQProducer producer, Message message, String what) {
        MQBrokerException refusal = Check.raises(MQBrokerException.class, () -> producer.send(message), what);
        Check.equal(ResponseCode.MESSAGE_ILLEGAL, refusal.getResponseCode(), "code for " + what);
    }

    private static String recall(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        Message recalled = Payload.message(topic, "recalled", 100);
        recalled.setDelayTimeMs(3000);
        Message kept = Payload.message(topic, "kept", 100);
        kept.setDelayTimeMs(3000);
        SendResult first = producer.send(recalled);
        SendResult second = producer.send(kept);
        Sent.ok(first);
        Check.that(second.getRecallHandle() != null, "the answer to a timed message has no recall handle");
        Check.equal(first.getMsgId(), producer.recallMessage(topic, first.getRecallHandle()), "id that the recall answers");

        Check.eventually(15, () -> env.read(topic).messages().size() == 1, () -> "the other message did not come");
        Thread.sleep(500);
        Topic read = env.read(topic);
        Check.equal(1, read.messages().size(), "messages delivered");
        Check.equal("kept", Payload.id(read.messages().get(0)), "message delivered");

        illegal(producer, topic, second.getRecallHandle(), "a recall after the delivery");
        RecallMessageHandle.HandleV1 handle =
            (RecallMessageHandle.HandleV1) RecallMessageHandle.decodeHandle(first.getRecallHandle());
        String later = String.valueOf(System.currentTimeMillis() + 60_000);
        illegal(producer, topic, RecallMessageHandle.HandleV1.buildHandle(
            "other-topic", handle.getBrokerName(), later, handle.getMessageId()), "a handle of another topic");
        Message plain = Payload.message(topic, "plain", 100);
        Check.equal(null, producer.send(plain).getRecallHandle(), "recall handle of a message without a time");
        return "recalled " + first.getMsgId();
    }

    private static void illegal(DefaultMQProducer producer, String topic, String handle, String what) {
        MQBrokerException refusal =
            Check.raises(MQBrokerException.class, () -> producer.recallMessage(topic, handle), what);
        Check.equal(ResponseCode.ILLEGAL_OPERATION, refusal.getResponseCode(), "code for " + what);
    }
}
