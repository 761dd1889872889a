package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The plain pull consumer: offsets asked for by hand. */
@SuppressWarnings("deprecation")
public final class PullCases {

    public static final List<Case> ALL = List.of(
        Case.of("pull-offsets", PullCases::offsets),
        Case.of("pull-commit", PullCases::commit));

    private PullCases() {
    }

    private static String offsets(Env env) throws Exception {
        String topic = env.topic("topic", 1);
        List<MessageExt> stored = sendApart(env, topic, 10);
        DefaultMQPullConsumer consumer = env.pullConsumer(env.name("group"));
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();

        Check.equal(0L, consumer.minOffset(queue), "min offset");
        Check.equal(10L, consumer.maxOffset(queue), "max offset");
        Check.equal(stored.get(0).getStoreTimestamp(), consumer.earliestMsgStoreTime(queue), "earliest store time");
        long fifth = stored.get(5).getStoreTimestamp();
        Check.equal(5L, consumer.searchOffset(queue, fifth), "offset at the fifth message's time");
        Check.equal(5L, consumer.searchOffset(queue, fifth - 1), "offset just before the fifth message");
        Check.equal(0L, consumer.searchOffset(queue, stored.get(0).getStoreTimestamp() - 60_000), "offset before all");
        long afterAll = consumer.searchOffset(queue, System.currentTimeMillis() + 60_000);
        Check.equal(10L, afterAll, "offset after all");

        PullResult found = consumer.pull(queue, "*", 4, 3);
        Check.equal(PullStatus.FOUND, found.getPullStatus(), "pull of 3 at 4");
        Check.equal(3, found.getMsgFoundList().size(), "messages pulled");
        Check.equal(7L, found.getNextBeginOffset(), "next offset");
        Check.equal(0L, found.getMinOffset(), "min offset in a pull result");
        Check.equal(10L, found.getMaxOffset(), "max offset in a pull result");
        Check.equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 10, 3).getPullStatus(), "pull at the end");
        PullResult beyond = consumer.pull(queue, "*", 50, 3);
        Check.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "pull beyond the end");
        Check.equal(10L, beyond.getNextBeginOffset(), "next offset after a pull beyond the end");
        Check.equal(PullStatus.NO_MATCHED_MSG, consumer.pull(queue, "other", 0, 3).getPullStatus(), "pull of a foreign tag");
        return "min, max, search and pull at edges";
    }

    /** Sends one by one so that each message has a store time of its own. */
    private static List<MessageExt> sendApart(Env env, String topic, int count) throws Exception {
        DefaultMQProducer producer = env.producer();
        long last = 0;
        List<Message> sent = Payload.messages(topic, "m", count);
        for (Message message : sent) {
            long previous = last;
            Check.eventually(5, () -> System.currentTimeMillis() > previous + 5, () -> "the clock stands still");
            Sent.ok(producer.send(message));
            last = System.currentTimeMillis();
        }
        return new ArrayList<>(env.read(topic).messages());
    }

    private static String commit(Env env) throws Exception {
        String topic = env.topic("topic", 1);
        String group = env.name("group");
        env.send(Payload.messages(topic, "m", 8));
        DefaultMQPullConsumer first = env.pullConsumer(group);
        MessageQueue queue = first.fetchSubscribeMessageQueues(topic).iterator().next();
        DefaultMQPullConsumer second = env.pullConsumer(group);
        Check.eventually(10, () -> {
            // Commits are one-way, and dropped until a heartbeat has made the group known.
            first.updateConsumeOffset(queue, 5);
            first.getOffsetStore().persistAll(Set.of(queue));
            return second.fetchConsumeOffset(queue, true) == 5;
        }, () -> "the committed offset 5 is not what another member reads");
        return "offset 5 read by another member";
    }
}
