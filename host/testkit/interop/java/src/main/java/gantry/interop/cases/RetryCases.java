package gantry.interop.cases;

import gantry.interop.Assignment;
import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Topic;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that a listener refuses: they come back, and in the end they are laid aside. */
public final class RetryCases {

    /** Delay level 1, the shortest there is (1 s). */
    private static final int SOON = 1;

    public static final List<Case> ALL = List.of(
        Case.of("retry", RetryCases::retry),
        Case.of("dead-letter", RetryCases::deadLetter));

    private RetryCases() {
    }

    private static String retry(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        Queue<MessageExt> attempts = consume(env, topic, group, 16, 1);
        Message message = Payload.message(topic, "m", 100);
        message.setTags("tag");
        message.setKeys("key");
        env.send(List.of(message));
        Check.eventually(30, () -> attempts.size() >= 2, () -> attempts.size() + " deliveries instead of 2");

        MessageExt first = attempts.poll();
        MessageExt second = attempts.poll();
        Check.equal(0, first.getReconsumeTimes(), "reconsumeTimes of the first delivery");
        Check.equal(1, second.getReconsumeTimes(), "reconsumeTimes of the second delivery");
        Check.equal(topic, second.getTopic(), "topic of the second delivery");
        Check.equal("tag", second.getTags(), "tag of the second delivery");
        Check.equal("key", second.getKeys(), "keys of the second delivery");
        Check.equal(first.getMsgId(), second.getMsgId(), "unique id of the second delivery");
        Check.that(Payload.intact(second), "the second delivery is altered");
        Topic retried = env.read("%RETRY%" + group);
        Check.equal(1, retried.messages().size(), "messages in the group's retry topic");
        return "redelivered after " + (second.getStoreTimestamp() - first.getStoreTimestamp()) + " ms";
    }

    private static String deadLetter(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        Queue<MessageExt> attempts = consume(env, topic, group, 1, Integer.MAX_VALUE);
        Message message = Payload.message(topic, "m", 100);
        env.send(List.of(message));
        String deadLetters = "%DLQ%" + group;
        Check.eventually(40, () -> !env.read(deadLetters).messages().isEmpty(),
            () -> "nothing in " + deadLetters + " after " + attempts.size() + " deliveries");
        Topic dead = env.read(deadLetters);
        Check.equal(1, dead.messages().size(), "messages in the dead letter topic");
        Check.equal("m", Payload.id(dead.messages().get(0)), "dead letter");
        Check.that(Payload.intact(dead.messages().get(0)), "the dead letter is altered");
        Check.equal(2, attempts.size(), "deliveries before the dead letter");
        return "after " + attempts.size() + " deliveries";
    }

    /** A consumer that refuses a message until it has been redelivered {@code refusals} times. */
    private static Queue<MessageExt> consume(Env env, String topic, String group, int maxReconsumeTimes, int refusals)
        throws Exception {
        Queue<MessageExt> attempts = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = env.pushConsumer(group);
        consumer.setMaxReconsumeTimes(maxReconsumeTimes);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            attempts.addAll(batch);
            context.setDelayLevelWhenNextConsume(SOON);
            return batch.get(0).getReconsumeTimes() < refusals
                ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        awaitRetryQueue(consumer, "%RETRY%" + group);
        return attempts;
    }

    /** The client would learn of its new retry topic by polling, up to 50 s later. */
    private static void awaitRetryQueue(DefaultMQPushConsumer consumer, String retryTopic) throws Exception {
        MQClientInstance client = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory();
        Check.eventually(20, () -> {
            client.updateTopicRouteInfoFromNameServer(retryTopic);
            client.rebalanceImmediately();
            return !Assignment.of(consumer, retryTopic).isEmpty();
        }, () -> "no queue of " + retryTopic + " is assigned");
    }
}
