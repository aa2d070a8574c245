package websocket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/eventsource"
	"github.com/claudebench/claudebench/internal/stream"
)

// The methods that only connections have.
const (
	methodSubscribe   = "events.subscribe"
	methodUnsubscribe = "events.unsubscribe"
)

// subscription is one subscription of a connection.
type subscription struct {
	id       string
	walk     *stream.Subscription
	ctx      context.Context // ends with the subscription and with the connection
	cancel   context.CancelFunc
	answered chan struct{} // closed when the response with the id was sent
}

// Call runs one call of the connection.
func (s *session) Call(ctx context.Context, req api.Request) (json.RawMessage, *api.Error) {
	switch req.Method {
	case methodSubscribe:
		return s.subscribe(ctx, req.Params)
	case methodUnsubscribe:
		return s.unsubscribe(req.Params)
	}
	return s.dispatcher.Call(ctx, req)
}

// decode decodes params strictly. Absent params are those of an empty object, as for every method.
func decode(params json.RawMessage, into any) *api.Error {
	if len(params) == 0 || string(params) == "null" || string(params) == "[]" {
		params = json.RawMessage("{}")
	}
	d := json.NewDecoder(bytes.NewReader(params))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return api.InvalidParams(fmt.Sprintf("%s must be a %s, not a JSON %s", strings.ToLower(wrong.Field), wrong.Type, wrong.Value))
	}
	if err != nil {
		return api.InvalidParams(fmt.Sprintf("the params are not valid: %.200s", err.Error()))
	}
	return nil
}

func (s *session) subscribe(ctx context.Context, params json.RawMessage) (json.RawMessage, *api.Error) {
	var p struct{ Types, Task, Instance, After string }
	if refused := decode(params, &p); refused != nil {
		return nil, refused
	}
	query, err := eventsource.NewQuery(p.Types, p.Task, p.Instance, p.After)
	if err != nil {
		return nil, api.InvalidParams(err.Error())
	}
	sub, refused := s.reserve()
	if refused != nil {
		return nil, refused
	}
	if sub.walk, err = s.client.Subscribe(ctx, query); err != nil {
		s.forget(sub)
		sub.cancel()
		s.pumps.Done()
		return nil, api.Internal(api.RedisUnavailable)
	}
	position := sub.walk.Position()
	begun, _ := ctx.Value(startedKey{}).(*started)
	begun.mu.Lock()
	begun.list = append(begun.list, sub)
	begun.mu.Unlock()
	go func() {
		defer s.pumps.Done()
		defer sub.cancel()
		s.pump(sub)
	}()
	return fmt.Appendf(nil, `{"subscription":"%s","position":"%s"}`, sub.id, eventsource.Position(position)), nil
}

// reserve makes a subscription and counts its pump.
func (s *session) reserve() (*subscription, *api.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, api.Internal(stream.ErrStopping.Error())
	case len(s.subscriptions) >= maxSubscriptions:
		return nil, &api.Error{Code: api.CodeConflict, Message: "Conflict", Data: fmt.Sprintf("a connection has at most %d subscriptions; end one with %s, or open another connection", maxSubscriptions, methodUnsubscribe)}
	}
	s.created++
	sub := &subscription{id: "s" + strconv.FormatInt(s.created, 10), answered: make(chan struct{})}
	sub.ctx, sub.cancel = context.WithCancel(s.ctx)
	s.subscriptions[sub.id] = sub
	s.pumps.Add(1)
	return sub, nil
}

func (s *session) forget(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, sub.id)
}

func (s *session) unsubscribe(params json.RawMessage) (json.RawMessage, *api.Error) {
	var p struct{ Subscription string }
	if refused := decode(params, &p); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	sub := s.subscriptions[p.Subscription]
	delete(s.subscriptions, p.Subscription)
	s.mu.Unlock()
	if sub == nil {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "Not found", Data: fmt.Sprintf("this connection has no subscription %.100q", p.Subscription)}
	}
	sub.cancel()
	return json.RawMessage(`{"unsubscribed":true}`), nil
}

// pump sends the events of a subscription until it ends.
func (s *session) pump(sub *subscription) {
	defer sub.walk.Close()
	defer s.forget(sub)
	select {
	case <-sub.answered:
	case <-sub.ctx.Done():
		return
	}
	idle := time.NewTimer(s.Silence)
	defer idle.Stop()
	for {
		step, err := sub.walk.Next(sub.ctx, idle.C)
		if err != nil {
			var end *stream.EndError
			if errors.As(err, &end) {
				s.write(notification("end", sub.id, eventsource.AppendEnd(nil, end)))
			}
			return
		}
		if len(step.Parts) == 0 {
			s.write(notification("position", sub.id, fmt.Appendf(nil, `{"position":"%s"}`, eventsource.Position(step.Position))))
		}
		for _, part := range step.Parts {
			if part.Gap != nil && !s.write(notification("gap", sub.id, eventsource.AppendGap(nil, part.Gap))) {
				return
			}
			for _, e := range part.Entries {
				if sub.ctx.Err() != nil || !s.write(event(sub.id, e)) {
					return
				}
			}
		}
		idle.Reset(s.Silence)
	}
}

// notification returns a notification whose params are the members of an object and the
// subscription.
func notification(method, id string, object []byte) []byte {
	out := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"%s","params":{"subscription":"%s",`, method, id)
	out = append(out, object[1:]...)
	return append(out, '}')
}

// event returns the notification of an event.
func event(id string, e *stream.Entry) []byte {
	out := make([]byte, 0, len(e.Raw)+96)
	out = fmt.Appendf(out, `{"jsonrpc":"2.0","method":"event","params":{"subscription":"%s","event":`, id)
	out = append(out, e.Raw...)
	return append(out, "}}"...)
}
