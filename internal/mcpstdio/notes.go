package mcpstdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/client"
)

// holdings are the tasks of the instance that the model knows of. By them the server tells the
// model what it cannot see by itself: tasks that it was assigned, that it has lost and that were
// changed. It tells each of these once, with the next answer.
//
// To look costs one task_get for each task that is held (mostly one), and at most every Options.Look
// a task_list of those that are assigned: the calls of task_list are limited for all agents of a
// token together. Nothing is asked while the model calls nothing.
type holdings struct {
	s *server

	mu     sync.Mutex
	known  map[string]*task // held, by id
	told   map[string]bool  // ids of the assigned tasks that the model knows of
	looked time.Time        // when the assigned tasks were listed
	look   bool             // the instance may hold tasks that the model does not know of
}

// task is what the model knows of a task.
type task struct {
	ID         string          `json:"id"`
	Text       string          `json:"text"`
	Status     string          `json:"status"`
	Priority   int             `json:"priority"`
	AssignedTo string          `json:"assignedTo"`
	Attempt    int             `json:"attempt"`
	Metadata   json.RawMessage `json:"metadata"`

	CancelRequested bool `json:"cancelRequested"`
}

const (
	// lookTime is how long to look. An answer is delayed by at most this.
	lookTime = 2 * time.Second
	// maxHeld is the maximum number of held tasks to look at, and maxListed that of assigned tasks.
	maxHeld, maxListed = 20, 20
)

// count returns the number of tasks that are held.
func (h *holdings) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.known)
}

// lookAgain makes the next look search for tasks that the instance holds unknown to the model.
func (h *holdings) lookAgain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look, h.looked = true, time.Time{}
}

// learn notes what the model learns of its tasks from the answer to a call.
func (h *holdings) learn(tool string, arguments map[string]json.RawMessage, result json.RawMessage, failure *client.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.named(arguments)
	if failure != nil {
		if client.IsNotFound(failure) || client.IsConflict(failure, ended...) {
			delete(h.known, id)
		}
		return
	}
	switch tool {
	case claimTool:
		var claim struct {
			Task  *task
			Tasks []*task
		}
		_ = json.Unmarshal(result, &claim) // a claim of nothing has neither
		if claim.Task != nil && len(claim.Tasks) == 0 {
			claim.Tasks = []*task{claim.Task}
		}
		for _, t := range claim.Tasks {
			h.known[t.ID] = t
			delete(h.told, t.ID) // if it comes back, the model is to know
		}
	case "task_assign":
		var got struct{ InstanceID string }
		if json.Unmarshal(result, &got) == nil && got.InstanceID == h.s.o.ID {
			h.told[id] = true
		}
	case "task_complete", "task_unassign", "task_delete":
		delete(h.known, id)
	case "task_complete_many":
		h.completed(arguments["items"], result)
	case "task_get", "task_update":
		t := new(task)
		if h.known[id] == nil || json.Unmarshal(result, t) != nil {
			return
		}
		if h.known[id] = t; !h.holds(t) {
			delete(h.known, id)
		}
	}
}

// ended are the reasons of conflicts that tell the model that it does not hold the task.
var ended = []string{"ALREADY_FINISHED", "NOT_ASSIGNED", "NOT_OWNER", "STALE_ATTEMPT"}

// completed forgets the tasks that a task_complete_many has finished.
func (h *holdings) completed(items, result json.RawMessage) {
	var sent []json.RawMessage
	var got struct {
		Answers []struct{ Result json.RawMessage }
	}
	if json.Unmarshal(unwrap(items), &sent) != nil || json.Unmarshal(result, &got) != nil {
		return
	}
	for i, item := range sent {
		var members map[string]json.RawMessage
		if i < len(got.Answers) && got.Answers[i].Result != nil && json.Unmarshal(unwrap(item), &members) == nil {
			delete(h.known, h.named(members))
		}
	}
}

// named returns the id of the task that arguments name.
func (h *holdings) named(arguments map[string]json.RawMessage) (id string) {
	for _, name := range []string{"id", "taskId"} {
		if json.Unmarshal(arguments[name], &id) == nil && id != "" {
			return id
		}
	}
	return ""
}

func (h *holdings) holds(t *task) bool {
	return t.Status == "in_progress" && t.AssignedTo == h.s.o.ID
}

// news returns what happened to the instance's tasks that the model does not know. If the
// coordinator does not answer, it returns what it has found, and the next call looks again.
func (h *holdings) news(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return append(h.changes(ctx), h.additions(ctx)...)
}

// changes returns what happened to the tasks that are held.
func (h *holdings) changes(ctx context.Context) (notes []string) {
	h.mu.Lock()
	var held []task
	for _, t := range h.known {
		if len(held) < maxHeld {
			held = append(held, *t)
		}
	}
	h.mu.Unlock()
	now := make([]*task, len(held))
	failures := make([]error, len(held))
	var asking sync.WaitGroup
	for i, t := range held {
		asking.Go(func() {
			now[i] = new(task)
			failures[i] = h.s.o.Coordinator.Call(ctx, "task.get", map[string]any{"id": t.ID}, now[i])
		})
	}
	asking.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, t := range held {
		if known := h.known[t.ID]; known == nil || known.Attempt != t.Attempt {
			continue // another call has told the model
		}
		if note := h.change(&t, now[i], failures[i]); note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

// change returns what happened to one task, and forgets the task if it is lost.
func (h *holdings) change(was, is *task, err error) string {
	gone := client.IsNotFound(err)
	if err != nil && !gone {
		return ""
	}
	const stop = " Stop the work on it; its result would be refused."
	if !gone && h.holds(is) && is.Attempt == was.Attempt {
		h.known[was.ID] = is
		return changed(was, is)
	}
	delete(h.known, was.ID)
	switch {
	case gone:
		return fmt.Sprintf("task %s was deleted.", was.ID) + stop
	case is.Status == "cancelled":
		return fmt.Sprintf("task %s was called off and is cancelled.", was.ID) + stop
	case is.Status == "completed" || is.Status == "failed":
		return fmt.Sprintf("task %s is %s; someone else finished it.", was.ID, is.Status) + stop
	case is.AssignedTo == "":
		return fmt.Sprintf("task %s was taken from you and waits in the queue again.", was.ID) + " Stop the work on it. If you have finished it, call task_complete, whose error says how to hand in the result."
	case is.AssignedTo != h.s.o.ID:
		return fmt.Sprintf("task %s was taken from you; it now belongs to %s.", was.ID, is.AssignedTo) + " Stop the work on it. If you have finished it, call task_complete, whose error says whether the result is still wanted."
	case is.Status == "pending":
		h.told[is.ID] = true
		return fmt.Sprintf("task %s was taken from you and is assigned to you again. Claim it with task_claim before you go on, or call task_complete if you have finished it.", was.ID)
	}
	h.known[is.ID] = is
	return fmt.Sprintf("task %s was claimed again in your name; its attempt is now %d. Pass that attempt to task_complete.", was.ID, is.Attempt)
}

// changed returns how the description of a task that is still held differs from what the model
// knows, and whether it was called off since.
func changed(was, is *task) string {
	var parts []string
	if was.Text != is.Text {
		parts = append(parts, fmt.Sprintf("its text is now %s", quote(is.Text)))
	}
	if string(was.Metadata) != string(is.Metadata) {
		parts = append(parts, "its metadata changed (task_get returns it)")
	}
	if was.Priority != is.Priority {
		parts = append(parts, fmt.Sprintf("its priority is now %d", is.Priority))
	}
	note := ""
	if parts != nil {
		note = fmt.Sprintf("task %s, which you hold, was changed: %s.", was.ID, strings.Join(parts, "; "))
	}
	if is.CancelRequested && !was.CancelRequested {
		note += fmt.Sprintf(" task %s, which you hold, was called off. Stop the work on it and call task_complete with cancelled: true, or with the result if it is done.", was.ID)
	}
	return strings.TrimSpace(note)
}

// additions returns the tasks that the instance was assigned, and those that it holds although the
// model does not know them: claimed by an earlier run of the agent, or by a call whose answer was
// lost.
func (h *holdings) additions(ctx context.Context) (notes []string) {
	h.mu.Lock()
	look, due := h.look, time.Since(h.looked) >= h.s.o.Look
	if due {
		h.looked = time.Now()
	}
	h.mu.Unlock()
	if !due {
		return nil
	}
	waiting, err := h.list(ctx, "pending")
	if err != nil {
		return nil
	}
	var held []*task
	if look {
		if held, err = h.list(ctx, "in_progress"); err != nil {
			return nil
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if look {
		h.look = false
	}
	for _, t := range held {
		if h.known[t.ID] != nil || !h.holds(t) {
			continue
		}
		h.known[t.ID] = t
		notes = append(notes, fmt.Sprintf("you hold task %s since before (attempt %d): %s. Go on with it and pass that attempt to task_complete, or give it back with task_unassign. "+
			"task_get returns all of it.", t.ID, t.Attempt, quote(t.Text)))
	}
	var ids []string
	for _, t := range waiting {
		if t.AssignedTo == h.s.o.ID && !h.told[t.ID] {
			h.told[t.ID] = true
			ids = append(ids, fmt.Sprintf("%s (priority %d: %s)", t.ID, t.Priority, quote(shorten(t.Text))))
		}
	}
	if ids != nil {
		notes = append(notes, "you were assigned "+strings.Join(ids, ", ")+". task_claim returns what is assigned to you first.")
	}
	return notes
}

// shorten returns the beginning of a text.
func shorten(text string) string {
	const most = 60
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// list lists tasks of the instance. Without Postgres it takes them from the snapshot of the fleet,
// which holds up to 200 open tasks.
func (h *holdings) list(ctx context.Context, status string) ([]*task, error) {
	var page struct{ Tasks []*task }
	err := h.s.o.Coordinator.Call(ctx, "task.list", map[string]any{"assignedTo": h.s.o.ID, "status": status, "limit": maxListed}, &page)
	var failed *client.Error
	if !errors.As(err, &failed) || failed.Code != client.CodeInternal {
		return page.Tasks, err
	}
	if err := h.s.o.Coordinator.Call(ctx, "system.get_state", nil, &page); err != nil {
		return nil, err
	}
	var mine []*task
	for _, t := range page.Tasks {
		if t.AssignedTo == h.s.o.ID && t.Status == status && len(mine) < maxListed {
			mine = append(mine, t)
		}
	}
	return mine, nil
}
