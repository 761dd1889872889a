package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.admin.ConsumeStats;
import org.apache.rocketmq.remoting.protocol.body.ConsumerConnection;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What operators do with the admin client. */
public final class AdminCases {

    public static final List<Case> ALL = List.of(
        Case.of("admin-topic", AdminCases::topic),
        Case.of("client-create-topic", AdminCases::clientCreate),
        Case.of("admin-group", AdminCases::group),
        Case.of("admin-progress", AdminCases::progress),
        Case.of("query-by-key", AdminCases::queryByKey),
        Case.of("query-by-id", AdminCases::queryById),
        Case.of("query-by-time", AdminCases::queryByTime),
        Case.of("query-collision", AdminCases::queryCollision));

    private AdminCases() {
    }

    private static String topic(Env env) throws Exception {
        DefaultMQAdminExt admin = env.admin();
        String address = env.brokerAddress();
        String topic = env.topic("topic", 3);
        TopicConfig config = admin.examineTopicConfig(address, topic);
        Check.equal(3, config.getReadQueueNums(), "read queues of the new topic");
        Check.equal(3, config.getWriteQueueNums(), "write queues of the new topic");
        Check.that(admin.fetchAllTopicList().getTopicList().contains(topic), "the new topic is not in the list");
        admin.createAndUpdateTopicConfig(address, new TopicConfig(topic, 5, 5));
        env.awaitRoute(topic, 5);
        env.send(Payload.messages(topic, "m", 10));
        Check.equal(5, admin.examineTopicConfig(address, topic).getWriteQueueNums(), "write queues of the grown topic");

        admin.deleteTopicInBroker(Set.of(address), topic);
        admin.deleteTopicInNameServer(env.namesrvs(), topic);
        Check.eventually(10, () -> noRoute(admin, topic), () -> "the deleted topic is still routed");
        return "created with 3 queues, grown to 5, deleted";
    }

    private static boolean noRoute(DefaultMQAdminExt admin, String topic) throws Exception {
        try {
            admin.examineTopicRouteInfo(topic);
            return false;
        } catch (MQClientException e) {
            return e.getResponseCode() == ResponseCode.TOPIC_NOT_EXIST;
        }
    }

    private static String clientCreate(Env env) throws Exception {
        String topic = env.name("topic");
        DefaultMQProducer producer = env.producer();
        producer.createTopic("TBW102", topic, 6, null);
        Check.eventually(10, () -> producer.fetchPublishMessageQueues(topic).size() >= 6,
            () -> "the created topic has not 6 queues");
        Sent.ok(producer.send(Payload.message(topic, "m", 10)));
        return "6 queues";
    }

    private static String group(Env env) throws Exception {
        DefaultMQAdminExt admin = env.admin();
        String address = env.brokerAddress();
        String group = env.name("group");
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(group);
        config.setRetryMaxTimes(2);
        config.setConsumeBroadcastEnable(false);
        admin.createAndUpdateSubscriptionGroupConfig(address, config);
        SubscriptionGroupConfig stored = admin.examineSubscriptionGroupConfig(address, group);
        Check.that(stored != null, "the created group is not listed");
        Check.equal(2, stored.getRetryMaxTimes(), "retryMaxTimes");
        Check.equal(false, stored.isConsumeBroadcastEnable(), "consumeBroadcastEnable");
        admin.deleteSubscriptionGroup(address, group, true);
        Check.equal(null, admin.examineSubscriptionGroupConfig(address, group), "the deleted group");
        return "created, read back, deleted";
    }

    private static String progress(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        List<Message> sent = Payload.messages(topic, "m", 20);
        env.send(sent);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();
        inbox.awaitAll(20, sent);

        ConsumerConnection connection = env.admin().examineConsumerConnectionInfo(group);
        Check.equal(1, connection.getConnectionSet().size(), "connections of the group");
        Check.that(connection.getSubscriptionTable().containsKey(topic), "the group's subscription is not listed");
        AtomicReference<ConsumeStats> stats = new AtomicReference<>();
        Check.eventually(10, () -> {
            // Now rather than with the next periodic commit.
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            stats.set(env.admin().examineConsumeStats(group, topic));
            return stats.get().computeTotalDiff() == 0;
        }, () -> "the group still has a lag");
        long consumed = stats.get().getOffsetTable().values().stream().mapToLong(w -> w.getConsumerOffset()).sum();
        Check.equal((long) sent.size(), consumed, "sum of consumer offsets");
        return "lag 0 after " + consumed;
    }

    private static String queryByKey(Env env) throws Exception {
        String topic = env.topic();
        Message message = Payload.message(topic, "m", 10);
        message.setKeys("order-1 customer-2");
        env.send(List.of(message));
        for (String key : List.of("order-1", "customer-2")) {
            // The index is built behind the append, so the first queries may find nothing.
            Check.eventually(10, () -> {
                QueryResult found = env.admin().queryMessage(topic, key, 8, 0, Long.MAX_VALUE);
                return found.getMessageList().size() == 1
                    && Payload.id(found.getMessageList().get(0)).equals(Payload.id(message));
            }, () -> "nothing found under key " + key);
        }
        return "2 keys";
    }

    private static String queryById(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        List<Message> messages = Payload.messages(topic, "m", 5);
        List<SendResult> results = new ArrayList<>();
        for (Message message : messages) {
            results.add(Sent.ok(producer.send(message)));
        }
        for (int i = 0; i < messages.size(); i++) {
            String id = Payload.id(messages.get(i));
            String unique = results.get(i).getMsgId();
            // The id that the producer made goes through the index, the broker's own names a place in its log.
            Check.eventually(10, () -> foundById(env, topic, unique).equals(Set.of(id)),
                () -> "not just its message found under the id " + unique);
            Check.equal(id, Payload.id(producer.viewMessage(topic, unique)), "message viewed by the producer's id");
            MessageExt viewed = env.admin().viewMessage(topic, results.get(i).getOffsetMsgId());
            Check.equal(id, Payload.id(viewed), "message viewed by its offsetMsgId");
            Check.that(Payload.intact(viewed), "the viewed message is not intact");
            Check.equal(unique, viewed.getMsgId(), "id of the viewed message");
        }
        return messages.size() + " by either id";
    }

    private static String queryByTime(Env env) throws Exception {
        String topic = env.topic();
        Message early = Payload.message(topic, "early", 10);
        Message late = Payload.message(topic, "late", 10);
        early.setKeys("shared");
        late.setKeys("shared");
        env.send(List.of(early));
        // The range of a query is by the second in RocketMQ.
        Thread.sleep(2100);
        env.send(List.of(late));
        Check.eventually(10, () -> found(env, topic, "shared", 0, Long.MAX_VALUE).size() == 2,
            () -> "two messages with one key are not found");
        long lateMs = env.admin().queryMessage(topic, "shared", 8, 0, Long.MAX_VALUE).getMessageList().stream()
            .mapToLong(MessageExt::getStoreTimestamp).max().orElseThrow();
        Check.equal(Set.of("early"), found(env, topic, "shared", 0, lateMs - 1100), "messages before the second");
        Check.equal(Set.of("late"), found(env, topic, "shared", lateMs - 1000, Long.MAX_VALUE), "messages after the first");
        Check.equal(Set.of(), found(env, topic, "shared", lateMs + 60_000, Long.MAX_VALUE), "messages of the future");
        return "both, either, none";
    }

    private static String queryCollision(Env env) throws Exception {
        String topic = env.topic();
        // Each pair of keys has one hash.
        Message aa = Payload.message(topic, "aa", 10);
        Message bb = Payload.message(topic, "bb", 10);
        Message both = Payload.message(topic, "both", 10);
        aa.setKeys("order-Aa AaAa");
        bb.setKeys("order-BB BBBB");
        both.setKeys("order-BB order-Aa");
        env.send(List.of(aa, bb, both));
        Check.eventually(10, () -> found(env, topic, "order-Aa", 0, Long.MAX_VALUE).size() == 2,
            () -> "not both messages of a key found");
        Check.equal(Set.of("aa", "both"), found(env, topic, "order-Aa", 0, Long.MAX_VALUE), "messages of order-Aa");
        Check.equal(Set.of("bb", "both"), found(env, topic, "order-BB", 0, Long.MAX_VALUE), "messages of order-BB");
        Check.equal(Set.of("aa"), found(env, topic, "AaAa", 0, Long.MAX_VALUE), "messages of AaAa");
        Check.equal(Set.of(), found(env, topic, "AaBB", 0, Long.MAX_VALUE), "messages of a key with the same hash");
        return "5 keys of 2 hashes";
    }

    /** Ids of the messages that have a key. The client says "no message" by an exception. */
    private static Set<String> found(Env env, String topic, String key, long begin, long end) throws Exception {
        return ids(() -> env.admin().queryMessage(topic, key, 8, begin, end));
    }

    private static Set<String> foundById(Env env, String topic, String unique) throws Exception {
        return ids(() -> env.admin().queryMessageByUniqKey(null, topic, unique, 8, 0, Long.MAX_VALUE));
    }

    private static Set<String> ids(Callable<QueryResult> query) throws Exception {
        try {
            return query.call().getMessageList().stream().map(Payload::id).collect(Collectors.toSet());
        } catch (MQClientException e) {
            if (e.getResponseCode() == ResponseCode.NO_MESSAGE) {
                return Set.of();
            }
            throw e;
        }
    }
}
