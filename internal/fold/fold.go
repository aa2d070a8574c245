package fold

import (
	"fmt"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// Fold is the log folded in memory, event by event: the tasks and instances, the leader, the queue
// of each task, and the sessions, which it folds as the projection does. It depends only on the events, so that the same events always give the same
// fold. It checks each event against those before and reports violations. An invalid event is
// folded all the same, so that its consequences are reported only once. It is not safe for
// concurrent use.
type Fold struct {
	tell func(violation string)

	base int64 // events below it are not in the log
	// whole is set if the log has every event about every object: it begins with the first event
	// ever, or with a flush. Otherwise objects may be older than the log.
	whole    bool
	last     events.ID
	lastType events.Type
	count    int64 // events folded
	gaps     []Gap // the first ones

	bytes   int64 // about what the tasks hold
	touched *Task // the task that the current event changed

	tasks map[int64]*Task // that are not finished
	ended *ended          // the others
	err   error           // they cannot be read
	// sessions are those of the events after sessionsAfter.
	sessions      *projections.SessionFold
	sessionsAfter int64
	// flushedViews is the seq of the last flush that deleted the task views too, 0 if none did.
	flushedViews int64

	instances map[string]*Instance // including those that have left
	living    int64                // registered instances
	roles     map[string]int64     // registered instances by role

	leader  string // "" after it left
	elected string // the last one elected, even after it left
	term    int64

	byStatus map[string]int64
	owned    int64 // pending tasks that are assigned
	waiting  map[string]int64

	scheduled, blocked int64            // tasks in these queues
	deadlines          int64            // claimed tasks that end at a time
	cancelling         map[string]int64 // tasks that an instance is to end, by its id

	dependents map[int64][]*Task // the tasks that wait for a task
	uniques    map[string]int64  // the unfinished task that has a unique key
	limits     map[string]int64  // by limitKey
	limited    map[string]int64  // tasks that count for the limit of a key

	rolesets map[string]int64 // open tasks by role set
	orphans  map[string]*Orphans

	// pauses are the pauses of queues as Redis stores them, by role set; "" for one that has ended.
	pauses  map[string]string
	suspect *Task // see claimedInPause

	// counted has what the metrics count of tries, by the names that they use.
	counted map[string]int64

	schedules map[string]*Schedule
	expected  int64 // the task that the next event must create, 0 for none
}

// New returns the fold of a log whose first event has the seq base (1 if nothing was ever
// removed). It passes each violation to tell as one plain sentence.
func New(base int64, tell func(violation string)) *Fold {
	f := &Fold{tell: tell, base: max(base, 1), whole: base <= 1, sessions: projections.NewSessionFold()}
	f.reset()
	return f
}

// reset removes every object, as a flush does.
func (f *Fold) reset() {
	if f.ended != nil {
		f.ended.close()
	}
	f.tasks, f.ended, f.bytes = map[int64]*Task{}, newEnded(), 0
	f.instances, f.roles, f.living = map[string]*Instance{}, map[string]int64{}, 0
	f.leader, f.elected = "", ""
	f.byStatus, f.owned = map[string]int64{}, 0
	f.waiting, f.rolesets = map[string]int64{}, map[string]int64{}
	f.orphans = map[string]*Orphans{}
	f.schedules, f.expected = map[string]*Schedule{}, 0
	f.scheduled, f.blocked, f.deadlines, f.cancelling = 0, 0, 0, map[string]int64{}
	f.dependents, f.uniques = map[int64][]*Task{}, map[string]int64{}
	f.limits, f.limited = map[string]int64{}, map[string]int64{}
	f.pauses = map[string]string{}
	f.counted = map[string]int64{}
}

// Bytes estimates how much memory the fold holds.
func (f *Fold) Bytes() int64 {
	const finished, instance, session = 10, 1 << 10, 4 << 10
	return f.bytes + finished*f.ended.all + instance*int64(len(f.instances)) + session*int64(len(f.sessions.Sessions()))
}

// Apply folds the next event.
func (f *Fold) Apply(e events.Envelope) {
	f.place(e)
	s := step{Fold: f, e: e}
	s.fulfil()
	err := e.Known()
	if err != nil {
		s.tell("a newer version of the program wrote it: %v", err)
		return
	}
	suspect := f.suspect
	f.suspect = nil
	switch e.Type {
	case events.TypeTaskCreated:
		err = with(s, s.created)
	case events.TypeTaskUpdated:
		err = with(s, s.updated)
	case events.TypeTaskDeleted:
		err = with(s, s.deletedTask)
	case events.TypeTaskAssigned:
		err = with(s, s.assigned)
	case events.TypeTaskUnassigned:
		err = with(s, s.unassigned)
	case events.TypeTaskClaimed:
		err = with(s, s.claimed)
	case events.TypeTaskCompleted, events.TypeTaskFailed:
		err = with(s, s.finished)
	case events.TypeTaskDue:
		err = with(s, s.due)
	case events.TypeTaskRetried:
		err = with(s, s.retried)
	case events.TypeTaskTimedOut:
		err = with(s, s.timedOut)
	case events.TypeTaskProgressed:
		err = with(s, s.progressed)
	case events.TypeTaskCancelRequested:
		err = with(s, s.cancelRequested)
	case events.TypeTaskCancelled:
		err = with(s, s.cancelled)
	case events.TypeTaskUnblocked:
		err = with(s, s.unblocked)
	case events.TypeTaskBlocked:
		err = with(s, s.blockedAgain)
	case events.TypeLimitChanged:
		err = with(s, s.limitChanged)
	case events.TypeLimitDeleted:
		err = with(s, s.limitDeleted)
	case events.TypeTaskRevived:
		err = with(s, s.revived)
	case events.TypeInstanceRegistered:
		err = with(s, s.registered)
	case events.TypeInstanceUnregistered, events.TypeInstanceFailed:
		err = with(s, s.departed)
	case events.TypeLeaderElected:
		err = with(s, s.elect)
	case events.TypeQueuePaused:
		err = with(s, s.paused)
	case events.TypeQueueResumed:
		err = with(s, s.resumed)
	case events.TypeScheduleChanged:
		err = with(s, s.scheduleChanged)
	case events.TypeScheduleFired:
		err = with(s, s.scheduleFired)
	case events.TypeScheduleDeleted:
		err = with(s, s.scheduleDeleted)
	case events.TypeSystemFlushed:
		err = with(s, s.flushed)
	}
	if suspect != nil {
		s.suspected(suspect)
	}
	if t := f.touched; t != nil {
		f.touched = nil
		f.bytes += t.size() - t.bytes
		t.bytes = t.size()
		if !t.Open() && f.tasks[t.Num] == t && f.ended.add(t) {
			f.bytes -= t.bytes
			delete(f.tasks, t.Num)
		}
	}
	if err == nil && e.Seq > f.sessionsAfter {
		err = f.sessions.Apply(e)
	}
	if err != nil {
		s.tell("it cannot be decoded: %v", err)
	}
}

// Unreadable skips an entry that has a seq but does not decode.
func (f *Fold) Unreadable(id events.ID, reason error) {
	f.place(events.Envelope{ID: id, Seq: id.Seq, Timestamp: id.MS})
	f.tell(fmt.Sprintf("log entry %s has the ID of an event, but cannot be decoded: %v", id, reason))
}

// place checks an event's ID against the one before.
func (f *Fold) place(e events.Envelope) {
	expected := f.last.Seq + 1
	if f.count == 0 {
		expected = min(f.base, e.Seq) // less than base while a trim is in progress
		f.base = max(e.Seq, 1)
		f.whole = f.base == 1 || e.Type == events.TypeSystemFlushed
	}
	switch {
	case e.Seq > expected && e.Type != events.TypeSystemFlushed:
		if len(f.gaps) < maxGaps {
			f.gaps = append(f.gaps, Gap{From: expected, To: e.Seq - 1})
		}
		f.tell(fmt.Sprintf("events with seq %d to %d are missing: found %s instead of seq %d", expected, e.Seq-1, e.ID, expected))
	case e.Seq < expected:
		f.tell(fmt.Sprintf("event %s is found instead of seq %d: its seq does not rise", e.ID, expected))
	}
	if f.count > 0 && e.ID.MS < f.last.MS {
		f.tell(fmt.Sprintf("event %s is earlier than %s, its predecessor", e.ID, f.last))
	}
	if e.Type != "" && (e.ID.Seq != e.Seq || e.ID.MS != e.Timestamp) {
		f.tell(fmt.Sprintf("event %s contains seq %d and timestamp %d", e.ID, e.Seq, e.Timestamp))
	}
	f.last, f.lastType = e.ID, e.Type
	f.count++
}

// maxGaps is how many gaps a fold keeps.
const maxGaps = 100

// step is the folding of one event.
type step struct {
	*Fold
	e events.Envelope
}

// tell reports a violation, prefixed with the event.
func (s step) tell(format string, args ...any) {
	s.Fold.tell(fmt.Sprintf("event %s %s: ", s.e.ID, s.e.Type) + fmt.Sprintf(format, args...))
}

// with decodes the event's payload for the function that folds it.
func with[P any](s step, fold func(P)) error {
	payload, err := events.PayloadAs[P](s.e)
	if err != nil {
		return err
	}
	fold(payload)
	return nil
}

// elect folds leader.elected.
func (s step) elect(p events.LeaderElected) {
	if p.Term <= s.term {
		s.tell("term %d is not higher than the last term, %d", p.Term, s.term)
	}
	i := s.instance(p.ID)
	if !i.Registered {
		s.tell("%s is not registered", p.ID)
	}
	s.leader, s.Fold.elected, s.term = p.ID, p.ID, p.Term
	i.Seq = s.e.Seq
}

// flushed folds system.flushed. Terms continue to rise after it.
func (s step) flushed(p events.SystemFlushed) {
	s.reset()
	s.base, s.whole = s.e.Seq, true
	if p.Postgres != nil {
		s.flushedViews = s.e.Seq
	}
}
