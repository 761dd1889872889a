package main

import (
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math/rand"
	"strconv"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

const (
	idProperty  = "id"
	sumProperty = "sum"
)

// newMessage makes a message that can be recognised (id) and checked (a sum over id and body).
func newMessage(topic, id string, size int) *primitive.Message {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id))
	body := make([]byte, size)
	rand.New(rand.NewSource(int64(hash.Sum64()))).Read(body)
	m := primitive.NewMessage(topic, body)
	m.WithProperty(idProperty, id)
	m.WithProperty(sumProperty, sum(id, body))
	return m
}

// newMessages makes count small messages named prefix0, prefix1, …
func newMessages(topic, prefix string, count int) []*primitive.Message {
	var messages []*primitive.Message
	for i := 0; i < count; i++ {
		messages = append(messages, newMessage(topic, fmt.Sprintf("%s%d", prefix, i), 100+i))
	}
	return messages
}

func idOf(m *primitive.MessageExt) string { return m.GetProperty(idProperty) }

func intact(m *primitive.MessageExt) bool {
	id := idOf(m)
	return id != "" && m.GetProperty(sumProperty) == sum(id, m.Body)
}

func sum(id string, body []byte) string {
	crc := crc32.Update(crc32.ChecksumIEEE([]byte(id)), crc32.IEEETable, body)
	return strconv.FormatUint(uint64(crc), 16)
}
