package fold

import (
	"github.com/claudebench/claudebench/events"
)

// What ties tasks to each other: those that wait for others, unique keys, and limits.

// reasonDependencies is a reason of task.unblocked.
const reasonDependencies = "dependencies"

// depend folds that a new task depends on others.
func (s step) depend(t *Task) {
	for _, id := range t.options.DependsOn {
		num, ok := TaskNumber(id)
		needed, ended := s.tasks[num], wasDeleted
		if needed != nil {
			ended = outcomes[needed.Status]
		} else if o, _ := s.ended.look(num); o != 0 {
			ended = o
		}
		switch gone := needed == nil && ended == wasDeleted; {
		case gone && (!ok || s.whole || num >= s.base):
			s.tell("task %s depends on %s, which does not exist", t.ID(), id)
		case gone: // it is older than the log
			t.unsure = true
		case needed != nil && needed.Open():
			needed.extras = true
			if t.waits == nil {
				t.waits = map[int64]bool{}
			}
			t.waits[num], t.hadWaits = true, true
			s.dependents[num] = append(s.dependents[num], t)
		case ended != wasCompleted && t.options.OnDependencyFailure != runDependents:
			t.doomed = num
		}
	}
}

// runDependents is the option of a task that runs whatever becomes of those that it depends on.
const runDependents = "run"

// end folds that a task has ended, for those that wait for it and for its keys. outcome is its last
// status, or noTask if it was deleted.
func (s step) end(t *Task, outcome string) {
	for _, dependent := range s.dependents[t.Num] {
		switch {
		case !dependent.Open() || !dependent.waits[t.Num]:
		case outcome == events.StatusCompleted || dependent.options.OnDependencyFailure == runDependents:
			delete(dependent.waits, t.Num)
		default:
			dependent.doomed = t.Num
		}
	}
	delete(s.dependents, t.Num)
	if key := t.options.UniqueKey; key != "" && s.uniques[key] == t.Num {
		delete(s.uniques, key)
	}
}

// unique folds that a task takes its unique key.
func (s step) unique(t *Task) {
	key := t.options.UniqueKey
	if key == "" {
		return
	}
	if other := s.tasks[s.uniques[key]]; other != nil && other != t { // a finished one has no key
		s.tell("task %s has the unique key of task %s, which is %s", t.ID(), other.ID(), other.Describe())
	}
	s.uniques[key] = t.Num
}

// ready checks the status of a task that waits for no time: blocked, or pending.
func (s step) ready(t *Task, status string) {
	if t.partial || t.unsure || !s.whole {
		return
	}
	limit, set := s.limits[t.options.LimitKey]
	full := set && s.limited[t.options.LimitKey] >= limit
	switch blocked := len(t.waits) > 0 || full; {
	case blocked && status == events.StatusPending:
		s.tell("task %s becomes pending, but it must wait for %d tasks, or for its turn", t.ID(), len(t.waits))
	case !blocked && status == events.StatusBlocked:
		s.tell("task %s becomes blocked, but it waits for no task and for no turn", t.ID())
	}
}

// UnderLimit reports whether a task counts for the limit of its key.
func (t *Task) UnderLimit() bool {
	return t.options.LimitKey != "" && (t.Status == events.StatusPending || t.Status == events.StatusInProgress)
}

func (s step) limitChanged(p events.LimitChanged) { s.limits[p.Key] = p.Concurrent }

func (s step) limitDeleted(p events.LimitDeleted) {
	if _, set := s.limits[p.Key]; !set && s.whole {
		s.tell("there was no limit %s", p.Key)
	}
	delete(s.limits, p.Key)
}
