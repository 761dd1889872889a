package gantry.interop;

import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.common.message.MessageExt;

/** Books every message of a bulk: which came, how often, whether whole and whether in order. */
public final class Ledger {

    private final int perThread;
    private final BitSet[] seen;
    private final Map<Integer, Long> lastOffset = new HashMap<>();
    private final Map<String, Integer> lastSeq = new HashMap<>();
    private int received;
    private int duplicates;
    private String problem;

    public Ledger(int threads, int perThread) {
        this.perThread = perThread;
        this.seen = new BitSet[threads];
        for (int i = 0; i < threads; i++) {
            seen[i] = new BitSet(perThread);
        }
    }

    public static String id(int thread, int seq) {
        return thread + ":" + seq;
    }

    public int expected() {
        return seen.length * perThread;
    }

    public synchronized int duplicates() {
        return duplicates;
    }

    /** From a listener that may see the messages of a queue in any order. */
    public synchronized void receive(MessageExt message) {
        book(message);
    }

    /** From an ordered listener: offsets of a queue and sequences of a sending thread must grow. */
    public synchronized void receiveInOrder(MessageExt message) {
        if (!book(message)) {
            return;
        }
        int queue = message.getQueueId();
        Long before = lastOffset.put(queue, message.getQueueOffset());
        if (before != null && message.getQueueOffset() <= before) {
            complain("queue " + queue + ": offset " + message.getQueueOffset() + " after " + before);
        }
        String[] parts = Payload.id(message).split(":");
        int seq = Integer.parseInt(parts[1]);
        Integer last = lastSeq.put(queue + "/" + parts[0], seq);
        if (last != null && seq <= last) {
            complain("queue " + queue + ": message " + seq + " of thread " + parts[0] + " after " + last);
        }
    }

    /** Whether the message is one of ours and new. */
    private boolean book(MessageExt message) {
        String id = Payload.id(message);
        if (id == null || !id.matches("\\d+:\\d+")) {
            return complain("unknown message " + message.getMsgId());
        }
        if (!Payload.intact(message)) {
            return complain("altered message " + id);
        }
        String[] parts = id.split(":");
        int thread = Integer.parseInt(parts[0]);
        int seq = Integer.parseInt(parts[1]);
        if (thread >= seen.length || seq >= perThread) {
            return complain("unknown message " + id);
        }
        if (seen[thread].get(seq)) {
            duplicates++;
            return false;
        }
        seen[thread].set(seq);
        received++;
        return true;
    }

    private boolean complain(String text) {
        if (problem == null) {
            problem = text;
        }
        return false;
    }

    public void awaitAll(int seconds) throws InterruptedException {
        Check.eventually(seconds, () -> {
            synchronized (this) {
                return problem != null || received == expected();
            }
        }, () -> received + " of " + expected() + " messages received");
        Check.that(problem == null, problem);
    }
}
