package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Order within a queue, also when a message must be tried again. */
public final class OrderlyCases {

    private static final int KEYS = 10;
    private static final int PER_KEY = 20;

    public static final List<Case> ALL = List.of(Case.of("orderly", OrderlyCases::orderly));

    private OrderlyCases() {
    }

    private static String orderly(Env env) throws Exception {
        String topic = env.topic();
        Map<Integer, Queue<MessageExt>> consumed = new ConcurrentHashMap<>();
        Set<Integer> suspended = ConcurrentHashMap.newKeySet();
        Set<Integer> busy = ConcurrentHashMap.newKeySet();
        Queue<String> problems = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (batch, context) -> {
            int queue = context.getMessageQueue().getQueueId();
            if (!busy.add(queue)) {
                problems.add("queue " + queue + " is consumed by two threads at once");
            }
            try {
                // The third message of each queue is refused once: nothing may overtake it.
                if (batch.get(0).getQueueOffset() == 2 && suspended.add(queue)) {
                    context.setSuspendCurrentQueueTimeMillis(100);
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                consumed.computeIfAbsent(queue, q -> new ConcurrentLinkedQueue<>()).addAll(batch);
                return ConsumeOrderlyStatus.SUCCESS;
            } finally {
                busy.remove(queue);
            }
        });
        consumer.start();

        DefaultMQProducer producer = env.producer();
        for (int i = 0; i < PER_KEY; i++) {
            for (int key = 0; key < KEYS; key++) {
                Message message = Payload.message(topic, key + "/" + i, 100);
                message.putUserProperty("key", Integer.toString(key));
                message.putUserProperty("seq", Integer.toString(i));
                Sent.ok(producer.send(message, new SelectMessageQueueByHash(), key));
            }
        }
        Check.eventually(30, () -> count(consumed) >= KEYS * PER_KEY, () -> "consumed only " + count(consumed));
        Check.equal(KEYS * PER_KEY, count(consumed), "messages consumed");
        Check.that(problems.isEmpty(), String.valueOf(problems.peek()));
        consumed.values().forEach(OrderlyCases::inOrder);
        return KEYS + " keys in " + consumed.size() + " queues, " + suspended.size() + " suspended once";
    }

    private static int count(Map<Integer, Queue<MessageExt>> consumed) {
        return consumed.values().stream().mapToInt(Queue::size).sum();
    }

    private static void inOrder(Queue<MessageExt> queue) {
        long offset = 0;
        Map<String, Integer> next = new ConcurrentHashMap<>();
        for (MessageExt message : queue) {
            Check.equal(offset++, message.getQueueOffset(), "queue offset in order of consumption");
            String key = message.getUserProperty("key");
            int seq = Integer.parseInt(message.getUserProperty("seq"));
            Check.equal(next.getOrDefault(key, 0), seq, "sequence of key " + key);
            next.put(key, seq + 1);
        }
    }
}
