package fold

import (
	"slices"

	"github.com/claudebench/claudebench/events"
)

// noTask is the state of a task before its creation and after its deletion.
const noTask = ""

// transitions is the table of docs/guarantees.md: for each event of a task and each state in which
// the event is lawful, the states that may follow.
var transitions = map[events.Type]map[string][]string{
	events.TypeTaskCreated: {noTask: {events.StatusScheduled, events.StatusBlocked, events.StatusPending}},
	events.TypeTaskUpdated: {
		events.StatusScheduled: {events.StatusScheduled}, events.StatusBlocked: {events.StatusBlocked},
		events.StatusPending: {events.StatusPending}, events.StatusInProgress: {events.StatusInProgress},
		events.StatusCompleted: {events.StatusCompleted}, events.StatusFailed: {events.StatusFailed},
		events.StatusCancelled: {events.StatusCancelled},
	},
	events.TypeTaskDeleted: {
		events.StatusScheduled: {noTask}, events.StatusBlocked: {noTask}, events.StatusPending: {noTask}, events.StatusInProgress: {noTask},
		events.StatusCompleted: {noTask}, events.StatusFailed: {noTask}, events.StatusCancelled: {noTask},
	},
	events.TypeTaskDue:       {events.StatusScheduled: {events.StatusBlocked, events.StatusPending}},
	events.TypeTaskUnblocked: {events.StatusBlocked: {events.StatusBlocked, events.StatusPending}},
	events.TypeTaskBlocked:   {events.StatusPending: {events.StatusBlocked}},
	events.TypeTaskAssigned: {
		events.StatusPending: {events.StatusPending}, events.StatusInProgress: {events.StatusPending},
	},
	events.TypeTaskUnassigned: {
		events.StatusPending: {events.StatusPending}, events.StatusInProgress: {events.StatusPending},
	},
	events.TypeTaskClaimed:         {events.StatusPending: {events.StatusInProgress}},
	events.TypeTaskProgressed:      {events.StatusInProgress: {events.StatusInProgress}},
	events.TypeTaskCancelRequested: {events.StatusInProgress: {events.StatusInProgress}},
	events.TypeTaskTimedOut:        {events.StatusInProgress: {events.StatusInProgress}},
	events.TypeTaskCompleted:       {events.StatusInProgress: {events.StatusCompleted}},
	events.TypeTaskFailed:          {events.StatusInProgress: {events.StatusFailed}},
	events.TypeTaskRetried:         {events.StatusInProgress: {events.StatusScheduled}},
	events.TypeTaskCancelled: {
		events.StatusScheduled: {events.StatusCancelled}, events.StatusBlocked: {events.StatusCancelled},
		events.StatusPending: {events.StatusCancelled}, events.StatusInProgress: {events.StatusCancelled},
	},
	events.TypeTaskRevived: {
		events.StatusFailed:    {events.StatusBlocked, events.StatusPending},
		events.StatusCancelled: {events.StatusBlocked, events.StatusPending},
	},
}

// may reports whether the event may bring a task from its state to another.
func (s step) may(t *Task, to string) bool {
	return slices.Contains(transitions[s.e.Type][t.Status], to)
}

// lawful reports the violation if it may not, and returns whether it may.
func (s step) lawful(t *Task, to string) bool {
	if s.may(t, to) {
		return true
	}
	if to == t.Status {
		s.tell("task %s cannot have this event while it is %s", t.ID(), t.Describe())
	} else {
		s.tell("task %s cannot become %s while it is %s", t.ID(), to, t.Describe())
	}
	return false
}
