package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What a consumer gets to see: everything, some tags, or everything at each member. */
public final class SubscriptionCases {

    public static final List<Case> ALL = List.of(
        Case.of("tag-filter", SubscriptionCases::tagFilter),
        Case.of("broadcasting", SubscriptionCases::broadcasting));

    private SubscriptionCases() {
    }

    private static String tagFilter(Env env) throws Exception {
        String topic = env.topic();
        List<Message> wanted = new ArrayList<>();
        List<Message> all = new ArrayList<>();
        // AaAa and BBBB have the same hash code, which is all that the broker's queues know of a tag.
        for (String tag : new String[] {"red", "green", "blue", "AaAa", "BBBB", null}) {
            List<Message> messages = Payload.messages(topic, tag + "-", 8);
            messages.forEach(m -> m.setTags(tag));
            all.addAll(messages);
            if ("red".equals(tag) || "blue".equals(tag) || "AaAa".equals(tag)) {
                wanted.addAll(messages);
            }
        }
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "red || blue || AaAa");
        consumer.registerMessageListener(inbox);
        consumer.start();
        env.send(all);
        inbox.awaitAll(20, wanted);
        Check.equal(wanted.size(), inbox.ids().size(), "messages delivered by tag");
        return wanted.size() + " of " + all.size() + " messages";
    }

    private static String broadcasting(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        List<Message> sent = Payload.messages(topic, "m", 40);
        List<Inbox> inboxes = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = env.pushConsumer(group);
            consumer.setMessageModel(MessageModel.BROADCASTING);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener(inbox);
            consumer.start();
            inboxes.add(inbox);
        }
        env.send(sent);
        for (Inbox inbox : inboxes) {
            inbox.awaitAll(20, sent);
            Check.equal(0, inbox.duplicates(), "duplicates at one member");
        }
        return "2 members, " + sent.size() + " messages each";
    }
}
