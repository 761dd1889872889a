package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The lite pull consumer, with queues assigned by hand and by the group. */
public final class LitePullCases {

    private static final int COUNT = 10;

    public static final List<Case> ALL = List.of(
        Case.of("lite-assign-seek", LitePullCases::assignAndSeek),
        Case.of("lite-subscribe", LitePullCases::subscribe));

    private LitePullCases() {
    }

    private static String assignAndSeek(Env env) throws Exception {
        String topic = env.topic("topic", 1);
        DefaultMQProducer producer = env.producer();
        long middle = 0;
        for (int i = 0; i < COUNT; i++) {
            if (i == COUNT / 2) {
                // Room on both sides, so that the time in between belongs to no message.
                long before = System.currentTimeMillis();
                Check.eventually(5, () -> System.currentTimeMillis() > before + 50, () -> "the clock stands still");
                middle = before + 25;
            }
            Sent.ok(producer.send(Payload.message(topic, Integer.toString(i), 100)));
        }
        DefaultLitePullConsumer consumer = env.litePullConsumer(env.name("group"));
        consumer.setAutoCommit(false);
        consumer.start();
        MessageQueue queue = consumer.fetchMessageQueues(topic).iterator().next();
        consumer.assign(List.of(queue));

        consumer.seekToBegin(queue);
        expectFrom(consumer, 0);
        consumer.seek(queue, 7);
        expectFrom(consumer, 7);
        long offset = consumer.offsetForTimestamp(queue, middle);
        Check.equal((long) COUNT / 2, offset, "offset for a time between two messages");
        consumer.seek(queue, offset);
        expectFrom(consumer, COUNT / 2);
        consumer.seekToEnd(queue);
        Sent.ok(producer.send(Payload.message(topic, Integer.toString(COUNT), 100)));
        expectFrom(consumer, COUNT, COUNT + 1);
        return "begin, offset, time, end";
    }

    private static void expectFrom(DefaultLitePullConsumer consumer, int first) throws Exception {
        expectFrom(consumer, first, COUNT);
    }

    /** Polls the messages first … end-1, in order and nothing else. */
    private static void expectFrom(DefaultLitePullConsumer consumer, int first, int end) throws Exception {
        List<Long> expected = new ArrayList<>();
        for (long i = first; i < end; i++) {
            expected.add(i);
        }
        List<Long> offsets = new ArrayList<>();
        Check.eventually(15, () -> {
            for (MessageExt message : consumer.poll(200)) {
                Check.equal(Long.toString(message.getQueueOffset()), Payload.id(message), "message at its offset");
                offsets.add(message.getQueueOffset());
            }
            return offsets.size() >= expected.size();
        }, () -> "polled only " + offsets + " after a seek to " + first);
        Check.equal(expected, offsets, "offsets polled after a seek to " + first);
    }

    private static String subscribe(Env env) throws Exception {
        String topic = env.topic();
        List<Message> sent = Payload.messages(topic, "m", 40);
        env.send(sent);
        String group = env.name("group");
        DefaultLitePullConsumer consumer = env.litePullConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.start();
        Set<String> ids = new TreeSet<>();
        Check.eventually(30, () -> {
            consumer.poll(200).forEach(m -> ids.add(Payload.id(m)));
            return ids.size() == sent.size();
        }, () -> "polled only " + ids.size() + " of " + sent.size());
        consumer.commit();
        return sent.size() + " messages";
    }
}
