package gantry.interop.cases;

import gantry.interop.Assignment;
import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Child;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageQueueAssignment;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** Consumers that ask the broker for their queues instead of sharing them out among themselves. */
public final class AssignmentCases {

    private static final String CHILD_NAME = "server-assigned-child";
    private static final long TIMEOUT_MS = 3000;

    public static final List<Case> ALL = List.of(
        Case.of("server-assigned", AssignmentCases::killed),
        Case.of("request-mode", AssignmentCases::mode));

    /** Runs only when asked for by name. */
    public static final List<Case> CHILD = List.of(Case.of(CHILD_NAME, AssignmentCases::child));

    private AssignmentCases() {
    }

    /** Two members share by pulls; the process of one is killed, and the other takes over. */
    private static String killed(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer staying = member(env, topic, group, inbox);
        Assignment.await(staying, topic, Env.QUEUES);
        List<String> options = List.of("-Dinterop.topic=" + topic, "-Dinterop.group=" + group);
        Process other = Child.start(env.settings(), CHILD_NAME, options);
        long left;
        try {
            Assignment.await(staying, topic, Env.QUEUES / 2);
            List<Message> shared = Payload.messages(topic, "shared", 40);
            env.send(shared);
            Check.eventually(20, () -> inbox.ids().size() == shared.size() / 2,
                () -> "the first of two members got " + inbox.ids().size() + " of " + shared.size());
        } finally {
            other.destroyForcibly().waitFor();
            left = System.nanoTime();
        }
        Assignment.await(staying, topic, Env.QUEUES);
        long took = (System.nanoTime() - left) / 1_000_000;
        List<Message> after = Payload.messages(topic, "after", 40);
        env.send(after);
        inbox.awaitAll(20, after);
        return "took over in " + took + " ms";
    }

    private static String child(Env env) throws Exception {
        member(env, System.getProperty("interop.topic"), System.getProperty("interop.group"), new Inbox());
        // Until it is killed.
        new CountDownLatch(1).await();
        return "";
    }

    private static DefaultMQPushConsumer member(Env env, String topic, String group, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = env.pushConsumer(group);
        consumer.setClientRebalance(false);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();
        return consumer;
    }

    /** A broker says what the client computes, and POP where an operator chose it. */
    private static String mode(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        DefaultMQPushConsumer consumer = env.pushConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(new Inbox());
        consumer.start();
        Assignment.await(consumer, topic, Env.QUEUES);
        for (String strategy : List.of("AVG", "AVG_BY_CIRCLE")) {
            Check.equal(Assignment.of(consumer, topic), queues(ask(consumer, topic, strategy)), strategy);
        }
        Check.equal(null, ask(consumer, topic, "NO_SUCH_STRATEGY"), "an unknown strategy");
        set(env, topic, group, MessageRequestMode.POP);
        Set<MessageQueueAssignment> popped = ask(consumer, topic, "AVG");
        String broker = env.broker().getBrokerName();
        Check.equal(Set.of(new MessageQueue(topic, broker, -1)), queues(popped), "queues with POP");
        Check.that(popped.stream().allMatch(a -> a.getMode() == MessageRequestMode.POP), "not every mode is POP");
        set(env, topic, group, MessageRequestMode.PULL);
        Check.equal(Assignment.of(consumer, topic), queues(ask(consumer, topic, "AVG")), "queues with PULL again");
        return "";
    }

    private static void set(Env env, String topic, String group, MessageRequestMode mode) throws Exception {
        env.admin().setMessageRequestMode(env.brokerAddress(), topic, group, mode, 0, TIMEOUT_MS);
    }

    private static Set<MessageQueueAssignment> ask(DefaultMQPushConsumer consumer, String topic, String strategy)
        throws Exception {
        return consumer.getDefaultMQPushConsumerImpl().getmQClientFactory()
            .queryAssignment(topic, consumer.getConsumerGroup(), strategy, MessageModel.CLUSTERING, (int) TIMEOUT_MS);
    }

    private static Set<MessageQueue> queues(Set<MessageQueueAssignment> assignments) {
        return assignments.stream().map(MessageQueueAssignment::getMessageQueue)
            .collect(Collectors.toCollection(TreeSet::new));
    }
}
