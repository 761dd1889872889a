package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const topicQueues = 4

// closeLimit bounds how long a case waits for its clients: some shutdowns sleep, and nothing depends on their end.
const closeLimit = 300 * time.Millisecond

// suite is what all cases share.
type suite struct {
	resolver primitive.NsResolver
	run      string
	quick    bool
	admin    admin.Admin
	broker   string
	clients  atomic.Int32
}

func newSuite(namesrv, run string, quick bool) (*suite, error) {
	s := &suite{
		resolver: primitive.NewPassthroughResolver(strings.Split(namesrv, ";")),
		run:      run,
		quick:    quick,
	}
	var err error
	if s.admin, err = admin.NewAdmin(admin.WithResolver(s.resolver)); err != nil {
		return nil, fmt.Errorf("admin client: %w", err)
	}
	if s.broker, err = s.findBroker(); err != nil {
		return nil, fmt.Errorf("finding the broker: %w", err)
	}
	return s, nil
}

// findBroker learns a broker's address from where a first message was stored: the client's admin part wants an
// address to create a topic, and has no call that tells one.
func (s *suite) findBroker() (string, error) {
	env := s.env("set-up")
	defer env.close()
	p, err := env.producer()
	if err != nil {
		return "", err
	}
	result, err := p.SendSync(context.Background(), newMessage(env.name("topic"), "first", 10))
	if err != nil {
		return "", err
	}
	id, err := primitive.UnmarshalMsgID([]byte(result.OffsetMsgID))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:%d", id.Addr, id.Port), nil
}

func (s *suite) env(caseName string) *env {
	return &env{suite: s, prefix: s.run + "-go-" + caseName}
}

// env is what one case works with: names of its own, and clients that are shut down when it ends.
type env struct {
	*suite
	prefix string
	mu     sync.Mutex
	closer []func() error
}

func (e *env) name(suffix string) string { return e.prefix + "-" + suffix }

// topic creates a topic of this case and waits for its route: a push consumer does not start without one.
func (e *env) topic(queues int) (string, []*primitive.MessageQueue, error) {
	ctx := context.Background()
	topic := e.name("topic")
	err := e.admin.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(e.broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues))
	if err != nil {
		return "", nil, fmt.Errorf("creating topic %s: %w", topic, err)
	}
	var found []*primitive.MessageQueue
	err = eventually(10*time.Second, "a route for "+topic, func() bool {
		found, err = e.admin.FetchPublishMessageQueues(ctx, topic)
		return err == nil && len(found) == queues
	})
	return topic, found, err
}

func (e *env) producer(options ...producer.Option) (rocketmq.Producer, error) {
	options = append([]producer.Option{
		producer.WithNsResolver(e.resolver),
		producer.WithGroupName(e.name("producer")),
		producer.WithInstanceName(e.instance()),
		producer.WithSendMsgTimeout(10 * time.Second),
	}, options...)
	p, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	e.onClose(p.Shutdown)
	return p, nil
}

// send stores the messages one by one.
func (e *env) send(messages []*primitive.Message) error {
	p, err := e.producer()
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := stored(p.SendSync(context.Background(), m)); err != nil {
			return err
		}
	}
	return nil
}

// push starts a consumer that reads a new group's topic from the first message on.
func (e *env) push(topic, tags string, listener listener, options ...consumer.Option) (rocketmq.PushConsumer, error) {
	return e.pushSelected(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags}, listener, options...)
}

func (e *env) pushSelected(topic string, selector consumer.MessageSelector, listener listener,
	options ...consumer.Option) (rocketmq.PushConsumer, error) {
	options = append([]consumer.Option{
		consumer.WithNsResolver(e.resolver),
		consumer.WithGroupName(e.name("group")),
		consumer.WithInstance(e.instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)
	c, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	if err := c.Subscribe(topic, selector, listener); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	e.onClose(c.Shutdown)
	return c, nil
}

// pull starts a consumer that pulls by hand.
func (e *env) pull(topic string) (rocketmq.PullConsumer, error) {
	c, err := rocketmq.NewPullConsumer(
		consumer.WithNsResolver(e.resolver),
		consumer.WithGroupName(e.name("puller")),
		consumer.WithInstance(e.instance()),
	)
	if err != nil {
		return nil, err
	}
	if err := c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	e.onClose(c.Shutdown)
	return c, nil
}

// instance names each client apart: clients of one process would share a member id otherwise.
func (e *env) instance() string { return fmt.Sprintf("%s#%d", e.prefix, e.clients.Add(1)) }

func (e *env) onClose(f func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closer = append(e.closer, f)
}

func (e *env) close() {
	var all sync.WaitGroup
	for _, f := range e.closer {
		all.Add(1)
		go func(f func() error) {
			defer all.Done()
			_ = f()
		}(f)
	}
	closed := make(chan struct{})
	go func() {
		all.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeLimit):
	}
}
