package testenv

import (
	"io"
	"time"
)

// TimedBody is a request's body that notes when it was first read.
type TimedBody struct {
	io.Reader
	// FirstRead is when that was; zero before.
	FirstRead time.Time
}

func (b *TimedBody) Read(p []byte) (int, error) {
	if b.FirstRead.IsZero() {
		b.FirstRead = time.Now()
	}
	return b.Reader.Read(p)
}
