package process

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// output is one of a command's two outputs.
type output struct {
	from  *os.File
	to    io.Writer
	kept  keeper
	bytes int64 // read so far; valid when copy has returned

	ending atomic.Bool
}

const (
	// lastLook is how long copy waits for more once the command has ended.
	lastLook = 10 * time.Millisecond
	// mostInPipe bounds what copy reads after the command has ended: as much as a pipe holds.
	mostInPipe = 1 << 20
)

// copy reads the output to its end, or, after end was called, what is in the pipe.
func (o *output) copy() {
	defer o.from.Close()
	buffer := make([]byte, 32<<10)
	var rest int64 = mostInPipe
	for rest > 0 {
		ending := o.ending.Load()
		if ending {
			_ = o.from.SetReadDeadline(time.Now().Add(lastLook))
		}
		n, err := o.from.Read(buffer)
		o.take(buffer[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !ending: // end has woken us
		case err != nil:
			return
		}
		if ending {
			rest -= int64(n)
		}
	}
}

// end makes copy return soon, also if a process still holds the pipe open.
func (o *output) end() {
	// In this order, because copy sets a later deadline once it sees that this is the end.
	_ = o.from.SetReadDeadline(time.Now())
	o.ending.Store(true)
}

func (o *output) take(p []byte) {
	if len(p) == 0 {
		return
	}
	o.bytes += int64(len(p))
	o.kept.add(p)
	if o.to != nil {
		if _, err := o.to.Write(p); err != nil {
			o.to = nil
		}
	}
}

// keeper keeps a bounded part of an output.
type keeper interface {
	add(p []byte)
	bytes() []byte
}

// head keeps the first bytes.
type head struct {
	limit int
	text  []byte
}

func (h *head) add(p []byte)  { h.text = append(h.text, p[:min(len(p), h.limit-len(h.text))]...) }
func (h *head) bytes() []byte { return h.text }

// tail keeps the last bytes. It holds up to twice as many.
type tail struct {
	limit int
	text  []byte
}

func (t *tail) add(p []byte) {
	if len(p) >= t.limit {
		t.text = append(t.text[:0], p[len(p)-t.limit:]...)
		return
	}
	if len(t.text)+len(p) > 2*t.limit {
		t.text = append(t.text[:0], t.bytes()...)
	}
	t.text = append(t.text, p...)
}

func (t *tail) bytes() []byte { return t.text[max(0, len(t.text)-t.limit):] }
