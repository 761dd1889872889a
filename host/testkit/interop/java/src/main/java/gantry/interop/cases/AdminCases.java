package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
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
        Case.of("query-by-key", AdminCases::queryByKey));

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
}
