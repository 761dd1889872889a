package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.util.List;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.impl.CommunicationMode;
import org.apache.rocketmq.client.impl.producer.DefaultMQProducerImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;

/** Sends that the broker itself must refuse, past the checks of the client. */
public final class RefusalCases {

    public static final List<Case> ALL = List.of(
        Case.of("too-large-message", RefusalCases::tooLarge),
        Case.of("illegal-topic", RefusalCases::illegalTopic));

    private RefusalCases() {
    }

    private static String tooLarge(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        producer.setMaxMessageSize(16 * 1024 * 1024);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        MQBrokerException refusal = Check.raises(MQBrokerException.class,
            () -> producer.send(Payload.message(topic, "large", 5 * 1024 * 1024), 10_000), "send of 5 MiB");
        Check.equal(ResponseCode.MESSAGE_ILLEGAL, refusal.getResponseCode(), "code for a too large message");
        List<Message> next = Payload.messages(topic, "small", 1);
        Sent.ok(producer.send(next.get(0)));
        env.read(topic).holds(next);
        return "code " + refusal.getResponseCode() + ", then a normal send";
    }

    private static String illegalTopic(Env env) throws Exception {
        String topic = env.topic();
        DefaultMQProducer producer = env.producer();
        // A first send gives the producer its broker connection.
        Sent.ok(producer.send(Payload.message(topic, "before", 10)));
        refused(env, producer, "not a topic!", ResponseCode.INVALID_PARAMETER);
        refused(env, producer, "t".repeat(128), ResponseCode.INVALID_PARAMETER);
        refused(env, producer, "SCHEDULE_TOPIC_XXXX", ResponseCode.NO_PERMISSION);
        Sent.ok(producer.send(Payload.message(topic, "after", 10)));
        Check.equal(2, env.read(topic).messages().size(), "messages in the legal topic");
        return "3 names refused, then a normal send";
    }

    private static void refused(Env env, DefaultMQProducer producer, String topic, int code) throws Exception {
        DefaultMQProducerImpl inner = producer.getDefaultMQProducerImpl();
        Message message = Payload.message(topic, "refused", 10);
        SendMessageRequestHeader header = new SendMessageRequestHeader();
        header.setProducerGroup(producer.getProducerGroup());
        header.setTopic(topic);
        header.setDefaultTopic("TBW102");
        header.setDefaultTopicQueueNums(4);
        header.setQueueId(0);
        header.setSysFlag(0);
        header.setBornTimestamp(System.currentTimeMillis());
        header.setFlag(0);
        header.setProperties(MessageDecoder.messageProperties2String(message.getProperties()));
        header.setReconsumeTimes(0);
        header.setBatch(false);
        String address = env.brokerAddress();
        String broker = env.broker().getBrokerName();
        MQBrokerException refusal = Check.raises(MQBrokerException.class,
            () -> inner.getMqClientFactory().getMQClientAPIImpl().sendMessage(
                address, broker, message, header, 3000, CommunicationMode.SYNC, null, inner),
            "send to topic " + topic);
        Check.equal(code, refusal.getResponseCode(), "code for topic " + topic);
    }
}
