package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Consumers that select by SQL92 expressions over properties. */
public final class SqlCases {

    private static final String SELECTOR = "(region IN ('eu', 'uk') AND amount BETWEEN 100 AND 300 AND note IS NULL)"
        + " OR (TAGS = 'urgent' AND NOT (region = 'ap'))";

    public static final List<Case> ALL = List.of(
        Case.of("sql-push", SqlCases::push),
        Case.of("sql-lite-pull", SqlCases::litePull),
        Case.of("sql-change", SqlCases::change),
        Case.of("sql-refused", SqlCases::refused));

    private SqlCases() {
    }

    /** Messages, and which of them {@link #SELECTOR} selects. */
    private record Sent(List<Message> all, List<Message> wanted) {

        static Sent to(String topic) {
            Sent sent = new Sent(new ArrayList<>(), new ArrayList<>());
            sent.add(topic, true, "eu", "100", null, null);
            sent.add(topic, true, "uk", "300", null, "red");
            sent.add(topic, false, "eu", "99", null, null);
            sent.add(topic, false, "us", "200", null, null);
            sent.add(topic, false, "eu", "200", "no", null);
            sent.add(topic, true, "us", "200", null, "urgent");
            sent.add(topic, false, "ap", "1", null, "urgent");
            // No number and no region: an error and null, not delivered either.
            sent.add(topic, false, "eu", "12.5", null, "urgent");
            sent.add(topic, false, null, "200", null, "red");
            return sent;
        }

        private void add(String topic, boolean selected, String region, String amount, String note, String tag) {
            List<Message> messages = Payload.messages(topic, all.size() + "-", 8);
            for (Message message : messages) {
                put(message, "region", region);
                put(message, "amount", amount);
                put(message, "note", note);
                message.setTags(tag);
            }
            all.addAll(messages);
            if (selected) {
                wanted.addAll(messages);
            }
        }

        private static void put(Message message, String name, String value) {
            if (value != null) {
                message.putUserProperty(name, value);
            }
        }
    }

    private static String push(Env env) throws Exception {
        String topic = env.topic();
        Sent sent = Sent.to(topic);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, MessageSelector.bySql(SELECTOR));
        consumer.registerMessageListener(inbox);
        consumer.start();
        env.send(sent.all());
        inbox.awaitAll(20, sent.wanted());
        Check.equal(sent.wanted().size(), inbox.ids().size(), "messages delivered by expression");
        return sent.wanted().size() + " of " + sent.all().size() + " messages";
    }

    private static String litePull(Env env) throws Exception {
        String topic = env.topic();
        Sent sent = Sent.to(topic);
        env.send(sent.all());
        DefaultLitePullConsumer consumer = env.litePullConsumer(env.name("group"));
        consumer.subscribe(topic, MessageSelector.bySql(SELECTOR));
        consumer.start();
        Set<String> ids = new TreeSet<>();
        Check.eventually(30, () -> {
            consumer.poll(200).forEach(m -> ids.add(Payload.id(m)));
            return ids.size() >= sent.wanted().size();
        }, () -> "polled only " + ids.size() + " of " + sent.wanted().size());
        Set<String> expected = new TreeSet<>();
        sent.wanted().forEach(m -> expected.add(Payload.id(m)));
        Check.equal(expected, ids, "messages polled by expression");
        return ids.size() + " of " + sent.all().size() + " messages";
    }

    /** The group's next consumer comes with another expression; what the first left is judged by the new one. */
    private static String change(Env env) throws Exception {
        String topic = env.topic();
        String group = env.name("group");
        List<Message> kinds = new ArrayList<>();
        for (String kind : new String[] {"a", "b"}) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = env.pushConsumer(group);
            consumer.subscribe(topic, MessageSelector.bySql("kind = '" + kind + "'"));
            consumer.registerMessageListener(inbox);
            consumer.start();
            List<Message> messages = Payload.messages(topic, kind, 20);
            for (int i = 0; i < messages.size(); i++) {
                messages.get(i).putUserProperty("kind", i % 2 == 0 ? kind : "other");
            }
            env.send(messages);
            List<Message> wanted = messages.stream().filter(m -> kind.equals(m.getUserProperty("kind"))).toList();
            inbox.awaitAll("the consumer of " + kind, 30, wanted);
            Check.equal(wanted.size(), inbox.ids().size(), "messages of kind " + kind);
            kinds.addAll(wanted);
            consumer.shutdown();
        }
        return kinds.size() + " messages by two expressions";
    }

    private static String refused(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQPushConsumer push = env.pushConsumer(env.name("push"));
        push.subscribe(topic, MessageSelector.bySql("NOT region = 'eu' AND amount > '100'"));
        push.registerMessageListener(new Inbox());
        MQClientException error = Check.raises(MQClientException.class, () -> {
            push.start();
            return "started";
        }, "a push consumer with an expression that does not parse");
        Check.equal(ResponseCode.SUBSCRIPTION_PARSE_FAILED, error.getResponseCode(), "code of the refusal");

        DefaultLitePullConsumer lite = env.litePullConsumer(env.name("lite"));
        lite.subscribe(topic, MessageSelector.bySql("amount >"));
        error = Check.raises(MQClientException.class, () -> {
            lite.start();
            return "started";
        }, "a lite pull consumer with an expression that does not parse");
        Check.equal(ResponseCode.SUBSCRIPTION_PARSE_FAILED, error.getResponseCode(), "code of the refusal");
        return error.getErrorMessage();
    }
}
