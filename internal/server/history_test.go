package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// story is a page of events.
type story struct {
	Events []struct {
		Seq     int64
		Type    string
		Attempt *int64
		Actor   string
		Cause   *string
		Payload object
	}
	NextCursor string
	Behind     *struct{ Events, MS int64 }
}

// types returns the types of the events, and the attempt of each that has one.
func (s story) types() string {
	var all []string
	for _, e := range s.Events {
		text := e.Type
		if e.Attempt != nil {
			text += fmt.Sprintf("(%d)", *e.Attempt)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// settledStory reads a story when the index has everything. Until the database is migrated a call would
// fail, and some failures open the method's circuit, which is an event too.
func settledStory(t *testing.T, c *client, method string, p params) story {
	t.Helper()
	caughtUp(t, c)
	var got story
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got = call[story](t, c, method, p)
		return got.Behind == nil, fmt.Sprintf("%s %v: %+v", method, p, got.Behind)
	})
	return got
}

// handOver makes a task that changes hands by the death of its first owner, w1.
func handOver(t *testing.T, c *client) (id string) {
	t.Helper()
	call[object](t, c, "system.register", params{"id": "w1", "roles": []string{"worker"}})
	id = c.create(t, params{"text": "a"})
	call[object](t, c, "task.claim", params{"workerId": "w1"})
	call[object](t, c, "system.check_health", params{"timeout": 0})
	call[object](t, c, "system.register", params{"id": "w2", "roles": []string{"worker"}})
	call[object](t, c, "task.claim", params{"workerId": "w2"})
	call[object](t, c, "task.complete", params{"id": id, "workerId": "w2", "attempt": 2, "result": 1})
	return id
}

// The story of a task that changed hands by a death, and of the instance that had it, is the same at
// each coordinator.
func TestStoriesOfATaskThatChangesHands(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	both := []*client{start(t, cfg), start(t, cfg)}
	id := handOver(t, both[0])
	ofTask, ofFirst := "", ""
	for i, c := range both {
		got := settledStory(t, c, "task.history", params{"id": id})
		if i == 0 {
			ofTask = got.types()
		}
		if got.types() != ofTask || !strings.HasPrefix(ofTask, "task.created(0) ") || !strings.Contains(ofTask, "task.claimed(1) ") ||
			!strings.HasSuffix(ofTask, " task.claimed(2) task.completed(2)") || !strings.Contains(ofTask, "task.unassigned ") {
			t.Errorf("coordinator %d: %s", i, got.types())
		}
		if last := got.Events[len(got.Events)-1]; last.Actor != "w2" || last.Cause == nil || last.Payload["workerId"] != "w2" {
			t.Errorf("coordinator %d: %+v", i, last)
		}
		first := settledStory(t, c, "instance.history", params{"id": "w1"})
		if i == 0 {
			ofFirst = first.types()
		}
		if first.types() != ofFirst || !strings.HasPrefix(ofFirst, "instance.registered leader.elected ") || !strings.Contains(ofFirst, " task.claimed(1) ") ||
			!strings.Contains(ofFirst, " instance.failed") || !strings.Contains(ofFirst, "task.unassigned") || strings.Contains(ofFirst, "completed") {
			t.Errorf("coordinator %d: w1: %s", i, first.types())
		}
		died := settledStory(t, c, "event.list", params{"types": "instance.failed", "since": time.Now().Add(-time.Hour).Format(time.RFC3339)})
		if died.types() != "instance.failed" || died.Events[0].Payload["id"] != "w1" {
			t.Errorf("coordinator %d: died: %+v", i, died)
		}
		if later := settledStory(t, c, "event.list", params{"since": time.Now().Add(time.Hour).Format(time.RFC3339)}); len(later.Events) != 0 {
			t.Errorf("coordinator %d: later: %+v", i, later)
		}
	}
}

// Histories come page by page, in both orders, on every transport, and params that cannot be answered
// are refused.
func TestPagesOfStories(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := start(t, cfg)
	id := handOver(t, c)
	whole := settledStory(t, c, "task.history", params{"id": id}).types()
	backwards := strings.Fields(whole)
	slices.Reverse(backwards)
	if got := settledStory(t, c, "task.history", params{"id": id, "order": "desc"}); got.types() != strings.Join(backwards, " ") {
		t.Errorf("backwards: %s", got.types())
	}
	page := settledStory(t, c, "task.history", params{"id": id, "limit": 2})
	pages := page.types()
	for page.NextCursor != "" {
		page = settledStory(t, c, "task.history", params{"id": id, "limit": 2, "cursor": page.NextCursor})
		pages += " " + page.types()
	}
	if pages != whole {
		t.Errorf("by pages of two: %s", pages)
	}
	for _, other := range []string{"t-x", "t-99", "t-01", "nothing"} {
		if status, answer := c.post(t, "/api/task/history", fmt.Sprintf(`{"id":%q}`, other), nil); status != 200 || !strings.HasPrefix(answer, `{"events":[]`) {
			t.Errorf("of the task %s: %d %s", other, status, answer)
		}
	}
	for _, types := range []string{"task.*", "hook.stopped", "instance.*,task.created", "nothing.*", "a b"} {
		if refuse := refused(t, c, api.CodeInvalidParams, "event.list", params{"types": types}); !strings.HasPrefix(refuse.text(), "types parameter: ") {
			t.Errorf("%s: %+v", types, refuse)
		}
	}
	if refuse := refused(t, c, api.CodeInvalidParams, "event.list", params{"since": "yesterday"}); !strings.HasPrefix(refuse.text(), "since parameter: ") {
		t.Errorf("yesterday: %+v", refuse)
	}
	if all := settledStory(t, c, "event.list", params{"types": "*", "limit": 1000, "order": "asc"}); all.Events[0].Seq != 1 || int64(len(all.Events)) != redisSeq(t, cfg) {
		t.Errorf("all: %s", all.types())
	}
}

// A flush that keeps Postgres keeps the histories. One that does not begins them anew.
func TestStoriesAndFlushes(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(fmt.Sprint("Postgres ", postgres), func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
			both := []*client{start(t, cfg), start(t, cfg)}
			id := handOver(t, both[0])
			before := settledStory(t, both[0], "task.history", params{"id": id}).types()
			call[object](t, both[0], "system.flush", params{"confirm": "FLUSH_ALL_DATA", "includePostgres": postgres})
			want := before
			if postgres {
				want = ""
			}
			for i, c := range both {
				if got := settledStory(t, c, "task.history", params{"id": id}); got.types() != want {
					t.Errorf("coordinator %d: %s", i, got.types())
				}
				if got := settledStory(t, c, "event.list", params{}); !strings.HasPrefix(got.types(), "system.flushed") || postgres && len(got.Events) != 1 {
					t.Errorf("coordinator %d: %s", i, got.types())
				}
			}
			verified(t, cfg)
		})
	}
}

// A coordinator without the index says so, runs no projection for it, and does not count as failing.
// When another one keeps it, what happened meanwhile is there.
func TestWithoutTheEventIndex(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		c.DatabaseURL = testenv.Postgres(t)
		c.NoEventIndex = true
	})
	off := start(t, cfg)
	off.ready(t)
	id := off.create(t, params{"text": "a"})
	for range 8 { // the circuit breaker opens after five failures
		for method, p := range map[string]params{"task.history": {"id": id}, "instance.history": {"id": "w"}, "event.list": {}} {
			if refuse := refused(t, off, api.CodeInternal, method, p); !strings.HasPrefix(refuse.text(), "Event index off: ") || !strings.Contains(refuse.text(), "--no-event-index") {
				t.Errorf("%s: %+v", method, refuse)
			}
		}
	}
	if status, answer := off.post(t, "/api/task/history", `{"id":"t-1"}`, nil); status != 501 {
		t.Errorf("by REST: %d %s", status, answer)
	}
	if holders := off.holders(t); len(holders) != 3 {
		t.Errorf("it runs %v", holders)
	}
	on := *cfg
	on.NoEventIndex = false
	if got := settledStory(t, start(t, &on), "task.history", params{"id": id}); got.types() != "task.created(0)" {
		t.Errorf("at another one: %s", got.types())
	}
	if refuse := refused(t, off, api.CodeInternal, "task.history", params{"id": id}); !strings.HasPrefix(refuse.text(), "Event index off: ") {
		t.Errorf("it answers for another one: %+v", refuse)
	}
}
