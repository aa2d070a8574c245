package stream

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/claudebench/claudebench/events"
)

// Query selects events.
type Query struct {
	Filter         events.Filter
	Task, Instance string     // only events that concern this one; "" for all
	After          *events.ID // the position to start from; nil for new events only, or for From
	// From and To are the inclusive bounds of the events, zero for none. With To, the subscription ends
	// there, or at the end of the log as it is at the start.
	From, To events.ID

	text string // key()
}

// Part is a gap, or a number of events in order.
type Part struct {
	Gap     *Gap
	Entries []*Entry
}

// Step is what is new for a subscriber.
type Step struct {
	Parts []Part // empty if there is nothing new
	// Position is where the subscriber resumes after these parts. It is behind all events that were
	// looked at, whether the query selects them or not.
	Position events.ID
}

// EndError is the error of a subscription that the coordinator has ended.
type EndError struct {
	Cause Cause
	After events.ID // the position to resume from
}

func (e *EndError) Error() string {
	return fmt.Sprintf("the stream was ended (%s) after %s", e.Cause, e.After)
}

const (
	// joined is the size of events, in bytes, from which Next returns what it has.
	joined = 32 << 10
	// pageBytes is about how many bytes a subscriber reads from Redis at once, and maxPage the most
	// events.
	pageBytes = 64 << 10
	maxPage   = 500
	firstPage = 32
	// maxPause is the longest pause between two attempts of a subscriber to read from Redis.
	maxPause = time.Second
)

// Subscription is a subscriber's walk along the log. It is not safe for concurrent use.
type Subscription struct {
	client *Client
	query  Query
	tail   *tail
	at     events.ID
	to     *events.ID // where the subscription ends; nil if it does not
	node   *node      // the last one that was taken from the chain; nil while reading from Redis
	live   bool       // the subscriber was in the chain
	page   int        // how many events to read from Redis
	pause  time.Duration
	first  []*node // read by Subscribe
}

// Subscribe starts a subscription. It returns when the start is known: whoever subscribes to new
// events gets every event that is written after Subscribe has returned. The error wraps
// ErrUnavailable, or it is that of ctx. The caller must call Close before it closes the client.
func (c *Client) Subscribe(ctx context.Context, q Query) (*Subscription, error) {
	limited, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	tail, end, err := c.hub.acquire(limited)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	q.text = q.key()
	if q.After == nil && !q.From.IsZero() {
		floor, err := c.hub.log.Floor(limited, previous(q.From))
		if err != nil {
			c.hub.release(tail)
			return nil, unavailable(ctx, err)
		}
		q.After = &floor
	}
	s := &Subscription{client: c, query: q, tail: tail, at: end, page: firstPage}
	if !q.To.IsZero() {
		s.to = &end
		if q.To.Compare(end) < 0 {
			s.to = &q.To
		}
	}
	c.hub.subscribers[c.transport].Add(1)
	if q.After == nil {
		s.join(true)
		return s, nil
	}
	s.at = *q.After
	if s.join(false) {
		return s, nil
	}
	// This finds out whether the log has the position.
	select {
	case c.hub.reads <- struct{}{}:
		s.first, err = s.read(limited)
		<-c.hub.reads
		if err == nil && s.first == nil {
			s.join(true)
		}
	case <-limited.Done():
		err = limited.Err()
	}
	if err != nil {
		s.Close()
		return nil, unavailable(ctx, err)
	}
	return s, nil
}

// previous returns the ID before another one, which need not be that of an event.
func previous(id events.ID) events.ID {
	switch {
	case id.Seq > 0:
		return just(id)
	case id.MS > 0:
		return events.ID{MS: id.MS - 1, Seq: math.MaxInt64}
	}
	return events.ID{}
}

func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.client.hub.subscribers[s.client.transport].Add(-1)
	s.client.hub.release(s.tail)
	s.node = nil
}

// Position returns where the subscriber resumes.
func (s *Subscription) Position() events.ID { return s.at }

// join continues from the chain if it has the position.
func (s *Subscription) join(ahead bool) bool {
	s.node = s.tail.chain.find(s.at, ahead)
	s.live = s.live || s.node != nil
	return s.node != nil
}

// Next returns what is new. It waits until there is something, or until a value comes from idle; the
// step is then empty but for its position. The error is an [*EndError], or that of ctx.
func (s *Subscription) Next(ctx context.Context, idle <-chan time.Time) (Step, error) {
	for {
		if cause := s.client.Cause(); cause != "" {
			return Step{}, &EndError{cause, s.at}
		}
		if s.to != nil && s.at.Compare(*s.to) >= 0 {
			return Step{}, &EndError{Done, s.at}
		}
		var waits *group
		var wake <-chan struct{}
		var slot chan<- struct{}
		var pause <-chan time.Time
		if s.node != nil {
			if parts := s.walk(); len(parts) > 0 {
				return s.step(parts), nil
			}
		}
		switch {
		case s.node != nil:
			if waits = s.tail.chain.wait(s.node, &s.query); waits == nil {
				continue
			}
			wake = waits.found
		case s.tooSlow():
			s.client.end(Slow)
			continue
		case s.first != nil:
			first := s.first
			s.first = nil
			if parts := s.takeAll(first); len(parts) > 0 {
				return s.step(parts), nil
			}
			continue
		case s.pause > 0:
			pause = time.After(s.pause)
		default:
			slot = s.client.hub.reads
		}
		silent := false
		var parts []Part
		select {
		case <-wake:
		case <-pause:
			s.pause = -s.pause
		case slot <- struct{}{}:
			parts = s.fromRedis(ctx)
		case <-idle:
			silent = true
		case <-s.client.done:
		case <-ctx.Done():
		}
		if waits != nil {
			s.skip(waits)
		}
		switch {
		case len(parts) > 0:
			return s.step(parts), nil
		case ctx.Err() != nil:
			return Step{}, ctx.Err()
		case silent:
			return Step{Position: s.at}, nil
		}
	}
}

// skip goes on behind the nodes that came while the subscriber waited and have nothing for it.
func (s *Subscription) skip(waited *group) {
	s.node = s.tail.chain.leave(waited)
	if s.node.last.Compare(s.at) > 0 {
		s.at = s.node.last
	}
}

// until returns the parts up to the last event.
func until(to events.ID, parts []Part) []Part {
	for i, p := range parts {
		kept := slices.IndexFunc(p.Entries, func(e *Entry) bool { return e.ID.Compare(to) > 0 })
		switch {
		case kept == 0, p.Gap != nil && p.Gap.From > to.Seq && p.Gap.Resume.Compare(to) >= 0:
			return parts[:i]
		case kept > 0:
			parts[i].Entries = p.Entries[:kept]
			return parts[:i+1]
		}
	}
	return parts
}

func (s *Subscription) step(parts []Part) Step {
	if s.to != nil {
		parts = until(*s.to, parts)
	}
	n := 0
	for _, p := range parts {
		n += len(p.Entries)
	}
	s.client.hub.sent[s.client.transport].Add(int64(n))
	s.client.hub.load.Add(1)
	return Step{Parts: parts, Position: s.at}
}

// tooSlow reports whether a subscriber that was in the chain is too far behind.
func (s *Subscription) tooSlow() bool {
	return s.live && s.tail.chain.tip().last.Seq-s.at.Seq > s.client.hub.options.maxBehind
}

// walk takes what the chain has. It leaves the chain if the subscriber's position is no longer in
// it.
func (s *Subscription) walk() []Part {
	var parts []Part
	for size := 0; size < joined; {
		next := s.node.next.Load()
		if next == nil {
			if s.node.evicted.Load() {
				s.node = nil
			}
			break
		}
		part, ok := s.take(next)
		if !ok {
			s.node = nil
			break
		}
		s.node = next
		if part.Gap == nil && len(part.Entries) == 0 {
			continue
		}
		parts = append(parts, part)
		for _, e := range part.Entries {
			size += len(e.Raw)
		}
	}
	return parts
}

// take takes a node if it continues from the subscriber's position, or if the subscriber has already
// seen all of it.
func (s *Subscription) take(n *node) (Part, bool) {
	from := 0
	switch {
	case n.before == s.at:
	case n.gap != nil && n.gap.Reason == RolledBack:
		return Part{}, false
	case n.last.Compare(s.at) <= 0:
		return Part{}, true
	default:
		if from = n.run.index(s.at) + 1; from == 0 {
			return Part{}, false
		}
	}
	s.at = n.last
	if n.gap != nil {
		return Part{Gap: n.gap}, true
	}
	return Part{Entries: n.run.match(&s.query, from)}, true
}

// fromRedis reads a page. It releases the slot that its caller holds.
func (s *Subscription) fromRedis(ctx context.Context) []Part {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	list, err := s.read(ctx)
	<-s.client.hub.reads
	if err != nil {
		s.pause = min(max(-2*s.pause, 20*time.Millisecond), maxPause)
		return nil
	}
	s.pause = 0
	if list == nil && !s.join(true) {
		// A flush has removed everything and not yet written its event.
		s.pause = 20 * time.Millisecond
	}
	return s.takeAll(list)
}

// read reads a page after the position.
func (s *Subscription) read(ctx context.Context) ([]*node, error) {
	log := s.client.hub.log
	batch, err := log.Page(ctx, s.at, s.page)
	size := 0
	for _, e := range batch.Entries {
		size += len(e.Raw)
	}
	if size > 0 {
		s.page = min(max(len(batch.Entries)*pageBytes/size, 1), maxPage)
	}
	return nodes(ctx, log, s.at, batch, err, nil)
}

// takeAll takes nodes that were read from Redis, and joins the chain if it has the new position.
func (s *Subscription) takeAll(list []*node) []Part {
	var parts []Part
	for _, n := range list {
		part, ok := s.take(n)
		if !ok {
			break // a rollback was found, and so was the position
		}
		if part.Gap != nil || len(part.Entries) > 0 {
			parts = append(parts, part)
		}
	}
	if len(list) > 0 {
		s.join(false)
	}
	return parts
}
