package fold

import (
	"strings"

	"github.com/claudebench/claudebench/events"
)

// autoReasons are the reasons of auto-assignments. Another worker's claim may take such a task if
// it finds no other one.
var autoReasons = map[string]bool{
	events.ReasonInstanceRegistered: true, events.ReasonInstanceUnregistered: true, events.ReasonInstanceFailed: true,
}

// own changes a task's status, owner and queue.
func (s step) own(t *Task, status, owner string, kind Kind) *Instance {
	s.take(t)
	s.tally(t, -1)
	t.Status, t.AssignedTo, t.Auto = status, owner, false
	s.tally(t, +1)
	s.touch(t)
	var holder *Instance
	if owner != "" || kind == KindAssigned || kind == KindActive {
		holder = s.instance(owner) // "" is reported as not registered
	}
	if kind != KindNone {
		s.put(t, kind, holder)
	}
	return holder
}

func (s step) assigned(p events.TaskAssigned) {
	t := s.find(p.TaskID, Task{Status: p.PreviousStatus, AssignedTo: s.taken(p.Reason, p), Priority: -1, Attempt: -1})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	again := p.Reason == events.ReasonSessionChanged || p.Reason == events.ReasonRolesChanged
	switch {
	case !s.may(t, events.StatusPending) && !t.Open():
		s.tell("task %s is already finished: it is %s", p.TaskID, t.Describe())
	case !s.lawful(t, events.StatusPending):
	case t.AssignedTo == "":
	case again && t.AssignedTo == p.InstanceID && t.in == KindOrphaned:
	case p.Reason == events.ReasonRebalanced && t.AssignedTo != p.InstanceID && t.in == KindAssigned:
		if deref(p.PreviousAssignment) != t.AssignedTo {
			s.tell("task %s is taken from %s, but the event says that %s had it", p.TaskID, t.AssignedTo, orNobody(deref(p.PreviousAssignment)))
		}
		if !t.Auto && !t.partial {
			s.tell("task %s is taken from %s, but a caller assigned it, so it must not be rebalanced", p.TaskID, t.AssignedTo)
		}
	default:
		s.tell("task %s is assigned to %s (%s) while it is %s", p.TaskID, p.InstanceID, p.Reason, t.Describe())
	}
	if (autoReasons[p.Reason] || p.Reason == events.ReasonRebalanced) && s.stopped(t) {
		s.tell("task %s is assigned to %s (%s) while its queue is paused", p.TaskID, p.InstanceID, p.Reason)
	}
	victim := t.holder
	if t.Status != events.StatusPending {
		t.QueuedAt = s.e.Timestamp
	}
	i := s.own(t, events.StatusPending, p.InstanceID, KindAssigned)
	s.fit(t, i)
	if autoReasons[p.Reason] {
		t.Auto = true
		i.auto++
	}
	t.AssignedSeq, t.PreviousAssignment = s.e.Seq, ""
	s.lost(t, p.Losses)
	s.settle(p.InstanceID)
	if victim != nil {
		s.settle(victim.ID)
	}
}

// taken returns the owner that a task must have had before it was assigned, if the task is older
// than the log.
func (s step) taken(reason string, p events.TaskAssigned) string {
	switch reason {
	case events.ReasonRebalanced:
		return deref(p.PreviousAssignment)
	case events.ReasonSessionChanged, events.ReasonRolesChanged:
		return p.InstanceID
	}
	return ""
}

// fit checks that an instance has the roles that a task requires.
func (s step) fit(t *Task, i *Instance) {
	switch {
	case !i.Registered:
		s.tell("task %s is assigned to %s, which is not registered", t.ID(), i.ID)
	case !i.partial && !i.fits(t.Roleset):
		s.tell("task %s requires roles %s, but %s has %s", t.ID(), t.Roleset, i.ID, i.Roles)
	}
}

func (s step) unassigned(p events.TaskUnassigned) {
	t := s.find(p.TaskID, Task{Status: p.PreviousStatus, AssignedTo: p.InstanceID, Priority: -1, Attempt: -1})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	if t.AssignedTo != p.InstanceID {
		s.tell("task %s is taken from %s while it is %s", p.TaskID, p.InstanceID, t.Describe())
	}
	if !t.Open() {
		s.tell("task %s is already finished: it is %s", p.TaskID, t.Describe())
	} else {
		s.lawful(t, events.StatusPending)
	}
	s.own(t, events.StatusPending, "", KindWaiting)
	t.QueuedAt, t.ClaimedAt, t.AssignedSeq, t.PreviousAssignment = s.e.Timestamp, 0, 0, p.InstanceID
	s.lost(t, p.Losses)
	// requeue_orphans does not settle an instance that left or died, even if it is registered
	// again.
	if p.Reason != events.ReasonInstanceFailed && p.Reason != events.ReasonInstanceUnregistered {
		s.settle(p.InstanceID)
	}
}

func (s step) claimed(p events.TaskClaimed) {
	t := s.find(p.TaskID, Task{Status: events.StatusPending, Priority: -1, Attempt: p.Attempt - 1})
	if t == nil {
		return
	}
	switch {
	case !s.may(t, events.StatusInProgress) || p.PreviousStatus != events.StatusPending:
		s.tell("task %s is claimed by %s while it is %s", p.TaskID, p.WorkerID, t.Describe())
	case t.AssignedTo != "" && t.AssignedTo != p.WorkerID:
		s.tell("task %s is claimed by %s while it is assigned to %s", p.TaskID, p.WorkerID, t.AssignedTo)
	}
	if t.Attempt >= 0 && p.Attempt != t.Attempt+1 {
		s.tell("task %s is claimed as attempt %d after attempt %d", p.TaskID, p.Attempt, t.Attempt)
	}
	if !t.partial && p.Waited != s.e.Timestamp-t.QueuedAt {
		s.tell("task %s waited %d ms, but the event says %d", p.TaskID, s.e.Timestamp-t.QueuedAt, p.Waited)
	}
	waited := t.in == KindWaiting
	if s.stopped(t) {
		s.claimedInPause(t, waited)
	}
	i := s.own(t, events.StatusInProgress, p.WorkerID, KindActive)
	if waited {
		s.fit(t, i)
	} else if !i.Registered {
		s.tell("task %s is assigned to %s, which is not registered", p.TaskID, p.WorkerID)
	}
	t.Attempt, t.Waited = p.Attempt, p.Waited
	t.ClaimedAt, t.LastClaim = s.e.Timestamp, s.e.Timestamp
	t.AssignedSeq, t.PreviousAssignment = s.e.Seq, ""
	s.begun(t, p.TimeoutAt)
	s.settle(p.WorkerID)
}

// finished folds task.completed and task.failed, which differ only in the error.
func (s step) finished(p events.TaskFailed) {
	t := s.find(p.ID, Task{Status: events.StatusInProgress, AssignedTo: p.WorkerID, Priority: -1, Attempt: p.Attempt})
	if t == nil {
		return
	}
	status := events.StatusCompleted
	if s.e.Type == events.TypeTaskFailed {
		status = events.StatusFailed
	}
	switch {
	case !t.Open():
		s.tell("task %s is finished a second time: it is %s", p.ID, t.Describe())
	case !s.may(t, status):
		s.tell("task %s is finished by %s while it is %s", p.ID, p.WorkerID, t.Describe())
	case t.AssignedTo != p.WorkerID:
		s.tell("task %s is finished by %s while it is %s", p.ID, p.WorkerID, t.Describe())
	case t.Attempt >= 0 && t.Attempt != p.Attempt:
		s.tell("task %s is finished as attempt %d during attempt %d", p.ID, p.Attempt, t.Attempt)
	}
	if !t.partial && p.Duration != s.e.Timestamp-t.ClaimedAt {
		s.tell("task %s ran for %d ms, but the event says %d", p.ID, s.e.Timestamp-t.ClaimedAt, p.Duration)
	}
	s.leave(t)
	s.own(t, status, p.WorkerID, KindNone)
	s.end(t, status)
	if status == events.StatusFailed && s.e.V >= 2 {
		if !t.partial && (p.Losses < t.Losses || p.Losses > t.Losses+1) {
			s.tell("task %s was lost %d times, but the event says %d", p.ID, t.Losses, p.Losses)
		}
		if p.Losses > 0 && strings.HasPrefix(string(p.Error), `{"reason":"WORKER_LOST",`) {
			s.counted["tasksLost"]++
		}
		t.Losses = p.Losses
		s.failed(t, failure{p.WorkerID, p.Attempt, p.Failures, document(p.Error)})
	}
	t.Result, t.Error = document(p.Result), document(p.Error)
	t.Attempt, t.Duration, t.CompletedAt = p.Attempt, p.Duration, s.e.Timestamp
	s.settle(p.WorkerID)
}
