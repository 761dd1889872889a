package main

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	bulkThreads = 8
	bulkQueues  = 8
)

// ledger books every message of a bulk: which came, how often, whether whole and whether in order.
type ledger struct {
	mu         sync.Mutex
	perThread  int
	seen       [bulkThreads][]bool
	lastOffset map[int]int64
	lastSeq    map[[2]int]int
	received   int
	duplicates int
	problem    error
}

func newLedger(perThread int) *ledger {
	l := &ledger{perThread: perThread, lastOffset: map[int]int64{}, lastSeq: map[[2]int]int{}}
	for i := range l.seen {
		l.seen[i] = make([]bool, perThread)
	}
	return l
}

func (l *ledger) listen(_ context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range batch {
		if err := l.book(m); err != nil && l.problem == nil {
			l.problem = err
		}
	}
	return consumer.ConsumeSuccess, nil
}

func (l *ledger) book(m *primitive.MessageExt) error {
	var thread, seq int
	if _, err := fmt.Sscanf(idOf(m), "%d:%d", &thread, &seq); err != nil || thread >= bulkThreads || seq >= l.perThread {
		return fmt.Errorf("unknown message %q", idOf(m))
	}
	if !intact(m) {
		return fmt.Errorf("altered message %s", idOf(m))
	}
	if l.seen[thread][seq] {
		l.duplicates++
		return nil
	}
	l.seen[thread][seq] = true
	l.received++
	queue := m.Queue.QueueId
	if last, ok := l.lastOffset[queue]; ok && m.QueueOffset <= last {
		return fmt.Errorf("queue %d: offset %d after %d", queue, m.QueueOffset, last)
	}
	l.lastOffset[queue] = m.QueueOffset
	if last, ok := l.lastSeq[[2]int{queue, thread}]; ok && seq <= last {
		return fmt.Errorf("queue %d: message %d of thread %d after %d", queue, seq, thread, last)
	}
	l.lastSeq[[2]int{queue, thread}] = seq
	return nil
}

// bulk sends from several threads at once, each waiting for its own answers, and consumes in order.
func bulk(e *env) (string, error) {
	count := 100_000
	if e.quick {
		count = 5_000
	}
	topic, queues, err := e.topic(bulkQueues)
	if err != nil {
		return "", err
	}
	l := newLedger(count / bulkThreads)
	if _, err := e.push(topic, "*", l.listen, consumer.WithConsumerOrder(true)); err != nil {
		return "", err
	}
	p, err := e.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	if err != nil {
		return "", err
	}
	began := time.Now()
	problems := make(chan error, bulkThreads)
	for thread := 0; thread < bulkThreads; thread++ {
		go func(thread int) {
			random := rand.New(rand.NewSource(int64(thread)))
			for seq := 0; seq < l.perThread; seq++ {
				m := newMessage(topic, fmt.Sprintf("%d:%d", thread, seq), 128+random.Intn(1024-128+1))
				m.Queue = queues[(thread+seq)%len(queues)]
				if err := stored(p.SendSync(context.Background(), m)); err != nil {
					problems <- err
					return
				}
			}
			problems <- nil
		}(thread)
	}
	for thread := 0; thread < bulkThreads; thread++ {
		if err := <-problems; err != nil {
			return "", err
		}
	}
	rate := float64(count) / time.Since(began).Seconds()
	err = eventually(2*time.Minute, "complete delivery", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.problem != nil || l.received == bulkThreads*l.perThread
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem != nil {
		return "", l.problem
	}
	if err != nil {
		return "", fmt.Errorf("%d of %d messages: %w", l.received, count, err)
	}
	return fmt.Sprintf("%d messages, %.0f sends/s, %d duplicates", count, rate, l.duplicates), nil
}
