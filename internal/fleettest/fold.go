package fleettest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
)

// Fold is the state according to the log, with the laws that events obey. It is written only from
// the events' documentation, so that it and the scripts check each other.
type Fold struct {
	Seq       int64
	At        int64 // time of the last event, ms
	Tasks     map[string]*FoldTask
	deleted   map[string]bool
	Instances map[string]*foldInstance
	Leader    string // the last elected, "" after it left or died
	Term      int64
	Limits    map[string]int64 // how many tasks of a key may be pending or in progress
	// afterFlush is set after a flush, which resets the last term. Terms continue to rise.
	afterFlush bool
	Broken     []string
	// Paused are the paused queues by role set, * for all.
	Paused map[string]bool
	// early is a task that its owner has claimed in a pause: the next event must end it.
	early string

	Schedules map[string]*FoldSchedule
	// announced is the task that the next event must create, because a schedule was fired.
	announced string
	// tampered is set if Redis has other next ticks than the log.
	tampered bool
}

// NewFold returns the fold of an empty log.
func NewFold() *Fold {
	return &Fold{Tasks: map[string]*FoldTask{}, deleted: map[string]bool{}, Instances: map[string]*foldInstance{}, Limits: map[string]int64{}, Paused: map[string]bool{}, Schedules: map[string]*FoldSchedule{}}
}

// Stopped reports whether nothing may be claimed from the queue of a role set.
func (f *Fold) Stopped(roleset string) bool { return f.Paused["*"] || f.Paused[roleset] }

func (f *Fold) applyPause(e Event, p Payload) {
	queue := "*"
	if p.Roles != nil {
		if queue = jsontext.Array(p.Roles); queue == "[]" {
			queue = ""
		}
	}
	if paused := e.Type == "queue.paused"; f.Paused[queue] == paused {
		f.breaks(e, "the paused queues were %v", f.Paused)
	} else if paused {
		f.Paused[queue] = true
	} else {
		delete(f.Paused, queue)
	}
}

// Payload has every member that the fold reads, of any event.
type Payload struct {
	ID, TaskID, InstanceID, WorkerID string
	Text, Status, Reason             string
	PreviousStatus                   string
	PreviousAssignment               *string
	Priority                         int
	PreviousPriority                 int
	Attempt, Term                    int64
	Metadata, Result, Error          json.RawMessage
	Roles, PreviousRoles             []string
	SessionID                        *string `json:"sessionId"`
	Resumed, BecameLeader            bool
	Previous                         *string
	Duration, Waited                 *int64
	CreatedAt, UpdatedAt             string
	AssignedAt, UnassignedAt         string
	ClaimedAt, CompletedAt           string
	DeletedAt                        string
	RunAt, TimeoutAt, CancelAt       string
	RequestedAt, ProgressedAt        string
	Failures, Losses, TimeoutMs      int64
	Percent, Data, By                json.RawMessage
	Message                          json.RawMessage
	Why                              string `json:"-"`
	Retry                            *Retry
	DependsOn                        []string
	OnDependencyFailure              string
	UniqueKey, LimitKey, Key         string
	Concurrent                       int64
	Changes                          struct {
		Text     *string
		Priority *int
		Metadata json.RawMessage // of version 1
		// MetadataChanges are members that replace those of the metadata.
		MetadataChanges json.RawMessage
	}
}

// Text decodes a JSON string, and returns "" for anything else.
func Text(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (f *Fold) breaks(e Event, format string, args ...any) {
	f.Broken = append(f.Broken, e.ID+" "+e.Type+" "+string(e.Payload)+": "+fmt.Sprintf(format, args...))
}

// Apply folds an event. An event that it has seen before changes nothing.
func (f *Fold) Apply(e Event) {
	if e.Seq <= f.Seq {
		return
	}
	f.Seq, f.At = e.Seq, e.Timestamp
	var p Payload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		f.breaks(e, "%v", err)
		return
	}
	at := time.UnixMilli(e.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z")
	if e.Type == "task.cancelled" || e.Type == "task.cancel_requested" {
		p.Why, p.Reason = jsontext.Texts(e.Payload, "reason")[0], ""
	}
	for _, moment := range []string{p.RequestedAt, p.ProgressedAt, p.AssignedAt, p.UnassignedAt, p.ClaimedAt, p.CompletedAt, p.DeletedAt, p.UpdatedAt} {
		if moment != "" && moment != at {
			f.breaks(e, "says %s and happened at %s", moment, at)
		}
	}
	f.fulfil(e, p.ID)
	switch e.Type {
	case "instance.registered", "instance.unregistered", "instance.failed", "leader.elected":
		f.applyInstance(e, p, at)
	case "task.created":
		if f.Tasks[p.ID] != nil || f.deleted[p.ID] || p.ID != fmt.Sprintf("t-%d", e.Seq) || p.CreatedAt != at ||
			p.Status == "scheduled" && p.RunAt == "" {
			f.breaks(e, "not a new task")
		}
		t := &FoldTask{
			ID: p.ID, Text: p.Text, Status: p.Status, Priority: p.Priority, Metadata: Text(p.Metadata),
			CreatedAt: at, UpdatedAt: at, Seq: e.Seq, RunAt: p.RunAt, Retry: p.Retry, TimeoutMs: p.TimeoutMs,
			Extras:              e.V == 2,
			OnDependencyFailure: p.OnDependencyFailure, Waits: map[string]bool{}, UniqueKey: p.UniqueKey, LimitKey: p.LimitKey,
		}
		f.depend(e, t, p.DependsOn)
		for _, other := range f.Tasks {
			if p.UniqueKey != "" && other.Open() && other.UniqueKey == p.UniqueKey {
				f.breaks(e, "%s has the same key", other.ID)
			}
		}
		if p.Status != "scheduled" && p.Status != f.ready(t) {
			f.breaks(e, "it must be %s", f.ready(t))
		}
		t.Roleset = params.RoleSet(api.Object(t.Metadata))
		f.Tasks[p.ID] = t
	case "limit.changed":
		f.Limits[p.Key] = p.Concurrent
	case "limit.deleted":
		if _, ok := f.Limits[p.Key]; !ok {
			f.breaks(e, "no such limit")
		}
		delete(f.Limits, p.Key)
	case "queue.paused", "queue.resumed":
		f.applyPause(e, p)
	case "schedule.changed", "schedule.fired", "schedule.deleted":
		f.applySchedule(e, at)
	case "circuit.opened", "circuit.closed": // they do not concern tasks and instances
	case "system.flushed":
		seq, tampered := f.Seq, f.tampered
		*f = *NewFold()
		f.Seq, f.afterFlush, f.tampered = seq, true, tampered
	case "batch.started", "batch.progressed", "batch.completed", "quorum.voted", "quorum.decision.made":
		// They change no task and no instance: the tasks of a batch have their own events.
	default:
		if strings.HasPrefix(e.Type, "hook.") || e.Type == "todo.updated" {
			return // what agents do changes no task and no instance
		}
		f.applyTask(e, p, at)
	}
}
