package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const deliveryLimit = 30 * time.Second

func tagFilter(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	var wanted, all []*primitive.Message
	for _, tag := range []string{"red", "green", "blue", ""} {
		messages := newMessages(topic, tag+"-", 8)
		for _, m := range messages {
			if tag != "" {
				m.WithTag(tag)
			}
		}
		all = append(all, messages...)
		if tag == "red" || tag == "blue" {
			wanted = append(wanted, messages...)
		}
	}
	box := &inbox{}
	if _, err := e.push(topic, "red || blue", box.listen); err != nil {
		return "", err
	}
	if err := e.send(all); err != nil {
		return "", err
	}
	if err := box.awaitAll(deliveryLimit, wanted); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d messages", len(wanted), len(all)), box.exactly(wanted)
}

func sqlFilter(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	var wanted, all []*primitive.Message
	for _, region := range []string{"eu", "us", ""} {
		messages := newMessages(topic, region+"-", 20)
		for i, m := range messages {
			if region != "" {
				m.WithProperty("region", region)
			}
			m.WithProperty("amount", fmt.Sprint(i*20))
			if region == "eu" && i*20 > 100 {
				wanted = append(wanted, m)
			}
		}
		all = append(all, messages...)
	}
	box := &inbox{}
	selector := consumer.MessageSelector{Type: consumer.SQL92, Expression: "region = 'eu' AND amount > 100"}
	if _, err := e.pushSelected(topic, selector, box.listen); err != nil {
		return "", err
	}
	if err := e.send(all); err != nil {
		return "", err
	}
	if err := box.awaitAll(deliveryLimit, wanted); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d messages", len(wanted), len(all)), box.exactly(wanted)
}

func broadcasting(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	boxes := []*inbox{{}, {}}
	for _, box := range boxes {
		if _, err := e.push(topic, "*", box.listen, consumer.WithConsumerModel(consumer.BroadCasting)); err != nil {
			return "", err
		}
	}
	sent := newMessages(topic, "m", 40)
	if err := e.send(sent); err != nil {
		return "", err
	}
	for _, box := range boxes {
		if err := box.awaitAll(deliveryLimit, sent); err != nil {
			return "", err
		}
		if err := box.exactly(sent); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("2 members, %d messages each", len(sent)), nil
}

// pushClustering watches a group of two members through what they are given: this client does not tell its queues.
// Waves of messages are sent until one is split evenly, and after a member left until one goes to the other alone.
func pushClustering(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	first, second := &inbox{}, &inbox{}
	if _, err := e.push(topic, "*", first.listen); err != nil {
		return "", err
	}
	leaver, err := e.push(topic, "*", second.listen)
	if err != nil {
		return "", err
	}
	const size = 40
	waves := 0
	wave := func() (toFirst, toSecond int, err error) {
		waves++
		sent := newMessages(topic, fmt.Sprintf("wave%d-", waves), size)
		if err := e.send(sent); err != nil {
			return 0, 0, err
		}
		err = eventually(deliveryLimit, "complete wave", func() bool {
			toFirst, toSecond = size-missing(first.ids(), sent), size-missing(second.ids(), sent)
			return toFirst+toSecond >= size
		})
		return toFirst, toSecond, err
	}
	until := func(wantFirst int, what string) error {
		var problem error
		err := eventually(deliveryLimit, what, func() bool {
			toFirst, toSecond, err := wave()
			problem = err
			return err != nil || toFirst == wantFirst && toSecond == size-wantFirst
		})
		if problem != nil {
			return problem
		}
		return err
	}
	if err := until(size/2, "even split between two members"); err != nil {
		return "", err
	}
	if err := leaver.Shutdown(); err != nil {
		return "", err
	}
	if err := until(size, "take-over by the remaining member"); err != nil {
		return "", err
	}
	duplicates := len(first.all()) + len(second.all()) - waves*size
	return fmt.Sprintf("split and taken over in %d waves, %d duplicates", waves, duplicates), nil
}

func orderly(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	const keys, perKey = 10, 20
	var mu sync.Mutex
	consumed, problem := 0, error(nil)
	nextOffset, nextSeq := map[int]int64{}, map[string]int{}
	check := func(_ context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			queue, key := m.Queue.QueueId, m.GetProperty("key")
			if m.QueueOffset != nextOffset[queue] && problem == nil {
				problem = fmt.Errorf("queue %d: offset %d where %d was due", queue, m.QueueOffset, nextOffset[queue])
			}
			if m.GetProperty("seq") != fmt.Sprint(nextSeq[key]) && problem == nil {
				problem = fmt.Errorf("key %s: message %s where %d was due", key, m.GetProperty("seq"), nextSeq[key])
			}
			nextOffset[queue]++
			nextSeq[key]++
			consumed++
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := e.push(topic, "*", check, consumer.WithConsumerOrder(true)); err != nil {
		return "", err
	}
	p, err := e.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	if err != nil {
		return "", err
	}
	for seq := 0; seq < perKey; seq++ {
		for key := 0; key < keys; key++ {
			m := newMessage(topic, fmt.Sprintf("%d/%d", key, seq), 100)
			m.WithShardingKey(fmt.Sprint(key))
			m.WithProperty("key", fmt.Sprint(key))
			m.WithProperty("seq", fmt.Sprint(seq))
			if err := stored(p.SendSync(context.Background(), m)); err != nil {
				return "", err
			}
		}
	}
	err = eventually(deliveryLimit, "complete delivery in order", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return problem != nil || consumed >= keys*perKey
	})
	mu.Lock()
	defer mu.Unlock()
	if problem != nil {
		return "", problem
	}
	return fmt.Sprintf("%d keys in %d queues", keys, len(nextOffset)), err
}

func retry(e *env) (string, error) {
	topic, _, err := e.topic(topicQueues)
	if err != nil {
		return "", err
	}
	box := &inbox{}
	refuseFirst := func(ctx context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		box.add(batch)
		if concurrently, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrently.DelayLevelWhenNextConsume = 1
		}
		if batch[0].ReconsumeTimes == 0 {
			return consumer.ConsumeRetryLater, nil
		}
		return consumer.ConsumeSuccess, nil
	}
	if err := e.introduce(topic); err != nil {
		return "", err
	}
	if _, err := e.push(topic, "*", refuseFirst); err != nil {
		return "", err
	}
	if err := e.send(newMessages(topic, "m", 1)); err != nil {
		return "", err
	}
	if err := eventually(75*time.Second, "second delivery", func() bool { return len(box.all()) >= 2 }); err != nil {
		return "", err
	}
	again := box.all()[1]
	if again.ReconsumeTimes != 1 || again.Topic != topic || !intact(again) {
		return "", fmt.Errorf("second delivery: reconsumeTimes %d, topic %s, intact %t",
			again.ReconsumeTimes, again.Topic, intact(again))
	}
	return fmt.Sprintf("%d deliveries", len(box.all())), nil
}

// introduce makes the group known and waits for its retry topic. A consumer that starts before the topic exists would
// find it only by polling the name server, up to 50 s later.
func (e *env) introduce(topic string) error {
	nothing := &inbox{}
	first, err := e.push(topic, "*", nothing.listen)
	if err != nil {
		return err
	}
	retryTopic := "%RETRY%" + e.name("group")
	err = eventually(10*time.Second, "route for "+retryTopic, func() bool {
		queues, err := e.admin.FetchPublishMessageQueues(context.Background(), retryTopic)
		return err == nil && len(queues) > 0
	})
	if err != nil {
		return err
	}
	return first.Shutdown()
}
