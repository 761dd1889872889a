package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

type listener = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

// inbox keeps everything that a listener was given.
type inbox struct {
	mu       sync.Mutex
	messages []*primitive.MessageExt
}

func (b *inbox) listen(_ context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	b.add(batch)
	return consumer.ConsumeSuccess, nil
}

func (b *inbox) add(batch []*primitive.MessageExt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, batch...)
}

func (b *inbox) all() []*primitive.MessageExt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*primitive.MessageExt(nil), b.messages...)
}

// ids counts how often each message came.
func (b *inbox) ids() map[string]int {
	ids := map[string]int{}
	for _, m := range b.all() {
		ids[idOf(m)]++
	}
	return ids
}

func (b *inbox) awaitAll(limit time.Duration, sent []*primitive.Message) error {
	return eventually(limit, fmt.Sprintf("delivery of all %d messages", len(sent)), func() bool {
		return missing(b.ids(), sent) == 0
	})
}

// exactly says what is wrong if the inbox does not hold the sent messages, each once and unchanged.
func (b *inbox) exactly(sent []*primitive.Message) error {
	ids := b.ids()
	if n := missing(ids, sent); n > 0 {
		return fmt.Errorf("%d of %d messages missing", n, len(sent))
	}
	if len(b.all()) != len(sent) {
		return fmt.Errorf("%d messages instead of %d", len(b.all()), len(sent))
	}
	for _, m := range b.all() {
		if !intact(m) {
			return fmt.Errorf("altered message %s", idOf(m))
		}
	}
	return nil
}

func missing(ids map[string]int, sent []*primitive.Message) int {
	n := 0
	for _, m := range sent {
		if ids[m.GetProperty(idProperty)] == 0 {
			n++
		}
	}
	return n
}
