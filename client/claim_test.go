package client

import (
	"testing"
)

// A worker that ends when the queue is empty waits for the next end of a handler while one seems to
// run. It must not see one as running whose end it has missed, or it waits for ever.
func TestAHandlerThatHasEndedIsNotSeenAsRunning(t *testing.T) {
	t.Parallel()
	r := newRun(t.Context(), nil, WorkerOptions{Concurrency: 2}, nil)
	for range 10_000 {
		<-r.free
		ended := r.nextEnd()
		go r.end()
		<-ended
		if !r.idle(r.nextEnd()) {
			t.Fatal("a handler seems to run after its end")
		}
	}
}
