package timetravel

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/position"
)

// State returns the state of the fleet at a position, as the log says. The open position is the end of
// the log. The error wraps ErrBefore if the log does not reach back so far, and ErrTooLarge if the fold
// would hold too much.
func State(ctx context.Context, o Options, at position.Position) (*api.PastState, error) {
	t, err := begin(ctx, o)
	if err == nil {
		defer t.fold.Close()
		err = t.reaches(at)
	}
	if err == nil {
		err = t.to(ctx, []position.Position{at}, func() {}, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("state of the fleet: %w", err)
	}
	state := t.state()
	if err := t.fold.Err(); err != nil {
		return nil, fmt.Errorf("state of the fleet: %w", err)
	}
	return state, nil
}

// statuses are the statuses of tasks in the order in which they are shown.
var statuses = []string{
	events.StatusScheduled, events.StatusBlocked, events.StatusPending, events.StatusInProgress, events.StatusCompleted, events.StatusFailed,
	events.StatusCancelled,
}

func (t *traveller) state() *api.PastState {
	f := t.fold
	s := &api.PastState{
		At: t.moment(), Statuses: map[string]int64{}, Places: map[string]int64{}, Queues: []api.PastQueue{}, Instances: []api.PastInstance{},
		Tasks: []api.PastTask{}, Notes: t.told(),
	}
	s.Leader, s.Term = f.Leader()
	for _, status := range statuses {
		s.Statuses[status] = f.Count(status)
	}
	s.Queues = queues(f)
	for key, limit := range f.Limits() {
		s.Limits = append(s.Limits, api.PastLimit{Key: key, Concurrent: limit, Running: f.Limited(key)})
	}
	for c := range f.Schedules() {
		s.Schedules = append(s.Schedules, api.PastSchedule{
			ID: c.ID, Cron: c.Cron, Timezone: c.Timezone, Paused: c.Paused, NextTick: fold.ISO(c.Next), Fired: c.Fired,
		})
	}
	for i := range f.Instances() {
		if !i.Registered {
			continue
		}
		if s.Totals.Instances++; s.Totals.Instances <= int64(t.Limit) {
			s.Instances = append(s.Instances, instanceOf(f, i))
		}
	}
	t.openTasks(s)
	return s
}

// openTasks adds the open tasks, and the totals and cuts of the lists that are complete so far.
func (t *traveller) openTasks(s *api.PastState) {
	var open []*fold.Task
	for task := range t.fold.Open() {
		s.Places[place(task)]++
		open = append(open, task)
	}
	slices.SortFunc(open, func(a, b *fold.Task) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Num, b.Num))
	})
	s.Totals.Tasks = int64(len(open))
	for _, task := range open[:min(len(open), t.Limit)] {
		s.Tasks = append(s.Tasks, taskOf(task))
	}
	s.Totals.Queues, s.Totals.Limits, s.Totals.Schedules = int64(len(s.Queues)), int64(len(s.Limits)), int64(len(s.Schedules))
	s.Queues = s.Queues[:min(len(s.Queues), t.Limit)]
	s.Limits = s.Limits[:min(len(s.Limits), t.Limit)]
	s.Schedules = s.Schedules[:min(len(s.Schedules), t.Limit)]
}

// queues returns the queues that have tasks or a pause, by role set.
func queues(f *fold.Fold) []api.PastQueue {
	waiting := map[string]int64{}
	for set := range f.RoleSets() {
		waiting[set] = f.Waiting(set)
	}
	waiting[""] = f.Waiting("")
	pauses := map[string]string{}
	for queue, pause := range f.Pauses() {
		if pause != "" {
			pauses[queue] = pause
		}
	}
	list := []api.PastQueue{}
	for _, name := range names(waiting, pauses) {
		if waiting[name] == 0 && pauses[name] == "" {
			continue
		}
		roles := name
		switch name {
		case fold.AllQueues:
			roles = "null"
		case "":
			roles = "[]"
		}
		list = append(list, api.PastQueue{Roles: api.Value(roles), Waiting: waiting[name], Pause: api.Object(pauses[name])})
	}
	return list
}

func instanceOf(f *fold.Fold, i *fold.Instance) api.PastInstance {
	leader, _ := f.Leader()
	roles := i.Roles
	if roles == "" {
		roles = "[]" // it registered before the log begins
	}
	return api.PastInstance{
		ID: i.ID, Roles: api.Value(roles), Status: i.Status, SessionID: i.Session, RegisteredAt: fold.ISO(i.RegisteredAt),
		IsLeader: i.ID == leader, InProgress: i.Active(), Assigned: i.Assigned(),
	}
}

// places are the names of the kinds of queues.
var places = map[fold.Kind]string{
	fold.KindWaiting: "waiting", fold.KindAssigned: "assigned", fold.KindActive: "active", fold.KindScheduled: "scheduled",
	fold.KindBlocked: "blocked", fold.KindOrphaned: "orphaned",
}

func place(t *fold.Task) string {
	if name := places[t.Kind()]; name != "" {
		return name
	}
	return "unknown" // it is older than the log
}

// maxText is how many characters of a task's text are told.
const maxText = 200

func taskOf(t *fold.Task) api.PastTask {
	text := t.Text
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText-1]) + "…"
	}
	p := api.PastTask{
		ID: t.ID(), Text: text, Status: t.Status, Priority: t.Priority, AssignedTo: t.AssignedTo, Attempt: t.Attempt,
		LimitKey: t.LimitKey(), Failures: t.Failures, Losses: t.Losses,
	}
	if t.Roleset != "" {
		p.Roles = api.Value(t.Roleset)
	}
	if at, ok := t.Deadline(); ok {
		p.Deadline = fold.ISO(at)
	}
	since := t.QueuedAt
	switch {
	case !t.Open():
		since = t.CompletedAt
	case t.Status == events.StatusInProgress:
		since = t.ClaimedAt
	case t.Status == events.StatusScheduled:
		p.RunAt = fold.ISO(t.RunAt)
	}
	p.Since = fold.ISO(since)
	if t.Open() {
		p.Place = place(t)
	}
	return p
}
