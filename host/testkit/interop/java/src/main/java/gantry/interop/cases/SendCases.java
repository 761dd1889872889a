package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Sent;
import gantry.interop.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageExt;

/** The ways to send. */
public final class SendCases {

    public static final List<Case> ALL = List.of(
        Case.of("sync-send", SendCases::sync),
        Case.of("async-send", SendCases::async),
        Case.of("oneway-send", SendCases::oneway),
        Case.of("batch-send", SendCases::batch),
        Case.of("auto-create-topic", SendCases::autoCreate));

    private SendCases() {
    }

    private static String sync(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        List<Message> sent = Payload.messages(topic, "m", 40);
        Map<String, SendResult> results = new HashMap<>();
        Map<Integer, Long> last = new HashMap<>();
        for (Message message : sent) {
            message.setTags("tag");
            message.setKeys("key-" + Payload.id(message));
            message.setFlag(7);
            SendResult result = Sent.ok(producer.send(message));
            Check.equal(MessageClientIDSetter.getUniqID(message), result.getMsgId(), "msgId");
            Long before = last.put(result.getMessageQueue().getQueueId(), result.getQueueOffset());
            Check.equal(before == null ? 0 : before + 1, result.getQueueOffset(), "queue offset of a send");
            results.put(Payload.id(message), result);
        }
        Check.equal(Env.QUEUES, last.size(), "queues the sends went to");
        Topic stored = env.read(topic);
        stored.holds(sent);
        for (MessageExt message : stored.messages()) {
            SendResult result = results.get(Payload.id(message));
            Check.equal(result.getQueueOffset(), message.getQueueOffset(), "stored queue offset");
            Check.equal(result.getMessageQueue().getQueueId(), message.getQueueId(), "stored queue");
            Check.equal(result.getMsgId(), message.getMsgId(), "stored unique id");
            Check.equal("tag", message.getTags(), "stored tag");
            Check.equal("key-" + Payload.id(message), message.getKeys(), "stored keys");
            Check.equal(7, message.getFlag(), "stored flag");
        }
        return sent.size() + " messages over " + last.size() + " queues";
    }

    private static String async(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        List<Message> sent = Payload.messages(topic, "m", 200);
        CountDownLatch answered = new CountDownLatch(sent.size());
        Queue<Throwable> problems = new ConcurrentLinkedQueue<>();
        for (Message message : sent) {
            producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    try {
                        Sent.ok(result);
                    } catch (Check.Failed e) {
                        problems.add(e);
                    }
                    answered.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    problems.add(e);
                    answered.countDown();
                }
            });
        }
        Check.that(answered.await(20, TimeUnit.SECONDS), answered.getCount() + " sends without an answer");
        Check.that(problems.isEmpty(), problems.size() + " sends failed, first: " + problems.peek());
        env.read(topic).holds(sent);
        return sent.size() + " messages";
    }

    private static String oneway(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        List<Message> sent = Payload.messages(topic, "m", 40);
        for (Message message : sent) {
            producer.sendOneway(message);
        }
        Check.eventually(10, () -> env.read(topic).messages().size() >= sent.size(),
            () -> "not all of " + sent.size() + " one-way messages stored");
        env.read(topic).holds(sent);
        return sent.size() + " messages";
    }

    private static String batch(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            List<Message> batch = Payload.messages(topic, "b" + i + "-", 10);
            batch.forEach(m -> m.setTags("batched"));
            SendResult result = Sent.ok(producer.send(batch));
            Check.equal(batch.size(), result.getMsgId().split(",").length, "ids in msgId of a batch");
            Check.equal(batch.size(), result.getOffsetMsgId().split(",").length, "ids in offsetMsgId of a batch");
            sent.addAll(batch);
        }
        Topic stored = env.read(topic);
        stored.holds(sent);
        stored.messages().forEach(m -> Check.equal("batched", m.getTags(), "tag of a batched message"));
        return "5 batches of 10";
    }

    private static String autoCreate(Env env) throws Exception {
        String topic = env.name("born-by-send");
        DefaultMQProducer producer = env.producer();
        List<Message> sent = Payload.messages(topic, "m", 8);
        for (Message message : sent) {
            Sent.ok(producer.send(message));
        }
        Check.eventually(10, () -> !env.admin().examineTopicRouteInfo(topic).getQueueDatas().isEmpty(),
            () -> "no route for a topic created by a send");
        int queues = env.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0).getWriteQueueNums();
        Check.equal(producer.getDefaultTopicQueueNums(), queues, "queues of the created topic");
        env.read(topic).holds(sent);
        return queues + " queues";
    }
}
