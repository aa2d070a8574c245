package fold

import (
	"time"

	"github.com/claudebench/claudebench/events"
)

// Schedule is a schedule according to the log. Times are ms since 1970, 0 for none. JSON is text, ""
// for none.
type Schedule struct {
	ID, Cron, Timezone, Task, CatchUp string
	Paused                            bool
	Next, LastTick                    int64
	LastTask, LastError               string
	Fired                             int64
	CreatedAt, UpdatedAt              int64
	Version                           int64 // seq of the last schedule.changed
	Seq                               int64 // of the last event about it

	counted bool // an event has told Fired
	// partial is set if the schedule is older than the log, so that only its ticks are known.
	partial bool
}

// moment returns a time of the log in ms, and reports one that is not valid.
func (s step) moment(member, text string) int64 {
	at, err := time.Parse(events.TimeLayout, text)
	if err != nil {
		s.tell("%s is %q, which is not a time", member, text)
		return 0
	}
	return at.UnixMilli()
}

// weigh adds a schedule to what the fold holds (+1), or removes it (-1).
func (s step) weigh(c *Schedule, by int64) {
	const itself = 400
	s.bytes += by * int64(itself+len(c.ID)+len(c.Task)+len(c.LastError))
}

func (s step) scheduleChanged(p events.ScheduleChanged) {
	before := s.schedules[p.ID]
	if (before == nil) != p.Created && (s.whole || before != nil) {
		s.tell("created is %t, but schedule %s %s", p.Created, p.ID, Present(before != nil))
	}
	c := &Schedule{CreatedAt: s.e.Timestamp, partial: before == nil && !p.Created}
	if before != nil {
		s.weigh(before, -1)
		*c = *before
	}
	c.ID, c.Cron, c.Timezone, c.Task, c.Paused, c.CatchUp = p.ID, p.Cron, p.Timezone, string(p.Task), p.Paused, p.CatchUp
	c.UpdatedAt, c.Version, c.Seq, c.Next = s.e.Timestamp, s.e.Seq, s.e.Seq, 0
	if p.NextTick != nil {
		c.Next = s.moment("nextTick", *p.NextTick)
	}
	switch {
	case p.Paused != (p.NextTick == nil):
		s.tell("paused is %t, but the next tick is %s", p.Paused, Shown(deref(p.NextTick)))
	case before != nil && before.Next != 0 && !p.Paused && before.Cron == c.Cron && before.Timezone == c.Timezone && before.Next != c.Next:
		s.tell("schedule %s kept its expression, but its next tick moved from %s to %s", p.ID, ISO(before.Next), ISO(c.Next))
	}
	s.schedules[p.ID] = c
	s.weigh(c, +1)
}

// scheduleFired checks that each tick ends once, in order, and that its task is the next event.
func (s step) scheduleFired(p events.ScheduleFired) {
	due, tick, next := s.moment("due", p.Due), s.moment("tick", p.Tick), s.moment("nextTick", p.NextTick)
	c := s.schedules[p.ID]
	switch {
	case c == nil && s.whole:
		s.tell("schedule %s does not exist", p.ID)
		fallthrough
	case c == nil:
		c = &Schedule{ID: p.ID, partial: true, Next: due}
		s.schedules[p.ID] = c
		s.weigh(c, +1)
	case c.Next != due:
		s.tell("the tick of schedule %s was %s, but the event says %s", p.ID, Shown(ISO(c.Next)), p.Due)
	}
	if tick < due || next <= tick {
		s.tell("the ticks of schedule %s do not rise: %s, %s, %s", p.ID, p.Due, p.Tick, p.NextTick)
	}
	if tick > s.e.Timestamp {
		s.tell("tick %s of schedule %s ended before its time", p.Tick, p.ID)
	}
	s.weigh(c, -1)
	c.Next, c.LastTick, c.LastTask, c.LastError, c.Seq = next, tick, deref(p.TaskID), document(p.Error), s.e.Seq
	s.weigh(c, +1)
	if (p.TaskID == nil) == (c.LastError == "") {
		s.tell("it must have either a task or an error")
	}
	var num int64
	ok := false
	if p.TaskID != nil {
		num, ok = TaskNumber(*p.TaskID)
	}
	made := int64(0) // an unfinished task with the same unique key is not made again
	if ok && num == s.e.Seq+1 {
		made = 1
	}
	if p.Fired != c.Fired+made && !c.partial {
		s.tell("schedule %s has made %d tasks, but the event says %d", p.ID, c.Fired+made, p.Fired)
	}
	c.Fired, c.counted = p.Fired, true
	if p.TaskID == nil {
		return
	}
	t := s.tasks[num]
	finished := t == nil && s.Exists(num) && !s.Deleted(num)
	switch {
	case ok && num == s.e.Seq+1:
		s.expected = num
	case !ok || finished || t == nil && (s.whole || num >= s.base), t != nil && !t.Open():
		s.tell("task %s is neither new nor unfinished", *p.TaskID)
	}
}

// fulfil checks that an event creates the task that the schedule.fired event before it has announced.
func (s step) fulfil() {
	if s.expected == 0 {
		return
	}
	created := s.e.Type == events.TypeTaskCreated && s.e.Seq == s.expected
	if !created {
		s.tell("the event before it says that this one creates task t-%d", s.expected)
	}
	s.expected = 0
}

func (s step) scheduleDeleted(p events.ScheduleDeleted) {
	c := s.schedules[p.ID]
	if c == nil {
		if s.whole {
			s.tell("schedule %s does not exist", p.ID)
		}
		return
	}
	s.weigh(c, -1)
	delete(s.schedules, p.ID)
}
