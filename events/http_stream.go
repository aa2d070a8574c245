package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// silence is how long a stream may send nothing. A coordinator sends a heartbeat each 15 seconds.
const silence = 45 * time.Second

// The events of a stream that are not events of the log.
const (
	sseGap = "gap"
	sseEnd = "end"
)

// httpStream is an open stream. A goroutine reads it, so that a caller can stop waiting without
// ending the stream.
type httpStream struct {
	position ID // of the last event that the coordinator looked at for this stream
	ahead    *received
	frames   chan received
	cancel   context.CancelFunc
	done     chan struct{} // closed when the goroutine has ended
}

// received is a frame, or the error that ended the stream.
type received struct {
	frame sseFrame
	err   error
}

func newHTTPStream(body io.ReadCloser, cancel context.CancelFunc) *httpStream {
	s := &httpStream{frames: make(chan received, 256), cancel: cancel, done: make(chan struct{})}
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); cancel() })
	s.cancel = end
	go func() {
		defer close(s.done)
		defer end()
		defer func() { _ = body.Close() }()
		watchdog := time.AfterFunc(silence, cancel)
		defer watchdog.Stop()
		in := newSSEReader(body)
		for {
			frame, err := in.next()
			if err != nil && !watchdog.Stop() {
				err = fmt.Errorf("the stream was silent for %s", silence)
			}
			select {
			case s.frames <- received{frame, err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
			watchdog.Reset(silence)
		}
	}()
	return s
}

func (s *httpStream) close() {
	s.cancel()
	<-s.done
}

// next returns the next frame. If wait is not set, it returns false when there is none yet.
func (s *httpStream) next(ctx context.Context, wait bool) (received, bool) {
	if s.ahead != nil {
		next := *s.ahead
		s.ahead = nil
		return next, true
	}
	if !wait {
		select {
		case next := <-s.frames:
			return next, true
		default:
			return received{}, false
		}
	}
	select {
	case next := <-s.frames:
		return next, true
	case <-ctx.Done():
		return received{err: ctx.Err()}, true
	}
}

// locate reads the first frame, which has the stream's position.
func (s *httpStream) locate(ctx context.Context) error {
	next, _ := s.next(ctx, true)
	if next.err != nil {
		return next.err
	}
	id, ok := next.frame.position()
	if !ok {
		return errors.New("the stream does not begin with its position")
	}
	if next.frame.data != nil {
		s.ahead = &next
	}
	s.position = id
	return nil
}

// read waits for a frame, and returns a batch with it and those that have arrived.
func (s *httpStream) read(ctx context.Context, most int) (Batch, error) {
	batch := Batch{After: s.position, derived: new(derived)}
	for first := true; len(batch.Entries) < most; first = false {
		next, ok := s.next(ctx, first)
		if !ok {
			break
		}
		if next.err == nil && next.frame.event != "" && next.frame.event != sseGap && next.frame.event != sseEnd {
			batch.Entries = append(batch.Entries, next.frame.entry())
		} else if (len(batch.Entries) > 0 || len(batch.gaps) > 0) && (next.err != nil || next.frame.event != "") {
			s.ahead = &next // what came before it goes first
			break
		} else if err := next.apply(&batch, s.position); err != nil {
			return Batch{}, err
		}
		if id, ok := next.frame.position(); ok {
			s.position = id
		}
	}
	batch.position = s.position
	return batch, nil
}

// position returns the position that a frame moves the stream to.
func (f sseFrame) position() (ID, bool) {
	if f.id == "0" {
		return ID{}, true
	}
	id, err := ParseID(f.id)
	return id, err == nil
}

// entry decodes an event of the log.
func (f sseFrame) entry() Entry {
	e := Entry{Raw: f.data}
	var err error
	if e.ID, err = ParseID(f.id); err != nil {
		e.Err = err
		return e
	}
	switch envelope, err := Decode(f.data); {
	case err != nil:
		e.Err = err
	case envelope.ID != e.ID:
		e.Err = &DecodeError{Member: "id", Reason: "does not match the entry's ID"}
	default:
		e.Envelope = envelope
	}
	return e
}

// apply applies a frame that is not an event of the log to a batch without entries. position is that
// of the stream before the frame.
func (r received) apply(batch *Batch, position ID) error {
	if r.err != nil {
		return r.err
	}
	switch r.frame.event {
	case sseGap:
		var gap struct {
			From, To int64
			Reason   string
			Last     string
		}
		if err := json.Unmarshal(r.frame.data, &gap); err != nil {
			return fmt.Errorf("the stream reports a gap that does not decode: %w", err)
		}
		switch gap.Reason {
		case "rolled_back":
			last, _ := sseFrame{id: gap.Last}.position()
			return &RolledBackError{Checkpoint: position, LastInLog: last}
		case "missing":
			at, _ := r.frame.position()
			return &GapError{Expected: gap.From, Got: gap.To + 1, At: ID{MS: at.MS, Seq: gap.To + 1}}
		}
		batch.Skipped += gap.To - gap.From + 1
		batch.gaps = append(batch.gaps, Gap{gap.From, gap.To, GapReason(gap.Reason)})
	case sseEnd:
		var end struct{ Reason string }
		_ = json.Unmarshal(r.frame.data, &end) // without a reason it has ended as well
		if end.Reason == "done" {
			return ErrEnd
		}
		return fmt.Errorf("the coordinator ended the stream (%s)", end.Reason)
	}
	return nil
}
