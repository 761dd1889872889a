package gantry.interop.cases;

import gantry.interop.Assignment;
import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/**
 * Where consumption begins.
 *
 * <p>A new clustering group asks the broker first, and a broker that still holds a queue's first message in memory
 * answers 0 whatever the client wants. A broadcasting consumer keeps its offsets itself, so only there LAST and
 * TIMESTAMP are exact.
 */
public final class OffsetCases {

    private static final int COUNT = 10;

    public static final List<Case> ALL = List.of(
        Case.of("restart-resume", OffsetCases::restart),
        Case.of("from-first", OffsetCases::first),
        Case.of("from-last", OffsetCases::last),
        Case.of("from-timestamp", OffsetCases::timestamp));

    private OffsetCases() {
    }

    private static String restart(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        List<Message> before = Payload.messages(topic, "before", 40);
        env.send(before);
        Inbox firstInbox = new Inbox();
        DefaultMQPushConsumer first = start(env, topic, group, firstInbox, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        firstInbox.awaitAll(20, before);
        // A message reaches the inbox a moment before it counts as consumed. Shutting down commits what counts, so after
        // that nothing of the first part may come again.
        OffsetStore offsets = first.getDefaultMQPushConsumerImpl().getOffsetStore();
        Check.eventually(10, () -> Assignment.of(first, topic).stream()
                .mapToLong(queue -> offsets.readOffset(queue, ReadOffsetType.READ_FROM_MEMORY)).sum() == before.size(),
            () -> "the first consumer's offsets do not add up to " + before.size());
        first.shutdown();

        List<Message> after = Payload.messages(topic, "after", 40);
        env.send(after);
        Inbox secondInbox = new Inbox();
        start(env, topic, group, secondInbox, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        secondInbox.awaitAll(20, after);
        Check.equal(after.size(), secondInbox.messages().size(), "messages after the restart");
        return before.size() + " before, " + after.size() + " after";
    }

    private static String first(Env env) throws Exception {
        String topic = env.topic();
        List<Message> sent = Payload.messages(topic, "m", COUNT);
        env.send(sent);
        Inbox inbox = new Inbox();
        start(env, topic, env.name("group"), inbox, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        inbox.awaitAll(20, sent);
        return sent.size() + " messages sent before";
    }

    private static String last(Env env) throws Exception {
        String topic = env.topic("topic", 1);
        List<Message> old = Payload.messages(topic, "old", COUNT);
        env.send(old);
        Inbox broadcast = new Inbox();
        Inbox clustered = new Inbox();
        // A queue is assigned once its first offset is known: what is sent then is new to both consumers.
        Assignment.await(
            broadcaster(env, topic, broadcast, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, null), topic, 1);
        Assignment.await(
            start(env, topic, env.name("group"), clustered, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET), topic, 1);
        List<Message> fresh = Payload.messages(topic, "new", COUNT);
        env.send(fresh);
        return verify(broadcast, clustered, old, fresh);
    }

    private static String timestamp(Env env) throws Exception {
        String topic = env.topic("topic", 1);
        List<Message> old = Payload.messages(topic, "old", COUNT);
        env.send(old);
        // The client's timestamp has a resolution of one second.
        int second = LocalDateTime.now().getSecond();
        Check.eventually(5, () -> LocalDateTime.now().getSecond() != second, () -> "the clock stands still");
        String from = LocalDateTime.now().format(DateTimeFormatter.ofPattern("yyyyMMddHHmmss"));
        List<Message> fresh = Payload.messages(topic, "new", COUNT);
        env.send(fresh);
        Inbox broadcast = new Inbox();
        Inbox clustered = new Inbox();
        broadcaster(env, topic, broadcast, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, from);
        DefaultMQPushConsumer consumer = consumer(env, topic, env.name("group"), clustered,
            ConsumeFromWhere.CONSUME_FROM_TIMESTAMP);
        consumer.setConsumeTimestamp(from);
        consumer.start();
        return verify(broadcast, clustered, old, fresh);
    }

    private static String verify(Inbox broadcast, Inbox clustered, List<Message> old, List<Message> fresh)
        throws Exception {
        broadcast.awaitAll("the broadcasting consumer", 20, fresh);
        Check.equal(fresh.size(), broadcast.ids().size(), "messages at the broadcasting consumer");
        clustered.awaitAll("the new group", 20, fresh);
        Set<String> early = new HashSet<>(clustered.ids());
        fresh.forEach(m -> early.remove(Payload.id(m)));
        Check.that(early.isEmpty() || early.size() == old.size(),
            "a new group got " + early.size() + " of " + old.size() + " earlier messages");
        return "broadcasting exact, new group " + (early.isEmpty() ? "without" : "with") + " earlier messages";
    }

    private static DefaultMQPushConsumer broadcaster(Env env, String topic, Inbox inbox, ConsumeFromWhere where,
        String from) throws Exception {
        DefaultMQPushConsumer consumer = consumer(env, topic, env.name("broadcast"), inbox, where);
        consumer.setMessageModel(MessageModel.BROADCASTING);
        if (from != null) {
            consumer.setConsumeTimestamp(from);
        }
        consumer.start();
        return consumer;
    }

    private static DefaultMQPushConsumer start(Env env, String topic, String group, Inbox inbox, ConsumeFromWhere where)
        throws Exception {
        DefaultMQPushConsumer consumer = consumer(env, topic, group, inbox, where);
        consumer.start();
        return consumer;
    }

    private static DefaultMQPushConsumer consumer(Env env, String topic, String group, Inbox inbox,
        ConsumeFromWhere where) throws Exception {
        DefaultMQPushConsumer consumer = env.pushConsumer(group);
        consumer.setConsumeFromWhere(where);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        return consumer;
    }
}
