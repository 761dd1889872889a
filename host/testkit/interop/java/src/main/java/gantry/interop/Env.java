package gantry.interop;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.body.ClusterInfo;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What a case works with: names of its own, and clients that are shut down when it ends. */
public final class Env implements AutoCloseable {

    public static final int QUEUES = 4;
    private static final long CLOSE_MS = 300;

    /**
     * Consumers pull with a subscription version that the broker must first learn from a heartbeat. When the client
     * is already sending one as its queues change, it skips the one that carries the new version, and the next is due
     * after 30 s by default.
     */
    private static final int HEARTBEAT_MS = 2000;

    private final Settings settings;
    private final String prefix;
    private final List<Runnable> closers = new ArrayList<>();
    private DefaultMQAdminExt admin;
    @SuppressWarnings("deprecation")
    private DefaultMQPullConsumer reader;
    private int clients;

    Env(Settings settings, String caseName) {
        this.settings = settings;
        this.prefix = settings.run() + "-java-" + caseName;
    }

    public boolean quick() {
        return settings.quick();
    }

    public Settings settings() {
        return settings;
    }

    public String name(String suffix) {
        return prefix + "-" + suffix;
    }

    /** A new topic of {@link #QUEUES} queues on one broker, already routed. */
    public String topic() throws Exception {
        return topic("topic", QUEUES);
    }

    public String topic(String suffix, int queues) throws Exception {
        String topic = name(suffix);
        admin().createAndUpdateTopicConfig(brokerAddress(), new TopicConfig(topic, queues, queues));
        awaitRoute(topic, queues);
        return topic;
    }

    public void awaitRoute(String topic, int queues) throws Exception {
        Check.eventually(10,
            () -> admin().examineTopicRouteInfo(topic).getQueueDatas().stream()
                .mapToInt(q -> q.getWriteQueueNums()).sum() == queues,
            () -> "no route with " + queues + " queues for " + topic);
    }

    /** The first master of the cluster. */
    public String brokerAddress() throws Exception {
        return broker().getBrokerAddrs().get(0L);
    }

    public BrokerData broker() throws Exception {
        ClusterInfo cluster = admin().examineBrokerClusterInfo();
        return cluster.getBrokerAddrTable().values().stream()
            .filter(b -> b.getBrokerAddrs().containsKey(0L))
            .min(Comparator.comparing(BrokerData::getBrokerName))
            .orElseThrow(() -> new Check.Failed("the name server knows no master"));
    }

    public Set<String> namesrvs() {
        return new HashSet<>(List.of(settings.namesrv().split(";")));
    }

    public DefaultMQAdminExt admin() throws Exception {
        if (admin == null) {
            DefaultMQAdminExt created = new DefaultMQAdminExt(5000);
            created.setNamesrvAddr(settings.namesrv());
            created.setInstanceName(instance());
            created.start();
            closers.add(created::shutdown);
            admin = created;
        }
        return admin;
    }

    public DefaultMQProducer producer() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(name("producer"));
        producer.setNamesrvAddr(settings.namesrv());
        producer.setInstanceName(instance());
        producer.start();
        closers.add(producer::shutdown);
        return producer;
    }

    /** Sends all one by one; fails on the first that is not stored. */
    public void send(Iterable<Message> messages) throws Exception {
        DefaultMQProducer producer = producer();
        for (Message message : messages) {
            Sent.ok(producer.send(message));
        }
    }

    /** Not started; reads a new group's topics from the first message on. */
    public DefaultMQPushConsumer pushConsumer(String group) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(settings.namesrv());
        consumer.setInstanceName(instance());
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        closers.add(consumer::shutdown);
        return consumer;
    }

    @SuppressWarnings("deprecation")
    public DefaultMQPullConsumer pullConsumer(String group) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group);
        consumer.setNamesrvAddr(settings.namesrv());
        consumer.setInstanceName(instance());
        consumer.start();
        closers.add(consumer::shutdown);
        return consumer;
    }

    /** Not started. */
    public DefaultLitePullConsumer litePullConsumer(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(settings.namesrv());
        consumer.setInstanceName(instance());
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        closers.add(consumer::shutdown);
        return consumer;
    }

    /** Everything that the topic holds. */
    @SuppressWarnings("deprecation")
    public Topic read(String topic) throws Exception {
        if (reader == null) {
            reader = pullConsumer(name("reader"));
        }
        return Topic.read(reader, topic);
    }

    /** Each client is its own instance: clients of one process would share connections and a member id otherwise. */
    private String instance() {
        return prefix + "#" + clients++;
    }

    /** In parallel and not for ever: some shutdowns wait for seconds, and nothing here depends on their end. */
    @Override
    public void close() throws InterruptedException {
        List<Thread> threads = closers.stream().map(closer -> new Thread(closer, "close")).toList();
        threads.forEach(thread -> thread.setDaemon(true));
        threads.forEach(Thread::start);
        long deadline = System.currentTimeMillis() + CLOSE_MS;
        for (Thread thread : threads) {
            thread.join(Math.max(1, deadline - System.currentTimeMillis()));
        }
    }
}
