package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	saveEvery         = 100 // messages
	saveInterval      = time.Second
	saveAtCloseWithin = 2 * time.Second
)

// subscription is one Subscribe of a Subscriber.
type subscription struct {
	*Subscriber
	source  source
	filter  Filter
	out     chan *message.Message
	located bool
	saver   saver
}

// locate finds where to start.
func (s *subscription) locate(ctx context.Context) error {
	position := s.config.Start
	found := false
	if s.config.Name != "" {
		id, ok, err := s.config.Checkpoints.Load(ctx, s.config.Name)
		if err != nil {
			return err
		}
		if ok {
			position, found = id, true
		}
	}
	if !found && s.config.FromNow {
		last, err := s.source.Last(ctx)
		if err != nil {
			return err
		}
		position = last
	}
	s.saver.position, s.located = position, true
	return nil
}

func (s *subscription) run(ctx context.Context) {
	s.saver.name, s.saver.store = s.config.Name, s.config.Checkpoints
	s.saver.down = outage{logger: s.config.Logger, step: "saving the checkpoint of " + s.config.Name}
	down := outage{logger: s.config.Logger, step: "finding where to start"}
	retry := backoff{first: 50 * time.Millisecond, last: 2 * time.Second}
	for !s.located {
		if err := s.locate(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			down.failed(err)
			if retry.wait(ctx) != nil {
				return
			}
		}
	}
	down.worked()

	var wg sync.WaitGroup
	stopSaving := make(chan struct{})
	wg.Go(func() { s.saver.run(ctx, stopSaving) })
	defer func() {
		close(stopSaving)
		wg.Wait()
		// The events were handled, whatever ended the subscription.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveAtCloseWithin)
		defer cancel()
		s.saver.save(ctx)
	}()

	feed := feed{reader: s.source, logger: s.config.Logger}
	for {
		err := feed.follow(ctx, s.saver.at(), func(b Batch) error { return s.deliver(ctx, b) })
		if ctx.Err() != nil {
			return
		}
		var rolledBack *RolledBackError
		if errors.As(err, &rolledBack) {
			s.config.Logger.Error("the event log was rolled back; data derived from the lost events is wrong",
				"subscriber", s.config.Name, "checkpoint", rolledBack.Checkpoint, "logEndsAt", rolledBack.LastInLog)
			if s.config.OnRollback != nil {
				var position ID
				if position, err = s.config.OnRollback(rolledBack); err == nil {
					s.saver.moved(position)
					s.saver.save(ctx)
					continue
				}
			}
		}
		s.config.Logger.Error("the subscription has ended", "subscriber", s.config.Name, "error", err)
		s.fail(err)
		return
	}
}

// deliver sends a batch's events one after the other.
func (s *subscription) deliver(ctx context.Context, b Batch) error {
	for _, gap := range b.Gaps() {
		if err := s.gap(ctx, gap); err != nil {
			return err
		}
	}
	for _, e := range b.Entries {
		switch {
		case e.Err != nil:
			if err := s.bad(ctx, e); err != nil {
				return err
			}
			s.saver.moved(e.ID)
		case !s.filter.Match(e.Envelope.Type):
			s.saver.moved(e.ID)
		default:
			if err := s.send(ctx, e); err != nil {
				return err
			}
			s.saver.moved(e.ID)
			s.saver.handled(ctx)
		}
	}
	s.saver.moved(b.Last()) // over events that a coordinator left out
	return nil
}

// gap reports a gap to the handler. feed has logged it.
func (s *subscription) gap(ctx context.Context, gap Gap) error {
	if s.config.OnGap == nil {
		return nil
	}
	retry := backoff{first: s.config.NackDelay, last: s.config.NackDelayMax}
	return gap.told(ctx, s.config.OnGap, func(err error) {
		s.config.Logger.Error("cannot handle a gap; retrying", "from", gap.From, "to", gap.To, "error", err)
	}, retry.wait)
}

func (s *subscription) bad(ctx context.Context, e Entry) error {
	if s.config.OnBadEvent == nil {
		s.config.Logger.Error("skipped an event that does not decode", "event", e.ID, "error", e.Err)
		return nil
	}
	retry := backoff{first: s.config.NackDelay, last: s.config.NackDelayMax}
	for {
		err := s.config.OnBadEvent(ctx, e)
		if err == nil {
			return nil
		}
		s.config.Logger.Error("cannot handle an event that does not decode; retrying", "event", e.ID, "error", err)
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// send delivers one event until it is acked.
func (s *subscription) send(ctx context.Context, e Entry) error {
	retry := backoff{first: s.config.NackDelay, last: s.config.NackDelayMax}
	for {
		acked, err := offer(ctx, s.out, newMessage(e))
		if acked || err != nil {
			return err
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// errNotSent is wrapped by the error of offer if ctx ended before the message was sent.
var errNotSent = errors.New("the message was not sent")

// offer sends a message and reports whether it was acked or nacked.
func offer(ctx context.Context, out chan<- *message.Message, m *message.Message) (acked bool, err error) {
	// The message's own context is the parent, because it carries the batch.
	handling := &handlingContext{Context: m.Context()}
	defer handling.end()
	m.SetContext(handling)
	select {
	case out <- m:
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", errNotSent, ctx.Err())
	}
	select {
	case <-m.Acked():
		return true, nil
	case <-m.Nacked():
		return false, nil
	case <-ctx.Done():
	}
	select {
	case <-m.Acked(): // the ack came first, and select chose at random
		return true, nil
	default:
		return false, ctx.Err()
	}
}

// handlingContext is the context of a message. It ends when offer returns; its parent, which only
// carries values, never ends. It costs less than one of package context, which counts with hundreds of
// thousands of messages a second.
type handlingContext struct {
	context.Context

	mu    sync.Mutex
	done  chan struct{} // nil until somebody asks for it
	ended bool
}

// Done implements context.Context.
func (c *handlingContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.ended {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *handlingContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return context.Canceled
	}
	return nil
}

func (c *handlingContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.done != nil {
		close(c.done)
	}
}

// saver tracks a subscription's position and saves it from time to time.
type saver struct {
	name  string
	store CheckpointStore // nil: nothing is saved

	mu       sync.Mutex
	position ID
	dirty    bool
	unsaved  int // messages acked since the last save

	saving sync.Mutex // one save at a time, so that none overtakes another
	down   outage
}

func (s *saver) at() ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

func (s *saver) moved(to ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position, s.dirty = to, true
}

// handled counts a message and saves when a save is due.
func (s *saver) handled(ctx context.Context) {
	s.mu.Lock()
	s.unsaved++
	due := s.unsaved >= saveEvery
	s.mu.Unlock()
	if due {
		s.save(ctx)
	}
}

func (s *saver) run(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.save(ctx)
		case <-stop:
			return
		}
	}
}

// save writes the position if it moved. A failure is logged and retried with the next save; a crash
// until then repeats more events but loses none.
func (s *saver) save(ctx context.Context) {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	position, dirty := s.position, s.dirty && s.store != nil
	s.dirty, s.unsaved = false, 0
	s.mu.Unlock()
	if !dirty {
		return
	}
	if err := s.store.Save(ctx, s.name, position); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		if ctx.Err() == nil {
			s.down.failed(err)
		}
		return
	}
	s.down.worked()
}
