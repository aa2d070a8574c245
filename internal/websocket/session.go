package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/stream"
)

// session is one connection.
type session struct {
	*Handler
	conn   *websocket.Conn
	client *stream.Client
	ctx    context.Context // of the connection: whatever belongs to it ends with it
	cancel context.CancelFunc
	from   api.Request   // what all calls share
	slots  chan struct{} // has a value for each message that is being answered

	calls sync.WaitGroup // messages that are being answered
	pumps sync.WaitGroup // subscriptions

	mu            sync.Mutex
	subscriptions map[string]*subscription
	created       int64 // subscriptions so far
	closed        bool  // no more calls and subscriptions
}

// run serves the connection until it ends. It leaves nothing behind.
func (s *session) run() {
	var others sync.WaitGroup
	others.Go(s.ping)
	others.Go(s.watch)
	s.receive()
	s.cancel() // of calls that wait, too: the peer has gone
	_ = s.conn.CloseNow()
	s.calls.Wait()
	s.close()
	s.pumps.Wait()
	others.Wait()
}

// close refuses further calls and subscriptions.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// begin counts a message that is to be answered. It returns false if too many are being answered, or
// if the connection is to end.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		s.calls.Add(1)
		return true
	default:
		return false
	}
}

// receive reads messages until the connection ends.
func (s *session) receive() {
	for {
		kind, reader, err := s.conn.Reader(s.ctx)
		if err != nil {
			return
		}
		received := time.Now()
		message, done := context.WithCancel(s.ctx)
		body, why, err := httpapi.ReadMessage(message, reader)
		switch {
		case err != nil:
			done()
			return
		case why != "":
			done()
			s.write(rpc.Refuse(api.InvalidRequest("%s", why)))
			_ = s.conn.Close(websocket.StatusMessageTooBig, "message too big")
			return
		case kind != websocket.MessageText:
			done()
			_ = s.conn.Close(websocket.StatusUnsupportedData, "messages must be text")
			return
		}
		from := s.from
		from.Received = received
		if !s.begin() {
			s.answer(message, busy{}, body, from)
			done()
			continue
		}
		go func() {
			defer s.calls.Done()
			defer func() { <-s.slots }()
			defer done()
			s.answer(message, s, body, from)
		}()
	}
}

// startedKey is the context key of a message's *started.
type startedKey struct{}

// started are the subscriptions of a message. Their events are sent after its response.
type started struct {
	mu   sync.Mutex
	list []*subscription
}

func (s *session) answer(ctx context.Context, d httpapi.Dispatcher, body []byte, from api.Request) {
	var begun started
	s.bodies.Answer(context.WithValue(ctx, startedKey{}, &begun), d, body, from, func(text []byte) { s.write(text) })
	for _, sub := range begun.list {
		close(sub.answered)
	}
}

// busy rejects calls of a connection that has too many in flight, or that is to end.
type busy struct{}

func (busy) Call(context.Context, api.Request) (json.RawMessage, *api.Error) {
	return nil, &api.Error{Code: api.CodeRateLimited, Message: "Rate limit exceeded", Data: map[string]any{"scope": "connection", "limit": maxInFlight}}
}

// write sends a message. If the peer does not read it in time, the connection ends.
func (s *session) write(text []byte) bool {
	limited, cancel := context.WithTimeout(s.ctx, httpapi.WriteWithin)
	defer cancel()
	err := s.conn.Write(limited, websocket.MessageText, text)
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		s.client.Stalled()
	}
	return err == nil
}

// ping ends the connection if the peer is gone without a word.
func (s *session) ping() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(s.ctx, pongWithin)
		err := s.conn.Ping(limited)
		cancel()
		if err != nil {
			_ = s.conn.CloseNow()
			return
		}
	}
}

// watch ends the connection when the coordinator wants it to end. Subscriptions end by themselves.
// When the coordinator is being stopped, calls in flight are still answered.
func (s *session) watch() {
	select {
	case <-s.client.Done():
	case <-s.ctx.Done():
		return
	}
	s.close()
	// What is blocked must not delay the end.
	late := time.AfterFunc(lastWords, func() { _ = s.conn.CloseNow() })
	s.pumps.Wait()
	late.Stop()
	status := websocket.StatusPolicyViolation
	if s.client.Cause() == stream.Stopping {
		status = websocket.StatusGoingAway
		s.calls.Wait()
	}
	_ = s.conn.Close(status, string(s.client.Cause()))
	s.cancel()
}
