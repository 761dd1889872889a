package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Inbox;
import gantry.interop.Payload;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/** Bodies near the limit, compressed bodies, and text outside ASCII. */
public final class SizeCases {

    private static final String TEXT = "Grüße, 消息, сообщение, 📦";

    public static final List<Case> ALL = List.of(
        Case.of("large-message", SizeCases::large),
        Case.of("compressed-unicode", SizeCases::compressed));

    private SizeCases() {
    }

    private static String large(Env env) throws Exception {
        String topic = env.topic();
        // Random bytes: compression must not make the message small on its way.
        Message message = Payload.message(topic, "large", (int) (3.9 * 1024 * 1024));
        DefaultMQProducer producer = env.producer();
        producer.setSendMsgTimeout(15_000);
        producer.send(message);
        consume(env, topic, message);
        return message.getBody().length + " bytes";
    }

    private static String compressed(Env env) throws Exception {
        String topic = env.topic();
        byte[] body = TEXT.repeat(2000).getBytes(StandardCharsets.UTF_8);
        Message message = Payload.message(topic, "text", body);
        message.setTags("тег");
        message.setKeys("ключ-消息");
        message.putUserProperty("свойство-📦", TEXT);
        message.putUserProperty("json", "{\"a\":[1,2],\"b\":\"c\\\\d\"}");
        env.send(List.of(message));

        MessageExt received = consume(env, topic, message);
        Check.equal("тег", received.getTags(), "tag");
        Check.equal("ключ-消息", received.getKeys(), "keys");
        Check.equal(TEXT, received.getUserProperty("свойство-📦"), "unicode property");
        Check.equal(message.getUserProperty("json"), received.getUserProperty("json"), "property with quotes");
        Check.that(received.getStoreSize() < body.length / 4,
            "the body of " + body.length + " bytes was stored in " + received.getStoreSize() + ": not compressed");
        Check.equal(CompressionType.ZLIB, MessageSysFlag.getCompressionType(received.getSysFlag()),
            "compression type in sysFlag");
        return body.length + " bytes stored in " + received.getStoreSize();
    }

    private static MessageExt consume(Env env, String topic, Message sent) throws Exception {
        env.read(topic).holds(List.of(sent));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(inbox);
        consumer.start();
        inbox.awaitAll(20, List.of(sent));
        return inbox.messages().get(0);
    }
}
