package events

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
)

// A message that was acked before the subscription ended counts as acked, so that the checkpoint is
// the last acked one.
func TestAnAckBeforeTheEndCounts(t *testing.T) {
	t.Parallel()
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		out := make(chan *message.Message)
		go func() {
			m := <-out
			m.Ack()
			cancel()
		}()
		if acked, err := offer(ctx, out, message.NewMessage("1", nil)); !acked || err != nil {
			t.Fatalf("acked %t, %v", acked, err)
		}
	}
}
