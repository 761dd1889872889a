package main

import (
	"context"
	"fmt"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// read pulls everything that the queues hold.
func (e *env) read(topic string, queues []*primitive.MessageQueue) (*inbox, error) {
	c, err := e.pull(topic)
	if err != nil {
		return nil, err
	}
	content := &inbox{}
	for _, queue := range queues {
		// An empty queue would park the pull: ask where it ends first.
		end, err := c.OffsetForTimestamp(queue, farFutureMs)
		if err != nil {
			return nil, err
		}
		for offset := int64(0); offset < end; {
			result, err := c.PullFrom(context.Background(), queue, offset, 32)
			if err != nil {
				return nil, err
			}
			if result.Status != primitive.PullFound {
				return nil, fmt.Errorf("pull status %d at %d of %s", result.Status, offset, queue)
			}
			messages := result.GetMessageExts()
			for i, m := range messages {
				if m.QueueOffset != offset+int64(i) {
					return nil, fmt.Errorf("offset %d where %d was due in %s", m.QueueOffset, offset+int64(i), queue)
				}
			}
			content.add(messages)
			offset = result.NextBeginOffset
		}
	}
	return content, nil
}

// farFutureMs is later than any message, in milliseconds since 1970.
const farFutureMs = int64(1) << 42

func pull(e *env) (string, error) {
	topic, queues, err := e.topic(1)
	if err != nil {
		return "", err
	}
	sent := newMessages(topic, "m", 50)
	if err := e.send(sent); err != nil {
		return "", err
	}
	content, err := e.read(topic, queues)
	if err != nil {
		return "", err
	}
	if err := content.exactly(sent); err != nil {
		return "", err
	}
	c, err := e.pull(topic)
	if err != nil {
		return "", err
	}
	result, err := c.PullFrom(context.Background(), queues[0], 47, 10)
	if err != nil {
		return "", err
	}
	if n := len(result.GetMessageExts()); n != 3 || result.MinOffset != 0 || result.MaxOffset != 50 {
		return "", fmt.Errorf("a pull at 47 of 50 gave %d messages, offsets %d to %d", n, result.MinOffset, result.MaxOffset)
	}
	offset, err := c.OffsetForTimestamp(queues[0], 0)
	if err != nil || offset != 0 {
		return "", fmt.Errorf("offset for the oldest time is %d, error %v", offset, err)
	}
	return fmt.Sprintf("%d messages", len(sent)), nil
}
