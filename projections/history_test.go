package projections_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// history writes a valid log and keeps the expected result in a model that does not know batches.
type history struct {
	events    []events.Envelope
	now       int64
	seq       int64
	tasks     map[string]*task
	ids       []string         // of the existing tasks
	left      map[string]*task // the rows that flushes left in Postgres
	instances map[string][]string
	sessions  map[string]string // of the instances that have one
	leader    string
	term      int64
	had       map[string]bool // statuses that not every fleet uses, which some task has or had
}

type task struct {
	id, status, assignedTo, lastOwner, text, metadata, result, err string
	priority, attempt                                              int64
	created, updated, claimed, completed                           int64
	waited, duration, seq                                          int64
	extras
}

// extras are what only some tasks have.
type extras struct {
	options, progress, cancellation string   // JSON text
	errors                          []string // JSON text
	failures, losses                int64
	runAt, timeoutAt                int64 // ms
	timeout                         int64 // ms, of the options
}

func newHistory() *history {
	h := &history{now: 1_700_000_000_000, left: map[string]*task{}}
	h.clear()
	return h
}

func (h *history) clear() {
	h.tasks, h.ids, h.instances, h.leader, h.term = map[string]*task{}, nil, map[string][]string{}, "", 0
	h.sessions = map[string]string{}
	h.had = map[string]bool{}
}

func (h *history) emit(typ events.Type, payload any) events.Envelope {
	raw, err := events.EncodePayload(payload)
	if err != nil {
		panic(err)
	}
	h.seq++
	id := events.ID{MS: h.now, Seq: h.seq}
	version, _ := events.Version(typ)
	switch p := payload.(type) { // the scripts write the lowest version that will do
	case events.TaskUpdated:
		if p.Changes.Metadata != nil {
			version = 1
		}
	case events.TaskCreated:
		if p.RunAt == nil && p.Retry == nil && p.TimeoutMs == 0 {
			version = 1
		}
	case events.TaskClaimed:
		if p.TimeoutAt == nil {
			version = 1
		}
	case events.TaskFailed:
		if p.Failures == 0 { // as an earlier program wrote it
			version = 1
		}
	}
	e := events.Envelope{ID: id, Seq: id.Seq, Type: typ, V: version, Timestamp: id.MS, Actor: "test", Payload: raw}
	h.events = append(h.events, e)
	var status struct{ Status, PreviousStatus string }
	_ = json.Unmarshal(raw, &status)
	for _, status := range []string{status.Status, status.PreviousStatus} {
		switch status {
		case events.StatusScheduled, events.StatusBlocked, events.StatusCancelled:
			h.had[status] = true
		}
	}
	return e
}

func (h *history) create(text string, priority int64, metadata string) string {
	id := fmt.Sprintf("t-%d", h.seq+1)
	null := json.RawMessage("null")
	e := h.emit(events.TypeTaskCreated, events.TaskCreated{
		ID: id, Text: text, Status: events.StatusPending, Priority: priority,
		Metadata: json.RawMessage(metadata), Result: null, Error: null,
	})
	h.tasks[id] = &task{
		id: id, status: events.StatusPending, text: text, metadata: metadata, priority: priority,
		created: e.Timestamp, updated: e.Timestamp, seq: e.Seq,
	}
	h.ids = append(h.ids, id)
	return id
}

func (h *history) touch(t *task, e events.Envelope) { t.updated, t.seq = e.Timestamp, e.Seq }

func (h *history) update(id string, changes events.TaskChanges) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskUpdated, events.TaskUpdated{
		ID: id, Changes: changes, PreviousPriority: t.priority, Status: t.status, UpdatedBy: "test",
	})
	if changes.Text != nil {
		t.text = *changes.Text
	}
	if changes.Priority != nil {
		t.priority = *changes.Priority
	}
	if changes.Metadata != nil {
		t.metadata = string(changes.Metadata)
	}
	if changes.MetadataChanges != nil {
		t.metadata = string(jsontext.Merge([]byte(none(t.metadata)), changes.MetadataChanges))
	}
	h.touch(t, e)
}

// assign assigns a task as the scripts do: the event names the last owner, and its reason says
// whether the task is taken from that owner now.
func (h *history) assign(id, instance string) {
	t := h.tasks[id]
	last, reason := t.lastOwner, events.ReasonRequested
	if t.assignedTo != "" {
		last, reason = t.assignedTo, events.ReasonRebalanced
	}
	e := h.emit(events.TypeTaskAssigned, events.TaskAssigned{
		TaskID: id, InstanceID: instance, PreviousAssignment: optional(last), Reason: reason,
		Status: events.StatusPending, PreviousStatus: t.status,
	})
	t.status, t.assignedTo, t.timeoutAt = events.StatusPending, instance, 0
	h.touch(t, e)
}

func (h *history) unassign(id string) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskUnassigned, events.TaskUnassigned{
		TaskID: id, InstanceID: t.assignedTo, PreviousAssignment: optional(t.assignedTo), Reason: events.ReasonReleased,
		Status: events.StatusPending, PreviousStatus: t.status,
	})
	t.status, t.assignedTo, t.lastOwner, t.timeoutAt = events.StatusPending, "", t.assignedTo, 0
	h.touch(t, e)
}

func (h *history) claim(id, worker string) {
	t := h.tasks[id]
	t.progress, t.timeoutAt = "", 0
	if t.timeout != 0 {
		t.timeoutAt = h.now + t.timeout
	}
	e := h.emit(events.TypeTaskClaimed, events.TaskClaimed{
		TaskID: id, WorkerID: worker, Attempt: t.attempt + 1, PreviousAssignment: optional(t.assignedTo),
		Status: events.StatusInProgress, PreviousStatus: t.status, Waited: h.now - t.updated, TimeoutAt: optional(stamp(t.timeoutAt)),
	})
	t.waited, t.claimed = h.now-t.updated, h.now
	t.status, t.assignedTo, t.attempt = events.StatusInProgress, worker, t.attempt+1
	h.touch(t, e)
}

// finish completes a task, or fails it if failure is not "".
func (h *history) finish(id, result, failure string) {
	t := h.tasks[id]
	t.duration, t.completed, t.result, t.err, t.timeoutAt = h.now-t.claimed, h.now, result, failure, 0
	var e events.Envelope
	if failure == "" {
		t.status = events.StatusCompleted
		e = h.emit(events.TypeTaskCompleted, events.TaskCompleted{
			ID: id, Status: t.status, WorkerID: t.assignedTo, Attempt: t.attempt, Duration: t.duration,
			Result: json.RawMessage(result), PreviousStatus: events.StatusInProgress,
		})
	} else {
		t.status = events.StatusFailed
		h.fail(t, failure)
		e = h.emit(events.TypeTaskFailed, events.TaskFailed{
			ID: id, Status: t.status, WorkerID: t.assignedTo, Attempt: t.attempt, Duration: t.duration,
			Error: json.RawMessage(failure), Result: json.RawMessage(result), PreviousStatus: events.StatusInProgress,
			Failures: t.failures, Losses: t.losses,
		})
	}
	h.touch(t, e)
}

func (h *history) remove(id string) {
	t := h.tasks[id]
	h.emit(events.TypeTaskDeleted, events.TaskDeleted{
		ID: id, DeletedBy: "test", PreviousStatus: t.status, PreviousAssignment: optional(t.assignedTo),
	})
	delete(h.tasks, id)
	for i, other := range h.ids {
		if other == id {
			h.ids = append(h.ids[:i:i], h.ids[i+1:]...)
			break
		}
	}
}

func (h *history) register(id string, roles ...string) { h.registerWith("", id, roles...) }

// registerWith registers an instance with a session, "" for none.
func (h *history) registerWith(session, id string, roles ...string) {
	if roles == nil {
		roles = []string{}
	}
	h.emit(events.TypeInstanceRegistered, events.InstanceRegistered{
		ID: id, Roles: roles, BecameLeader: h.leader == "", Timestamp: h.now,
		Metadata: json.RawMessage("null"), PreviousRoles: h.instances[id], SessionID: optional(session),
		Resumed: session != "" && session == h.sessions[id],
	})
	h.sessions[id] = session
	h.instances[id] = roles
	if h.leader == "" {
		h.elect(id)
	}
}

func (h *history) elect(id string) {
	h.term++
	h.emit(events.TypeLeaderElected, events.LeaderElected{ID: id, Term: h.term, Previous: optional(h.leader)})
	h.leader = id
}

func (h *history) leave(id string, failed bool) {
	if failed {
		h.emit(events.TypeInstanceFailed, events.InstanceFailed{ID: id, Roles: h.instances[id], TasksReassigned: 1})
	} else {
		h.emit(events.TypeInstanceUnregistered, events.InstanceUnregistered{ID: id, Roles: h.instances[id], TasksReassigned: 1, SessionID: optional(h.sessions[id])})
	}
	delete(h.sessions, id)
	delete(h.instances, id)
	if h.leader == id {
		h.leader = ""
	}
}

func (h *history) flush(postgres bool) {
	flushed := events.SystemFlushed{FirstSeq: 1, LastSeq: h.seq}
	if postgres {
		flushed.Postgres = &events.FlushedPostgres{TasksDeleted: int64(len(h.tasks) + len(h.left))}
		clear(h.left)
	} else {
		maps.Copy(h.left, h.tasks)
	}
	h.emit(events.TypeSystemFlushed, flushed)
	h.clear()
}

// hook reports a step of a session.
func (h *history) hook(typ events.Type, session string, change func(*events.Hook)) {
	p := events.Hook{Source: events.HookSourceClaudeCode, Name: "X", SessionID: &session, Content: json.RawMessage("null")}
	for instance, of := range h.sessions {
		if of == session && (p.InstanceID == nil || instance < *p.InstanceID) {
			p.InstanceID = &instance
		}
	}
	if change != nil {
		change(&p)
	}
	h.emit(typ, p)
}

// use reports that a session used a tool for some ms.
func (h *history) use(session, tool string, ms int64, outcome string) {
	h.hook(events.TypeHookToolRequested, session, func(p *events.Hook) { p.Tool = &tool })
	h.now += min(max(ms, 0), 10_000)
	h.hook(events.TypeHookToolFinished, session, func(p *events.Hook) { p.Tool, p.DurationMS, p.Outcome = &tool, &ms, &outcome })
}

func (h *history) decide(session, tool, decision string) {
	h.emit(events.TypeHookDecided, events.HookDecided{
		Source: events.HookSourceClaudeCode, Name: "PreToolUse", SessionID: &session, Tool: &tool, Decision: decision, Rule: 1,
	})
}

func (h *history) plan(session string, todos ...events.Todo) {
	h.emit(events.TypeTodoUpdated, events.TodoUpdated{Source: events.HookSourceClaudeCode, SessionID: session, Todos: todos})
}

// state returns the expected global state without its last event.
func (h *history) state() map[string]string {
	counts := map[string]int{}
	for _, status := range []string{"pending", "in_progress", "completed", "failed"} {
		counts["tasks."+status] = 0
	}
	for status := range h.had {
		counts["tasks."+status] = 0
	}
	counts["tasks.total"], counts["tasks.assigned"], counts["instances"] = len(h.tasks), 0, len(h.instances)
	for _, t := range h.tasks {
		counts["tasks."+t.status]++
		if t.status == events.StatusPending && t.assignedTo != "" {
			counts["tasks.assigned"]++
		}
	}
	for _, roles := range h.instances {
		for _, role := range slices.Compact(slices.Sorted(slices.Values(roles))) { // each once
			counts["role."+role]++
		}
	}
	want := map[string]string{}
	for field, n := range counts {
		want[field] = fmt.Sprint(n)
	}
	last := h.events[len(h.events)-1]
	want["version"], want["checkpoint"] = fmt.Sprint(last.Seq), last.ID.String()
	want["lastEvent"], want["lastEventId"] = string(last.Type), last.ID.String()
	want["lastEventAt"] = last.Time().Format(events.TimeLayout)
	if h.leader != "" {
		want["leader"] = h.leader
	}
	if h.term != 0 {
		want["term"] = fmt.Sprint(h.term)
	}
	return want
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
