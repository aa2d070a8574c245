package testenv

import (
	"io"
	"time"
)

// TimedBody is the body of a request that records when it was first read.
type TimedBody struct {
	io.Reader
	// FirstRead is the time of the first read. It is zero before.
	FirstRead time.Time
}

func (b *TimedBody) Read(p []byte) (int, error) {
	if b.FirstRead.IsZero() {
		b.FirstRead = time.Now()
	}
	return b.Reader.Read(p)
}
