package gantry.interop;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** A topic's content, read queue by queue with the plain pull consumer. */
@SuppressWarnings("deprecation")
public record Topic(List<MessageExt> messages) {

    public static Topic read(DefaultMQPullConsumer consumer, String topic) throws Exception {
        List<MessageExt> messages = new ArrayList<>();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            messages.addAll(read(consumer, queue));
        }
        return new Topic(messages);
    }

    public static List<MessageExt> read(DefaultMQPullConsumer consumer, MessageQueue queue) throws Exception {
        List<MessageExt> messages = new ArrayList<>();
        long end = consumer.maxOffset(queue);
        long next = consumer.minOffset(queue);
        while (next < end) {
            PullResult result = consumer.pull(queue, "*", next, 32);
            Check.equal(PullStatus.FOUND, result.getPullStatus(), "pull at " + next + " of " + queue);
            for (MessageExt message : result.getMsgFoundList()) {
                Check.equal(next, message.getQueueOffset(), "queue offset in " + queue);
                next++;
                messages.add(message);
            }
            Check.equal(next, result.getNextBeginOffset(), "nextBeginOffset of " + queue);
        }
        return messages;
    }

    public Set<String> ids() {
        return messages.stream().map(Payload::id).collect(Collectors.toCollection(TreeSet::new));
    }

    /** Exactly the messages that were sent, each once and unchanged. */
    public void holds(Collection<? extends Message> sent) {
        Set<String> expected = sent.stream().map(Payload::id).collect(Collectors.toCollection(TreeSet::new));
        Check.equal(expected, ids(), "ids in the topic");
        Check.equal(sent.size(), messages.size(), "messages in the topic");
        messages.forEach(m -> Check.that(Payload.intact(m), "altered message " + m));
    }
}
