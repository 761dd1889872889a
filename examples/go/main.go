// Sends orders from two regions and consumes them; a filter bound to the group decides which ones arrive.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const count = 20

func main() {
	rlog.SetLogLevel("error")
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	namesrv := []string{"127.0.0.1:9876"}
	if address := os.Getenv("NAMESRV_ADDR"); address != "" {
		namesrv = []string{address}
	}
	p, err := rocketmq.NewProducer(producer.WithNameServer(namesrv), producer.WithGroupName("orders-producer"))
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Shutdown()
	for id := 0; id < count; id++ {
		order := primitive.NewMessage("orders", []byte(fmt.Sprintf(`{"id":%d}`, id)))
		order.WithProperty("region", []string{"eu", "us"}[id%2])
		order.WithProperty("amount", fmt.Sprint(id*25))
		result, err := p.SendSync(context.Background(), order)
		if err != nil {
			return err
		}
		fmt.Printf("sent %d: queue %d offset %d\n", id, result.MessageQueue.QueueId, result.QueueOffset)
	}

	arrived := make(chan string, count)
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer(namesrv),
		consumer.WithGroupName("eu-billing"),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err != nil {
		return err
	}
	err = c.Subscribe("orders", consumer.MessageSelector{}, func(_ context.Context, orders ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, order := range orders {
			arrived <- fmt.Sprintf("%s from %s", order.Body, order.GetProperty("region"))
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Shutdown()
	for received := 0; received < count; received++ {
		select {
		case order := <-arrived:
			fmt.Println("received", order)
		case <-time.After(10 * time.Second):
			fmt.Println(received, "orders arrived, the filter kept the rest")
			return nil
		}
	}
	fmt.Println("all orders arrived")
	return nil
}
