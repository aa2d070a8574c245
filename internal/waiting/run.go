package waiting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

const (
	// tick is the interval at which a Hub renews what it holds in Redis.
	tick = time.Second
	// Hold is how long scripts go on to write wake-ups after an attempt or a tick. It bounds how long
	// this process may be stopped without missing any.
	Hold = 10 * time.Second
	// maxRoles is the maximum number of different roles for which wake-ups are written. With more, they
	// are written for any.
	maxRoles = 32
	// keepUnused is the number of ticks that a Hub without calls goes on.
	keepUnused = 30
	// renewedAtOnce is the maximum number of registrations that one script renews, in about 2 ms.
	renewedAtOnce = 200
	// looks is how many groups look for tasks at a tick without a wake-up.
	looks = 4
	// block is how long Redis holds a read of the stream open.
	block = time.Second
	// page is the maximum number of entries of a read. It is less than the stream keeps, so a read
	// that is not full has missed none.
	page = 1000
	// maxPause is the longest pause between two reads while Redis is unavailable.
	maxPause = time.Second
)

type keepWaitingArgs struct {
	Hold    int64 // ms
	Roles   string
	Workers []string
}

var keepWaiting = lua.Bind[keepWaitingArgs]("keep_waiting")

// run keeps a session until no call has waited for a while.
func (h *Hub) run(s *session) {
	err := h.keep(s, "", nil)
	h.mu.Lock()
	h.missed = err != nil
	h.mu.Unlock()
	close(s.ready)
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	h.running.Go(func() { h.follow(ctx, s) })
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.ctx.Done():
			return
		}
		if h.unused(s) {
			return
		}
		h.tick(s)
	}
}

// unused counts the ticks without calls. It reports whether the session is over.
func (h *Hub) unused(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) > 0 {
		s.unused = 0
		return false
	}
	if s.unused++; s.unused < keepUnused {
		return false
	}
	h.session = nil
	return true
}

// tick keeps wake-ups coming, renews registrations, and looks for tasks that no wake-up announced.
func (h *Hub) tick(s *session) {
	seq := s.seq
	due, roles := h.due(time.Now()), h.roles()
	for first := true; first || len(due) > 0; first, roles = false, "" {
		n := min(len(due), renewedAtOnce)
		if err := h.keep(s, roles, due[:n]); err != nil {
			h.mu.Lock()
			h.missed = true
			h.mu.Unlock()
			return
		}
		due = due[n:]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.missed:
		h.missed, h.refused = false, false
		for c := range h.all {
			c.renewal = time.Time{} // at the next tick: it also finds tasks that are assigned to it
		}
		h.lookAll()
	case h.refused:
		h.refused = false
		h.lookAll()
	case s.seq != seq:
		h.lookSome(h.looks)
	}
}

// due returns the instances whose registrations are to be renewed.
func (h *Hub) due(now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []string
	for instance, calls := range h.byInstance {
		for e := calls.Front(); e != nil; e = e.Next() {
			if c, _ := e.Value.(*call); c.renewal.Before(now) {
				due = append(due, instance)
				break
			}
		}
	}
	return due
}

// roles returns the roles for which scripts are to write wake-ups.
func (h *Hub) roles() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.groups) > maxRoles {
		return "*"
	}
	return strings.Join(slices.Collect(maps.Keys(h.groups)), "\n")
}

// keep renews the time until which scripts write wake-ups for these roles, and the registrations of
// instances.
func (h *Hub) keep(s *session, roles string, instances []string) error {
	ctx, cancel := context.WithTimeout(h.ctx, 5*time.Second)
	defer cancel()
	h.mu.Lock()
	read := s.last // wake-ups that arrive during the script are later than its reply
	h.mu.Unlock()
	reply, err := keepWaiting.Run(ctx, h.options.Scripts, keepWaitingArgs{Hold: Hold.Milliseconds(), Roles: roles, Workers: instances})
	if err != nil {
		return err
	}
	values, ok := reply.([]any)
	if !ok || len(values) < 3 {
		return fmt.Errorf("keep_waiting returned %v", reply)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	last, _ := values[1].(string)
	lost := before(last, read) // Redis has lost its latest entries, or the clock went back
	if lua.Integer(values[0]) == 1 || lost {
		h.missed = true
	}
	if s.last == "" || lost {
		s.last = last
	}
	if seq := lua.Integer(values[2]); seq > 0 {
		s.seq = seq
	}
	values = values[3:]
	for i, instance := range instances {
		if len(values) < 3*i+3 {
			break // a flush is under way
		}
		roles, _ := values[3*i].(string)
		h.kept(instance, roles, lua.Integer(values[3*i+1]), time.Duration(lua.Integer(values[3*i+2]))*time.Millisecond)
	}
	return nil
}

// kept notes that the registration of an instance was renewed. If the instance is not registered any
// more, or has other roles, or if tasks are assigned to it, its call attempts to claim, which finds
// out what to do.
func (h *Hub) kept(instance, roles string, assigned int64, ttl time.Duration) {
	calls := h.byInstance[instance]
	if calls == nil {
		return
	}
	changed := assigned > 0
	for e := calls.Front(); e != nil; e = e.Next() {
		c, _ := e.Value.(*call)
		c.heard(Reply{TTL: ttl})
		changed = changed || c.group != nil && c.group.roles != roles
	}
	if changed {
		for range calls.Len() {
			h.deliver(wakeup{forInstance, instance})
		}
	}
}

// follow reads wake-ups until ctx ends.
func (h *Hub) follow(ctx context.Context, s *session) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		h.mu.Lock()
		after := s.last
		h.mu.Unlock()
		if after == "" { // Redis has not been there yet
			after = "0-0"
		}
		streams, err := h.options.Runner.Client().XRead(ctx, &redis.XReadArgs{
			Streams: []string{h.options.Wakeups, after}, Count: page, Block: block,
		}).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			// At once the first time: a new connection may be all it takes.
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(max(2*pause, 10*time.Millisecond), maxPause)
			continue
		}
		pause = 0
		if len(streams) == 1 {
			h.take(s, after, streams[0].Messages)
		}
	}
}

// take delivers the wake-ups of a read after an ID.
func (h *Hub) take(s *session, after string, entries []redis.XMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.last != after && s.last != "" || len(entries) == 0 {
		return // keep has set it back meanwhile
	}
	s.last = entries[len(entries)-1].ID
	for _, entry := range entries {
		found, flushed := parseWakeups(entry.Values, len(h.all))
		for _, w := range found {
			h.deliver(w)
		}
		if flushed {
			for instance := range h.byInstance {
				h.deliver(wakeup{forInstance, instance})
			}
		}
	}
	if len(entries) == page {
		h.lookAll() // there may have been more than the stream keeps
	}
}

// before reports whether an ID of the stream is lower than another.
func before(a, b string) bool {
	x, err := events.ParseID(a)
	y, err2 := events.ParseID(b)
	return err == nil && err2 == nil && x.Compare(y) < 0
}
