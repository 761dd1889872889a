import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/** Sends orders from two regions and consumes them; a filter bound to the group decides which ones arrive. */
public final class Orders {

    private static final int COUNT = 20;

    public static void main(String[] args) throws Exception {
        String namesrv = System.getenv().getOrDefault("NAMESRV_ADDR", "127.0.0.1:9876");
        DefaultMQProducer producer = new DefaultMQProducer("orders-producer");
        producer.setNamesrvAddr(namesrv);
        producer.start();
        for (int id = 0; id < COUNT; id++) {
            Message order = new Message("orders", ("{\"id\":" + id + "}").getBytes(StandardCharsets.UTF_8));
            order.putUserProperty("region", id % 2 == 0 ? "eu" : "us");
            order.putUserProperty("amount", String.valueOf(id * 25));
            System.out.println("sent " + id + ": " + producer.send(order).getSendStatus());
        }

        CountDownLatch arrived = new CountDownLatch(COUNT);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("eu-billing");
        consumer.setNamesrvAddr(namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe("orders", "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(order -> {
                System.out.println("received " + new String(order.getBody(), StandardCharsets.UTF_8)
                    + " from " + order.getUserProperty("region"));
                arrived.countDown();
            });
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean all = arrived.await(10, TimeUnit.SECONDS);
        System.out.println(all ? "all orders arrived" : (COUNT - arrived.getCount()) + " orders arrived, the filter kept the rest");
        consumer.shutdown();
        producer.shutdown();
    }
}
