package projections

import (
	"context"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

// State is the projection into the hash of the global state, which survives a flush and starts anew
// at it. Its fields:
//
//	version                      seq of the last event applied
//	checkpoint                   its ID
//	log                          the identity of its log
//	lastEvent, lastEventId, lastEventAt   its type, its ID, and its time as ISO 8601
//	tasks.total                  tasks that were created and not deleted
//	tasks.<status>               the same by status: pending, in_progress, completed, failed; and
//	                             scheduled, blocked, cancelled, once there was such a task
//	tasks.assigned               pending ones that are assigned to an instance
//	instances, role.<role>       registered instances, all and by role; no field for an unused role
//	leader, term                 the last leader elected and its term; no leader after it left
type State struct{ redisStore }

// NewState returns the projection.
func NewState(cfg RedisConfig) *State {
	return &State{redisStore{
		name: "state", cfg: cfg, script: lua.Bind[storeArgs]("sync_global_state"),
		stored: func(ctx context.Context) (string, error) {
			return cfg.Client.HGet(ctx, cfg.Keys.State(), "checkpoint").Result()
		},
	}}
}

// beside returns the projection into the second place.
func (s *State) beside() secondary {
	cfg := s.cfg
	cfg.Keys = cfg.Keys.SecondPlace()
	aside := NewState(cfg)
	aside.place = secondPlace
	return &redisRebuild{Projection: aside, live: &s.redisStore}
}

// Apply folds a batch and writes it in one step.
func (s *State) Apply(ctx context.Context, batch events.Batch) error {
	if len(batch.Entries) == 0 {
		return nil
	}
	fold := newStateFold()
	if err := foldAll(s.name, batch, fold.add); err != nil {
		return err
	}
	return s.write(ctx, batch, fold.anew, fold.changes(batch.Last()))
}

// stateFold is what a batch changes: differences of counts, and the leader afterwards.
type stateFold struct {
	anew   bool // the batch contains a flush: only what follows it counts
	counts stateCounts
	others map[string]int64 // counts of the statuses that only some fleets use; none until a task has one
	roles  map[string]int64

	term   int64 // 0: no election in this batch
	leader string
	left   []string // instances that left while the leader is not known

	last *events.Envelope // nil: none
}

type stateCounts struct{ total, pending, inProgress, completed, failed, assigned, instances int64 }

func newStateFold() *stateFold {
	return &stateFold{roles: map[string]int64{}, others: map[string]int64{}}
}

func (f *stateFold) add(e *events.Envelope, p *fact) error {
	f.last = e
	switch e.Type {
	case events.TypeTaskCreated:
		f.counts.total++
		f.count(createdStatus(p), +1)
	case events.TypeTaskDeleted, events.TypeTaskAssigned, events.TypeTaskUnassigned, events.TypeTaskClaimed,
		events.TypeTaskCompleted, events.TypeTaskFailed, events.TypeTaskDue, events.TypeTaskRetried, events.TypeTaskCancelled,
		events.TypeTaskUnblocked, events.TypeTaskBlocked, events.TypeTaskRevived:
		if p.err != nil {
			return p.err
		}
		f.moveTask(e.Type, p)
	case events.TypeInstanceRegistered:
		if p.err != nil {
			return p.err
		}
		if p.PreviousRoles == nil {
			f.counts.instances++
		}
		f.countRoles(p.PreviousRoles, -1)
		f.countRoles(p.Roles, +1)
	case events.TypeInstanceUnregistered, events.TypeInstanceFailed:
		if p.err != nil {
			return p.err
		}
		f.counts.instances--
		f.countRoles(p.Roles, -1)
		f.leave(p.ID)
	case events.TypeLeaderElected:
		elected, err := events.PayloadAs[events.LeaderElected](*e)
		if err != nil {
			return err
		}
		f.leader, f.term, f.left = elected.ID, elected.Term, nil
	case events.TypeSystemFlushed:
		*f = *newStateFold()
		f.anew, f.last = true, e
	}
	return nil
}

// moveTask moves a task's count from its old status to its new one.
func (f *stateFold) moveTask(what events.Type, p *fact) {
	f.count(p.PreviousStatus, -1)
	if p.assigned(what) {
		f.counts.assigned--
	}
	switch what {
	case events.TypeTaskDeleted:
		f.counts.total--
	case events.TypeTaskAssigned:
		f.counts.pending++
		f.counts.assigned++
	default:
		f.count(statusAfter(what, p), +1)
	}
}

// count changes the number of tasks with a status.
func (f *stateFold) count(status string, by int64) {
	switch status {
	case events.StatusPending:
		f.counts.pending += by
	case events.StatusInProgress:
		f.counts.inProgress += by
	case events.StatusCompleted:
		f.counts.completed += by
	case events.StatusFailed:
		f.counts.failed += by
	case events.StatusScheduled, events.StatusBlocked, events.StatusCancelled:
		f.others[status] += by
	}
}

// countRoles counts each role of an instance once, even if it is listed twice.
func (f *stateFold) countRoles(roles []string, by int64) {
	for i, role := range roles {
		if !slices.Contains(roles[:i], role) {
			f.roles[role] += by
		}
	}
}

func (f *stateFold) leave(instance string) {
	switch {
	case f.term == 0:
		f.left = append(f.left, instance)
	case f.leader == instance:
		f.leader = ""
	}
}

// changes returns the script's arguments: kind, field, value.
func (f *stateFold) changes(to events.ID) []any {
	args := make([]any, 0, 64)
	put := func(kind, field, value string) { args = append(args, kind, field, value) }
	c := f.counts
	for _, count := range []struct {
		field string
		by    int64
	}{
		{"tasks.total", c.total},
		{"tasks.pending", c.pending},
		{"tasks.in_progress", c.inProgress},
		{"tasks.completed", c.completed},
		{"tasks.failed", c.failed},
		{"tasks.assigned", c.assigned},
		{"instances", c.instances},
	} {
		put("+", count.field, number(count.by))
	}
	for _, status := range slices.Sorted(maps.Keys(f.others)) {
		put("+", "tasks."+status, number(f.others[status]))
	}
	for _, role := range slices.Sorted(maps.Keys(f.roles)) {
		if by := f.roles[role]; by != 0 {
			put("~", "role."+role, number(by))
		}
	}
	for _, instance := range f.left {
		put("-", "leader", instance)
	}
	if f.term != 0 {
		put("=", "term", number(f.term))
		if f.leader == "" {
			put("x", "leader", "")
		} else {
			put("=", "leader", f.leader)
		}
	}
	put("=", "version", number(to.Seq))
	if f.last != nil {
		put("=", "lastEvent", string(f.last.Type))
		put("=", "lastEventId", f.last.ID.String())
		put("=", "lastEventAt", f.last.Time().Format(events.TimeLayout))
	}
	return args
}
