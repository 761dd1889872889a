package main

import (
	"fmt"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

const pollInterval = 20 * time.Millisecond

// eventually waits until the condition holds.
func eventually(limit time.Duration, what string, condition func() bool) error {
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s within %s", what, limit)
		}
		time.Sleep(pollInterval)
	}
	return nil
}

// stored says what is wrong with the answer to a send, if anything. The client leaves MsgID empty for a batch.
func stored(result *primitive.SendResult, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("send: %w", err)
	case result.Status != primitive.SendOK:
		return fmt.Errorf("send status %d", result.Status)
	case len(result.OffsetMsgID) < 32 || result.QueueOffset < 0:
		return fmt.Errorf("incomplete send result %s", result)
	}
	return nil
}
