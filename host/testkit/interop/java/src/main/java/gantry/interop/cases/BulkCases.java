package gantry.interop.cases;

import gantry.interop.Case;
import gantry.interop.Check;
import gantry.interop.Env;
import gantry.interop.Ledger;
import gantry.interop.Payload;
import gantry.interop.Sent;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Many messages: none lost, unknown or altered, and in order within a queue. */
public final class BulkCases {

    private static final int THREADS = 8;
    private static final int BULK_QUEUES = 8;
    private static final int IN_FLIGHT = 64;
    private static final int MAX_BUSY_RETRIES = 50;
    private static final Duration LIMIT = Duration.ofMinutes(5);

    public static final List<Case> ALL = List.of(
        new Case("bulk", LIMIT, BulkCases::ordered),
        new Case("bulk-async", LIMIT, BulkCases::async));

    private BulkCases() {
    }

    private static String ordered(Env env) throws Exception {
        int perThread = (env.quick() ? 5_000 : 100_000) / THREADS;
        String topic = env.topic("topic", BULK_QUEUES);
        Ledger ledger = new Ledger(THREADS, perThread);
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (batch, context) -> {
            batch.forEach(ledger::receiveInOrder);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();

        DefaultMQProducer producer = env.producer();
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        long began = System.nanoTime();
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        try {
            List<Future<Integer>> threads = IntStream.range(0, THREADS)
                .mapToObj(thread -> pool.submit(() -> sendAll(producer, topic, queues, thread, perThread)))
                .toList();
            int retries = 0;
            for (Future<Integer> thread : threads) {
                retries += thread.get();
            }
            long sent = System.nanoTime();
            ledger.awaitAll(120);
            return report(ledger, began, sent) + (retries == 0 ? "" : ", " + retries + " sends repeated as busy");
        } finally {
            pool.shutdownNow();
        }
    }

    /** Sends a thread's messages round the queues, each after the answer to the one before. */
    private static int sendAll(DefaultMQProducer producer, String topic, List<MessageQueue> queues, int thread,
        int count) throws Exception {
        int retries = 0;
        for (int seq = 0; seq < count; seq++) {
            Message message = message(topic, thread, seq);
            MessageQueue queue = queues.get((thread + seq) % queues.size());
            for (int attempt = 0; ; attempt++) {
                try {
                    Sent.ok(producer.send(message, queue, 10_000));
                    break;
                } catch (MQBrokerException e) {
                    // A busy broker refuses before it stores, so the order of this thread is safe.
                    if (e.getResponseCode() != ResponseCode.SYSTEM_BUSY || attempt == MAX_BUSY_RETRIES) {
                        throw e;
                    }
                    retries++;
                }
            }
        }
        return retries;
    }

    private static String async(Env env) throws Exception {
        int count = env.quick() ? 2_000 : 20_000;
        String topic = env.topic("topic", BULK_QUEUES);
        Ledger ledger = new Ledger(1, count);
        DefaultMQPushConsumer consumer = env.pushConsumer(env.name("group"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            batch.forEach(ledger::receive);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();

        DefaultMQProducer producer = env.producer();
        producer.setSendMsgTimeout(10_000);
        Semaphore inFlight = new Semaphore(IN_FLIGHT);
        AtomicReference<Throwable> problem = new AtomicReference<>();
        long began = System.nanoTime();
        for (int seq = 0; seq < count && problem.get() == null; seq++) {
            inFlight.acquire();
            producer.send(message(topic, 0, seq), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    inFlight.release();
                }

                @Override
                public void onException(Throwable e) {
                    problem.set(e);
                    inFlight.release();
                }
            });
        }
        inFlight.acquire(IN_FLIGHT);
        Check.that(problem.get() == null, "a send failed: " + problem.get());
        long sent = System.nanoTime();
        ledger.awaitAll(120);
        return report(ledger, began, sent);
    }

    private static Message message(String topic, int thread, int seq) {
        String id = Ledger.id(thread, seq);
        return Payload.message(topic, id, 128 + new Random(id.hashCode()).nextInt(1024 - 128 + 1));
    }

    private static String report(Ledger ledger, long began, long sent) {
        double seconds = (sent - began) / 1e9;
        return String.format("%d messages, %.0f sends/s, %d duplicates",
            ledger.expected(), ledger.expected() / seconds, ledger.duplicates());
    }
}
