package gantry.interop.cases;

import gantry.interop.Assignment;
import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;

/** A group of two members, and what becomes of its queues when they come and go. */
public final class ClusteringCases {

    public static final List<Case> ALL = List.of(Case.of("push-clustering", ClusteringCases::rebalance));

    private ClusteringCases() {
    }

    private static String rebalance(Env env) throws Exception {
        String topic = env.topic();
        Inbox firstInbox = new Inbox();
        Inbox secondInbox = new Inbox();

        DefaultMQPushConsumer first = member(env, topic, firstInbox);
        Assignment.await(first, topic, Env.QUEUES);
        long joined = System.nanoTime();
        DefaultMQPushConsumer second = member(env, topic, secondInbox);
        Assignment.await(second, topic, Env.QUEUES / 2);
        Assignment.await(first, topic, Env.QUEUES / 2);
        long split = System.nanoTime();
        Check.that(Collections.disjoint(Assignment.of(first, topic), Assignment.of(second, topic)),
            "both members hold the same queue");

        List<Message> shared = Payload.messages(topic, "shared", 40);
        env.send(shared);
        Check.eventually(20, () -> firstInbox.ids().size() + secondInbox.ids().size() == shared.size(),
            () -> "members got " + firstInbox.ids().size() + " + " + secondInbox.ids().size() + " of " + shared.size());
        Check.equal(shared.size() / 2, firstInbox.ids().size(), "messages at the first of two members");

        second.shutdown();
        long left = System.nanoTime();
        Assignment.await(first, topic, Env.QUEUES);
        long taken = System.nanoTime();
        List<Message> alone = Payload.messages(topic, "alone", 40);
        env.send(alone);
        firstInbox.awaitAll(20, alone);
        Check.equal(shared.size() / 2, secondInbox.ids().size(), "messages at the member that left");

        List<Message> all = new ArrayList<>(shared);
        all.addAll(alone);
        int duplicates = firstInbox.messages().size() + secondInbox.messages().size() - all.size();
        return String.format("split after %d ms, taken over after %d ms, %d duplicates",
            (split - joined) / 1_000_000, (taken - left) / 1_000_000, duplicates);
    }

    private static DefaultMQPushConsumer member(Env env, String topic, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();
        return consumer;
    }
}
