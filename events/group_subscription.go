package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/lua"
)

// takeArgs are the arguments of take_event.
type takeArgs struct {
	Type, Group, Consumer, Handled string
	Own, More                      bool
	Position                       string
	Idle                           int64 // ms
	Most                           int
	Now                            bool
}

// returnArgs are the arguments of return_event.
type returnArgs struct {
	Type, Group, Consumer, ID string
	Own                       bool
	Deliveries                int64
	Most                      int
	Reason, Detail            string
}

var (
	takeEvent   = lua.Bind[takeArgs]("take_event")
	returnEvent = lua.Bind[returnArgs]("return_event")
)

// The reasons for which events are parked.
const (
	parkedNacked     = "nacked"
	parkedUnanswered = "unanswered"
	parkedMalformed  = "malformed"
)

// groupSubscription is one Subscribe of a GroupSubscriber.
type groupSubscription struct {
	*GroupSubscriber
	topic string
	out   chan *message.Message

	first    []any  // the reply of the first call, nil if it failed
	position string // entry of the topic up to which the group has read at least
	handled  taken  // entry to acknowledge with the next call
	looked   time.Time
	full     bool // whether the log says that there are too many parked events
}

// taken is an entry that this member holds.
type taken struct {
	own        bool // in the group's own stream, not in the topic
	id         string
	data       string
	event      string // the ID in the log
	deliveries int64
	gap        string // JSON of a gap, which an entry may be instead of an event
}

func (t taken) String() string { return t.event }

// take acknowledges what was handled and takes the next event. It returns the reply of take_event.
func (s *groupSubscription) take(ctx context.Context) ([]any, error) {
	args := s.args(true)
	if now := time.Now(); now.Sub(s.looked) >= s.config.ClaimEvery {
		args.Idle, s.looked = s.config.ClaimAfter.Milliseconds(), now
	}
	return s.call(ctx, args)
}

func (s *groupSubscription) args(more bool) takeArgs {
	return takeArgs{
		Type: s.topic, Group: s.config.Group, Consumer: s.config.Consumer, Handled: s.handled.id, Own: s.handled.own, More: more,
		Position: s.position, Most: max(s.config.MaxDeliveries, 0), Now: s.config.FromNow,
	}
}

func (s *groupSubscription) call(ctx context.Context, args takeArgs) ([]any, error) {
	reply, err := takeEvent.Run(ctx, s.scripts, args)
	if err != nil {
		return nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) == 0 {
		return nil, fmt.Errorf("take_event returned %v", reply)
	}
	s.handled = taken{}
	return values, nil
}

func (s *groupSubscription) run(ctx context.Context) {
	defer s.end(ctx)
	down := outage{logger: s.config.Logger, step: "reading the topic " + s.topic}
	retry := backoff{first: 50 * time.Millisecond, last: 2 * time.Second}
	reply, err := s.first, error(nil)
	for ctx.Err() == nil {
		if reply == nil {
			reply, err = s.take(ctx)
		}
		if err == nil && reply != nil {
			down.worked()
			retry.reset()
			err = s.handle(ctx, reply)
		}
		reply = nil
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !flushing(err) {
			down.failed(err)
		}
		_ = retry.wait(ctx) // if ctx ends, so does the loop
	}
}

// flushing reports whether err says that a flush deletes everything. That does not take long.
func flushing(err error) bool {
	var refused *lua.Error
	return errors.As(err, &refused) && refused.Code == "CONFLICT"
}

// end acknowledges the last event.
func (s *groupSubscription) end(ctx context.Context) {
	if s.handled.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveAtCloseWithin)
	defer cancel()
	if _, err := s.call(ctx, s.args(false)); err != nil {
		s.config.Logger.Error("cannot acknowledge the last event; it will be delivered again", "event", s.handled, "error", err)
	}
}

// handle does what a reply of take_event asks for.
func (s *groupSubscription) handle(ctx context.Context, reply []any) error {
	text := func(i int) string {
		if i < len(reply) {
			t, _ := reply[i].(string)
			return t
		}
		return ""
	}
	switch text(0) {
	case "event":
		if len(reply) != 7 {
			return fmt.Errorf("take_event returned %v", reply)
		}
		t := taken{own: lua.Integer(reply[1]) == 1, id: text(2), data: text(3), event: text(4), deliveries: lua.Integer(reply[5]), gap: text(6)}
		if !t.own {
			s.position = s.later(t.id)
		}
		return s.deliver(ctx, t)
	case "none":
		s.position = text(1)
		return s.wait(ctx, text(1), text(2))
	case "created":
		if s.position != "" {
			s.config.Logger.Warn("created a missing consumer group again", "topic", s.topic, "group", s.config.Group)
		}
		s.position = ""
	case "parked":
		s.parked(text(1), parkedUnanswered, "")
	case "wait":
		return sleep(ctx, s.config.Block)
	}
	return nil
}

// later returns the later one of an entry and the position. An event that was taken over is an old
// one.
func (s *groupSubscription) later(id string) string {
	if s.position != "" && entryIDOf(id).before(entryIDOf(s.position)) {
		return s.position
	}
	return id
}

// wait waits until the topic or the group's own stream has an entry behind these, for at most Block.
func (s *groupSubscription) wait(ctx context.Context, topic, own string) error {
	err := s.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.space.Topic(s.topic), s.space.GroupStream(s.topic, s.config.Group), topic, own},
		Count:   1,
		Block:   min(s.config.Block, max(s.config.ClaimEvery, time.Millisecond)),
	}).Err()
	if err != nil && !errors.Is(err, redis.Nil) && ctx.Err() == nil {
		return err
	}
	return nil
}

// deliver delivers an event until it is acknowledged, parked, or no longer this member's.
func (s *groupSubscription) deliver(ctx context.Context, t taken) error {
	retry := backoff{first: s.config.NackDelay, last: s.config.NackDelayMax}
	if t.gap != "" {
		if err := s.tellGap(ctx, t, &retry); err != nil {
			return err
		}
		s.handled = t
		return nil
	}
	values := map[string]any{}
	if t.data != "" {
		values["data"] = t.data
	}
	m, _ := Unmarshaller{}.Unmarshal(values) // its error is always nil
	why := m.Metadata.Get(MetadataError)
	if typ := m.Metadata.Get(MetadataType); why == "" && typ != s.topic {
		why = fmt.Sprintf("it is of type %q", typ)
	}
	if why != "" {
		return s.bad(ctx, t, why, &retry)
	}
	for {
		// Each delivery has a copy, because a handler may change it.
		acked, err := offer(ctx, s.out, m.Copy())
		switch {
		case errors.Is(err, errNotSent):
			s.release(ctx, t)
			return err
		case err != nil:
			return err
		case acked:
			s.handled = t
			return nil
		}
		if again := s.giveBack(ctx, &t, s.config.MaxDeliveries, parkedNacked, ""); !again {
			return nil
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// bad parks an entry that is not an event of the topic.
func (s *groupSubscription) bad(ctx context.Context, t taken, why string, retry *backoff) error {
	if s.config.OnBadEvent != nil {
		s.config.OnBadEvent(s.topic, []byte(t.data), errors.New(why))
	} else {
		s.config.Logger.Error("an entry of a topic is not an event", "topic", s.topic, "entry", t.id, "reason", why)
	}
	for s.giveBack(ctx, &t, 1, parkedMalformed, why) {
		if s.config.MaxDeliveries < 0 {
			s.handled = t // it was reported, and events are not to be parked
			return nil
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// giveBack counts a delivery that failed. It returns false if this member need not deliver the event
// again: it was parked or moved, or another member has it.
func (s *groupSubscription) giveBack(ctx context.Context, t *taken, most int, reason, detail string) bool {
	if s.config.MaxDeliveries < 0 {
		most = 0
	}
	reply, err := returnEvent.Run(ctx, s.scripts, returnArgs{
		Type: s.topic, Group: s.config.Group, Consumer: s.config.Consumer, ID: t.id, Own: t.own,
		Deliveries: t.deliveries, Most: most, Reason: reason, Detail: detail,
	})
	t.deliveries++
	if err != nil {
		if ctx.Err() == nil && !flushing(err) {
			s.config.Logger.Warn("cannot count a failed delivery; delivering the event again", "event", t, "error", err)
		}
		return true
	}
	switch reply {
	case "parked":
		s.parked(t.event, reason, detail)
		return false
	case "full":
		s.tooMany(t.event)
		return true
	}
	return reply == "again"
}

func (s *groupSubscription) parked(event, reason, detail string) {
	s.full = false
	s.config.Logger.Error("parked an event; 'claudebench parked' lists, retries and drops it",
		"topic", s.topic, "group", s.config.Group, "event", event, "reason", reason, "detail", detail)
}

func (s *groupSubscription) tooMany(event string) {
	if !s.full {
		s.config.Logger.Error("cannot park an event, because there are too many parked events; delivering it again; retry or drop some with 'claudebench parked'",
			"topic", s.topic, "group", s.config.Group, "event", event)
	}
	s.full = true
}

// release lets another member take an event at once that was not sent to the handler.
func (s *groupSubscription) release(ctx context.Context, t taken) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveAtCloseWithin)
	defer cancel()
	stream := s.space.Topic(s.topic)
	if t.own {
		stream = s.space.GroupStream(s.topic, s.config.Group)
	}
	// If it fails, the event comes after ClaimAfter.
	_ = s.client.Do(ctx, "XCLAIM", stream, s.config.Group, s.config.Consumer, 0, t.id, "IDLE", s.config.ClaimAfter.Milliseconds(), "JUSTID").Err()
}

// tellGap reports a gap to the handler.
func (s *groupSubscription) tellGap(ctx context.Context, t taken, retry *backoff) error {
	var gap Gap
	if err := json.Unmarshal([]byte(t.gap), &gap); err != nil {
		s.config.Logger.Error("skipped a gap that does not decode", "topic", s.topic, "gap", t.gap, "error", err)
		return nil
	}
	if s.config.OnGap == nil {
		s.config.Logger.Warn("events are gone from the log before this group had read them", "topic", s.topic, "group", s.config.Group,
			"from", gap.From, "to", gap.To, "reason", gap.Reason)
		return nil
	}
	return gap.told(ctx, func(ctx context.Context, g Gap) error { return s.config.OnGap(ctx, s.topic, g) },
		func(err error) {
			s.config.Logger.Error("cannot handle a gap; retrying", "topic", s.topic, "from", gap.From, "error", err)
		}, retry.wait)
}
