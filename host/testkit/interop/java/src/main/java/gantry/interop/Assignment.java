package gantry.interop;

import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.MessageQueue;

/** The queues that a running push consumer holds right now. */
public final class Assignment {

    private Assignment() {
    }

    public static Set<MessageQueue> of(DefaultMQPushConsumer consumer, String topic) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet().stream()
            .filter(queue -> queue.getTopic().equals(topic))
            .collect(Collectors.toCollection(TreeSet::new));
    }

    public static void await(DefaultMQPushConsumer consumer, String topic, int queues) throws InterruptedException {
        Check.eventually(30, () -> of(consumer, topic).size() == queues,
            () -> consumer.getInstanceName() + " holds " + of(consumer, topic).size() + " queues instead of " + queues);
    }
}
