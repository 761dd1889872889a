package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// The ways to send.

func syncSend(e *env) (string, error) {
	topic, queues, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	p, err := e.producer()
	if err != nil {
		return "", err
	}
	sent := newMessages(topic, "m", 40)
	used := map[int]int64{}
	for _, m := range sent {
		m.WithTag("tag").WithKeys([]string{"key-" + m.GetProperty(idProperty)})
		result, err := p.SendSync(context.Background(), m)
		if err := stored(result, err); err != nil {
			return "", err
		}
		if result.MsgID == "" {
			return "", fmt.Errorf("send result without a message id")
		}
		queue := result.MessageQueue.QueueId
		if result.QueueOffset != used[queue] {
			return "", fmt.Errorf("queue %d: offset %d after %d sends", queue, result.QueueOffset, used[queue])
		}
		used[queue]++
	}
	if len(used) != len(queues) {
		return "", fmt.Errorf("sends went to %d of %d queues", len(used), len(queues))
	}
	content, err := e.read(topic, queues)
	if err != nil {
		return "", err
	}
	for _, m := range content.all() {
		if m.GetTags() != "tag" || m.GetKeys() != "key-"+idOf(m) {
			return "", fmt.Errorf("message %s came back with tag %q and keys %q", idOf(m), m.GetTags(), m.GetKeys())
		}
	}
	return fmt.Sprintf("%d messages over %d queues", len(sent), len(used)), content.exactly(sent)
}

func asyncSend(e *env) (string, error) {
	topic, queues, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	p, err := e.producer()
	if err != nil {
		return "", err
	}
	sent := newMessages(topic, "m", 200)
	var answered sync.WaitGroup
	problems := make(chan error, 2*len(sent))
	for _, m := range sent {
		answered.Add(1)
		err := p.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer answered.Done()
			if err := stored(result, err); err != nil {
				problems <- err
			}
		}, m)
		if err != nil {
			return "", err
		}
	}
	answered.Wait()
	select {
	case err := <-problems:
		return "", err
	default:
	}
	content, err := e.read(topic, queues)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d messages", len(sent)), content.exactly(sent)
}

func onewaySend(e *env) (string, error) {
	topic, queues, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	p, err := e.producer()
	if err != nil {
		return "", err
	}
	sent := newMessages(topic, "m", 40)
	for _, m := range sent {
		if err := p.SendOneWay(context.Background(), m); err != nil {
			return "", err
		}
	}
	content := &inbox{}
	err = eventually(10*time.Second, "complete set of one-way messages", func() bool {
		content, err = e.read(topic, queues)
		return err == nil && len(content.all()) >= len(sent)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d messages", len(sent)), content.exactly(sent)
}

func batchSend(e *env) (string, error) {
	topic, queues, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	p, err := e.producer()
	if err != nil {
		return "", err
	}
	var sent []*primitive.Message
	for i := 0; i < 5; i++ {
		batch := newMessages(topic, fmt.Sprintf("b%d-", i), 10)
		if err := stored(p.SendSync(context.Background(), batch...)); err != nil {
			return "", err
		}
		sent = append(sent, batch...)
	}
	content, err := e.read(topic, queues)
	if err != nil {
		return "", err
	}
	return "5 batches of 10", content.exactly(sent)
}
