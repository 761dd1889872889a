package gantry.interop;

import java.util.Collection;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A listener that keeps and acknowledges everything. */
public final class Inbox implements MessageListenerConcurrently {

    private final Queue<MessageExt> messages = new ConcurrentLinkedQueue<>();

    @Override
    public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> batch, ConsumeConcurrentlyContext context) {
        messages.addAll(batch);
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    public List<MessageExt> messages() {
        return List.copyOf(messages);
    }

    public Set<String> ids() {
        return messages.stream().map(Payload::id).collect(Collectors.toCollection(TreeSet::new));
    }

    /** Messages seen more than once. */
    public int duplicates() {
        List<MessageExt> seen = messages();
        return seen.size() - (int) seen.stream().map(Payload::id).distinct().count();
    }

    public void awaitAll(int seconds, Collection<? extends Message> sent) throws InterruptedException {
        awaitAll("the consumer", seconds, sent);
    }

    public void awaitAll(String who, int seconds, Collection<? extends Message> sent) throws InterruptedException {
        Set<String> expected = sent.stream().map(Payload::id).collect(Collectors.toCollection(TreeSet::new));
        Check.eventually(seconds, () -> ids().containsAll(expected), () -> {
            Set<String> missing = new TreeSet<>(expected);
            missing.removeAll(ids());
            return who + " lacks " + missing.size() + " of " + expected.size() + " messages, such as "
                + missing.stream().findFirst().orElse("none");
        });
        messages.forEach(m -> Check.that(Payload.intact(m), "altered message " + m));
    }
}
