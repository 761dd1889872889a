package gantry.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that can be recognised and checked: property {@code id} names one, property {@code sum} covers id and body. */
public final class Payload {

    private static final String ID = "id";
    private static final String SUM = "sum";

    private Payload() {
    }

    public static Message message(String topic, String id, int size) {
        byte[] body = new byte[size];
        new Random(id.hashCode()).nextBytes(body);
        return message(topic, id, body);
    }

    public static Message message(String topic, String id, byte[] body) {
        Message message = new Message(topic, body);
        message.putUserProperty(ID, id);
        message.putUserProperty(SUM, sum(id, body));
        return message;
    }

    /** {@code count} small messages named prefix0, prefix1, … */
    public static List<Message> messages(String topic, String prefix, int count) {
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            messages.add(message(topic, prefix + i, 100 + i));
        }
        return messages;
    }

    public static String id(Message message) {
        return message.getUserProperty(ID);
    }

    public static boolean intact(MessageExt message) {
        String id = id(message);
        return id != null && sum(id, message.getBody()).equals(message.getUserProperty(SUM));
    }

    private static String sum(String id, byte[] body) {
        CRC32 crc = new CRC32();
        crc.update(id.getBytes(StandardCharsets.UTF_8));
        crc.update(body);
        return Long.toHexString(crc.getValue());
    }
}
