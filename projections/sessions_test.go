package projections_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/projections"
)

// session reads a session as JSON, "" if the view does not have it.
func (b *bundle) session(t testing.TB, id string) string {
	t.Helper()
	s, _, err := b.tasks.Session(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// details reads a session that the view must have.
func (b *bundle) details(t testing.TB, id string) *api.SessionDetails {
	t.Helper()
	s, _, err := b.tasks.Session(t.Context(), id)
	if err != nil || s == nil {
		t.Fatalf("session %s: %v, %v", id, s, err)
	}
	return s
}

// sessionDay is a log of one session with every kind of event.
func sessionDay() *history {
	h := newHistory()
	h.hook(events.TypeHookSessionStarted, "s1", nil)
	h.now += 1000
	h.registerWith("s1", "w1", "worker")
	h.hook(events.TypeHookPromptSubmitted, "s1", nil)
	done, failed, running := h.create("a", 50, "null"), h.create("b", 50, "null"), h.create("c", 50, "null")
	for _, id := range []string{done, failed, running} {
		h.now += 10
		h.claim(id, "w1")
	}
	h.use("s1", "Bash", 250, events.HookOK)
	h.use("s1", "Read", 5, events.HookOK)
	h.use("s1", "Bash", 100, events.HookFailed)
	h.decide("s1", "Bash", "allow")
	h.decide("s1", "Bash", "deny")
	h.decide("s1", "Write", "ask")
	tool := "Write"
	h.hook(events.TypeHookPermissionDenied, "s1", func(p *events.Hook) { p.Tool = &tool })
	h.plan("s1", events.Todo{ID: "1", Text: "old", Status: "pending"})
	h.plan("s1", events.Todo{ID: "1", Text: "write <tests>", Status: "completed"}, events.Todo{ID: "2", Status: "pending"})
	h.finish(done, "null", "")
	h.finish(failed, "null", `"no"`)
	h.now += 1000
	h.hook(events.TypeHookSessionEnded, "s1", nil)
	h.now += 1000
	h.leave("w1", false)
	return h
}

func TestASessionHoldsEveryEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	b.apply(t, oneBatch(sessionDay().events))
	const want = `{"id":"s1","source":"claude-code","instanceId":"w1","startedAt":"2023-11-14T22:13:20.000Z","lastActivityAt":"2023-11-14T22:13:22.385Z",` +
		`"endedAt":"2023-11-14T22:13:22.385Z","events":16,"prompts":1,"decisions":{"allow":1,"ask":1,"deny":1},"tools":[` +
		`{"name":"Bash","requested":2,"finished":2,"failed":1,"denied":0,"totalMs":350,"maxMs":250},` +
		`{"name":"Read","requested":1,"finished":1,"failed":0,"denied":0,"totalMs":5,"maxMs":5},` +
		`{"name":"Write","requested":0,"finished":0,"failed":0,"denied":1,"totalMs":0,"maxMs":0}],` +
		`"todos":[{"id":"1","text":"write \u003ctests\u003e","status":"completed"},{"id":"2","text":"","status":"pending"}],` +
		`"tasks":{"claimed":3,"completed":1,"failed":1,"recent":[` +
		`{"id":"t-7","status":"in_progress","attempt":1,"claimedAt":"2023-11-14T22:13:21.030Z","completedAt":null,"durationMs":null},` +
		`{"id":"t-6","status":"failed","attempt":1,"claimedAt":"2023-11-14T22:13:21.020Z","completedAt":"2023-11-14T22:13:21.385Z","durationMs":365},` +
		`{"id":"t-5","status":"completed","attempt":1,"claimedAt":"2023-11-14T22:13:21.010Z","completedAt":"2023-11-14T22:13:21.385Z","durationMs":375}]}}`
	if diff := cmp.Diff(want, b.session(t, "s1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := b.session(t, "s2"); got != "" {
		t.Errorf("a session that never was: %s", got)
	}
	var tools, tasks string
	if err := b.db.QueryRow(t.Context(), `SELECT string_agg(concat_ws(':', session, tool, requested, finished, failed, denied, total_ms, max_ms), ' '),
		(SELECT string_agg(concat_ws(':', session, instance, task, status), ' ' ORDER BY num) FROM session_tasks) FROM session_tools`).Scan(&tools, &tasks); err != nil {
		t.Fatal(err)
	}
	if tools != "s1:Bash:2:2:1:0:350:250 s1:Read:1:1:0:0:5:5 s1:Write:0:0:0:1:0:0" || tasks != "s1:w1:t-5:completed s1:w1:t-6:failed s1:w1:t-7:in_progress" {
		t.Errorf("the views for SQL: %s; %s", tools, tasks)
	}
}

// Each golden event of hooks and todos is folded.
func TestGoldenHookEventsAreFolded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	files, err := filepath.Glob("../events/testdata/hook.*.json")
	if err != nil {
		t.Fatal(err)
	}
	todos, err := filepath.Glob("../events/testdata/todo.*.json")
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	told := map[string]int{}
	for _, file := range append(files, todos...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden, err := events.Decode(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var of struct{ SessionID *string }
		if err := json.Unmarshal(golden.Payload, &of); err != nil {
			t.Fatal(err)
		}
		if of.SessionID != nil {
			told[*of.SessionID]++
		}
		h.emit(golden.Type, golden.Payload)
	}
	b.apply(t, oneBatch(h.events))
	if len(told) == 0 {
		t.Fatal("no golden event has a session")
	}
	for id, n := range told {
		if s := b.details(t, id); s.Events != int64(n) || *s.Source != events.HookSourceClaudeCode {
			t.Errorf("session %s has %d events, want %d", id, s.Events, n)
		}
	}
}

func TestWhoHasASessionAndWhen(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	var ids []string // of the tasks, which the expectations call #0, #1, …
	claim := func(worker string) {
		h.now += 5
		ids = append(ids, h.create("x", 50, "null"))
		h.claim(ids[len(ids)-1], worker)
		h.now += 5
	}
	steps := []struct {
		what   string
		do     func()
		active string // the sessions that have not ended
		tasks  string // those of s1 and s2
	}{
		{"an instance without a session", func() { h.register("w1"); claim("w1") }, "", ""},
		{"a registration makes a session", func() { h.registerWith("s1", "w1"); claim("w1") }, "s1", "s1#1"},
		{"resumed", func() { h.registerWith("s1", "w1"); claim("w1") }, "s1", "s1#1 s1#2"},
		{"a second instance", func() { h.registerWith("s1", "w2"); claim("w2") }, "s1", "s1#1 s1#2 s1#3"},
		{"one of them fails", func() { h.leave("w1", true); claim("w2") }, "s1", "s1#1 s1#2 s1#3 s1#4"},
		{"the other takes another session", func() { h.registerWith("s2", "w2"); claim("w2") }, "s2", "s1#1 s1#2 s1#3 s1#4 s2#5"},
		{"a late hook does not resume it", func() { h.hook(events.TypeHookSubagentStopped, "s1", nil) }, "s2", "s1#1 s1#2 s1#3 s1#4 s2#5"},
		{"a prompt does", func() { h.hook(events.TypeHookPromptSubmitted, "s1", nil) }, "s1 s2", "s1#1 s1#2 s1#3 s1#4 s2#5"},
		{"a registration without a session", func() { h.register("w2"); claim("w2") }, "s1", "s1#1 s1#2 s1#3 s1#4 s2#5"},
		{"a task that another worker claims", func() { h.assign(ids[3], "w2"); h.claim(ids[3], "w2"); h.now += 5 }, "s1", "s1#1 s1#2 s1#4 s2#5"},
		{"a task that waits", func() { h.registerWith("s2", "w2"); claim("w2"); h.assign(ids[7], "w2") }, "s1 s2", "s1#1 s1#2 s1#4 s2#5"},
		{"an instance that leaves", func() { h.now += 5; h.leave("w2", false) }, "s1", "s1#1 s1#2 s1#4 s2#5"},
	}
	at := events.ID{}
	for _, step := range steps {
		before := len(h.events)
		step.do()
		for _, batch := range batches(at, h.events[before:], func() int { return len(h.events) }) {
			b.apply(t, batch)
			at = batch.Last()
		}
		var active, tasks string
		if err := b.db.QueryRow(t.Context(), `SELECT coalesce((SELECT string_agg(id, ' ' ORDER BY id) FROM sessions WHERE ended_at IS NULL), ''),
			coalesce((SELECT string_agg(session || ':' || task, ' ' ORDER BY session, num) FROM session_tasks), '')`).Scan(&active, &tasks); err != nil {
			t.Fatal(err)
		}
		for n, id := range slices.Backward(ids) {
			tasks = strings.ReplaceAll(tasks, ":"+id, fmt.Sprint("#", n))
		}
		if active != step.active || tasks != step.tasks {
			t.Errorf("%s: active are %q, want %q; tasks are %q, want %q", step.what, active, step.active, tasks, step.tasks)
		}
	}
}

// A flush that keeps the rows keeps sessions as they were. A session that goes on starts over, and a
// rebuild from the log, which begins at the flush, gives the same rows.
func TestSessionsOverAFlush(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.registerWith("s1", "w1")
	h.registerWith("s2", "w2")
	h.use("s1", "Bash", 3, events.HookOK)
	h.claim(h.create("x", 50, "null"), "w1")
	h.now += 5
	kept := len(h.events)
	h.flush(false)
	b.apply(t, oneBatch(h.events))
	if s := b.details(t, "s1"); s.EndedAt == nil || s.Events != 3 || s.Tasks.Claimed != 1 || len(s.Tools) != 1 {
		t.Errorf("kept: %+v", s)
	}
	at := h.events[len(h.events)-1].ID
	flushed := len(h.events)
	h.hook(events.TypeHookPromptSubmitted, "s1", nil)
	h.registerWith("s3", "w1")
	b.apply(t, batches(at, h.events[flushed:], func() int { return 9 })[0])
	if s := b.details(t, "s1"); s.EndedAt != nil || s.Events != 1 || s.Prompts != 1 || s.Tasks.Claimed != 0 || len(s.Tools) != 0 {
		t.Errorf("starts over: %+v", s)
	}
	live := b.views(t)
	if err := b.tasks.Reset(t.Context(), h.events[kept].Seq); err != nil {
		t.Fatal(err)
	}
	if s := b.details(t, "s2"); s.EndedAt == nil || b.session(t, "s1") != "" {
		t.Errorf("a reset keeps what the log does not have: %+v", s)
	}
	if err := b.tasks.Apply(t.Context(), oneBatch(h.events[kept:])); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, b.views(t)); diff != "" {
		t.Errorf("rebuilt (-live +rebuilt):\n%s", diff)
	}
	if _, err := b.tasks.Flush(t.Context(), "f", h.seq); err != nil {
		t.Fatal(err)
	}
	if rows := b.sessionRows(t); len(rows) != 0 {
		t.Errorf("a flush of the rows leaves %v", rows)
	}
}

// A hostile agent cannot stop the projection or make a row grow without bound.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for i := range 150 {
		h.use("s1", fmt.Sprint("tool ", i), 1<<62, events.HookOK)
	}
	h.use("s1", "tool 3", 1, events.HookOK)
	h.use("s2", strings.Repeat("é", 500), -5, events.HookOK)
	h.use("s2", "nul \x00", 1, events.HookOK)
	h.hook(events.TypeHookToolRequested, "s2", nil)
	h.hook(events.TypeHookPromptSubmitted, "s\x003", nil)
	h.hook(events.TypeHookPromptSubmitted, "", nil)
	h.plan("s4", events.Todo{ID: "\x00", Text: "a\x00b", Status: "pending"})
	b.apply(t, oneBatch(h.events))
	s := b.details(t, "s1")
	last := s.Tools[len(s.Tools)-1]
	if len(s.Tools) != 101 || last.Name != "(other)" || last.Requested != 50 || last.TotalMS != 50<<40 || s.Tools[3].Finished != 2 {
		t.Errorf("%d tools, the last is %+v", len(s.Tools), last)
	}
	s = b.details(t, "s2")
	if len(s.Tools) != 2 || s.Tools[0].Name != strings.Repeat("é", 100) || s.Tools[0].TotalMS != 0 || s.Tools[1].Name != "nul \ufffd" {
		t.Errorf("tools of s2 are %+v", s.Tools)
	}
	if b.session(t, "s\ufffd3") == "" || len(b.details(t, "s4").Todos) != 1 {
		t.Error("U+0000 is not replaced")
	}
}

func TestSessionsAreListedByActivity(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for i := range 7 {
		h.registerWith(fmt.Sprint("s", i), fmt.Sprint("w", i%2)) // ends the session that the instance had
	}
	h.hook(events.TypeHookPromptSubmitted, "s0", nil)
	b.apply(t, oneBatch(h.events))
	yes, no := true, false
	for _, c := range []struct {
		q    api.SessionQuery
		want string
	}{
		{api.SessionQuery{}, "s0 s6 | s5 s4 | s3 s2 | s1"},
		{api.SessionQuery{Active: &yes}, "s0 s6 | s5"},
		{api.SessionQuery{Active: &no}, "s4 s3 | s2 s1"},
		{api.SessionQuery{InstanceID: "w1"}, "s5 s3 | s1"},
		{api.SessionQuery{InstanceID: "w0", Active: &yes}, "s0 s6"},
		{api.SessionQuery{InstanceID: "nobody"}, ""},
	} {
		c.q.Limit = 2
		var pages []string
		for {
			page, err := b.tasks.Sessions(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			if page.At != h.events[len(h.events)-1].ID {
				t.Errorf("read at %s", page.At)
			}
			var ids []string
			for _, s := range page.Sessions {
				ids = append(ids, s.ID)
			}
			pages = append(pages, strings.Join(ids, " "))
			if c.q.Before = page.Next; page.Next == 0 {
				break
			}
		}
		if got := strings.Join(pages, " | "); got != c.want {
			t.Errorf("%+v lists %q, want %q", c.q, got, c.want)
		}
	}
}

// Whoever uses no sessions pays nothing for them: such batches do not touch their tables.
func TestBatchesWithoutSessionsRunNoStatementForThem(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	if _, err := b.db.Exec(t.Context(), `DROP TABLE sessions, session_instances CASCADE`); err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	h.register("w1", "worker")
	for range 3 {
		id := h.create("x", 50, "null")
		h.claim(id, "w1")
		h.finish(id, "null", "")
	}
	h.leave("w1", false)
	h.register("w1", "worker")
	if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Error(err)
	}
	last := h.events[len(h.events)-1].ID
	h.registerWith("s1", "w2")
	if err := b.tasks.Apply(t.Context(), batches(last, h.events[len(h.events)-1:], func() int { return 1 })[0]); !projections.NotMigrated(err) {
		t.Errorf("a session without its table: %v", err)
	}
}

// A database that an earlier version filled has no rows for the sessions of the past, but keeps its
// tasks and goes on from its checkpoint, even if the log was trimmed. A rebuild folds the sessions of
// the past too.
func TestSessionsBeginWhereAnEarlierVersionWas(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := sessionDay()
	past := len(h.events)
	if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	whole := b.sessionRows(t)
	b.downgrade(t, 7)
	if err := b.tasks.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	at, err := b.tasks.Checkpoint(t.Context())
	if after, err := b.pool.SessionsAfter(t.Context()); err != nil || after != at.Seq || at.Seq != int64(past) {
		t.Errorf("sessions begin after %d, the checkpoint is %s (%v)", after, at, err)
	}
	if err != nil || len(b.sessionRows(t)) != 0 || len(b.rows(t)) == 0 {
		t.Errorf("migrated: %v, %v", b.sessionRows(t), err)
	}
	h.hook(events.TypeHookPromptSubmitted, "s1", nil)
	if err := b.tasks.Apply(t.Context(), batches(at, h.events[past:], func() int { return 1 })[0]); err != nil {
		t.Fatal(err)
	}
	if s := b.details(t, "s1"); s.Events != 1 || s.Prompts != 1 {
		t.Errorf("goes on: %+v", s)
	}
	if err := b.tasks.Reset(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if after, err := b.pool.SessionsAfter(t.Context()); err != nil || after != 0 {
		t.Errorf("after a reset sessions begin after %d (%v)", after, err)
	}
	if err := b.tasks.Apply(t.Context(), oneBatch(h.events[:past])); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, b.sessionRows(t)); diff != "" {
		t.Errorf("rebuilt (-before +rebuilt):\n%s", diff)
	}
}
