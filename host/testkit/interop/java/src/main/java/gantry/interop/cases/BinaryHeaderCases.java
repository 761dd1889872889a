package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Child;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** The binary frame header. A client chooses it for its whole process, so the case runs in a child. */
public final class BinaryHeaderCases {

    private static final String CHILD_NAME = "binary-header-child";

    public static final List<Case> ALL = List.of(Case.of("binary-header", BinaryHeaderCases::parent));

    /** Runs only when asked for by name. */
    public static final List<Case> CHILD = List.of(Case.of(CHILD_NAME, BinaryHeaderCases::child));

    private BinaryHeaderCases() {
    }

    private static String parent(Env env) throws Exception {
        List<String> options = List.of("-Drocketmq.serialize.type=ROCKETMQ");
        Process process = Child.start(env.settings(), CHILD_NAME, options);
        try {
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            int code = process.waitFor();
            Check.that(code == 0, "child exited with " + code + ": " + output.replaceAll("\\R", " "));
            return output.substring(output.indexOf(')') + 1).strip();
        } finally {
            process.destroyForcibly();
        }
    }

    private static String child(Env env) throws Exception {
        Check.equal(SerializeType.ROCKETMQ, RemotingCommand.getSerializeTypeConfigInThisServer(), "header type");
        String topic = env.topic();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();
        DefaultMQProducer producer = env.producer();
        List<Message> all = new ArrayList<>();
        for (Message message : Payload.messages(topic, "sync", 20)) {
            message.putUserProperty("свойство", "значение");
            Sent.ok(producer.send(message));
            all.add(message);
        }
        for (Message message : Payload.messages(topic, "oneway", 20)) {
            producer.sendOneway(message);
            all.add(message);
        }
        List<Message> batch = Payload.messages(topic, "batch", 20);
        Sent.ok(producer.send(batch));
        all.addAll(batch);
        inbox.awaitAll(20, all);
        env.read(topic).holds(all);
        return all.size() + " messages sync, one-way and batched";
    }
}
