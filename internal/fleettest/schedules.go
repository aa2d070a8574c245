package fleettest

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// FoldSchedule is a schedule according to the log. JSON is text, "" for null.
type FoldSchedule struct {
	ID, Cron, Timezone, CatchUp string
	Paused                      bool
	Next, LastTick              int64 // ms since 1970, 0 for none
	LastTask, LastError         string
	Fired                       int64
	CreatedAt, UpdatedAt        string
	Version, Seq                int64
}

// applySchedule folds an event of a schedule.
func (f *Fold) applySchedule(e Event, at string) {
	var p struct {
		ID, Cron, Timezone, CatchUp string
		Paused, Created             bool
		Due, Tick                   string
		NextTick, TaskID            *string
		Fired                       int64
		Error                       json.RawMessage
	}
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		f.breaks(e, "%v", err)
		return
	}
	s := f.Schedules[p.ID]
	if s == nil && !p.Created || s != nil && p.Created {
		f.breaks(e, "the schedule was %+v", s)
		return
	}
	switch e.Type {
	case "schedule.changed":
		before := FoldSchedule{CreatedAt: at}
		if s != nil {
			before = *s
		}
		next := tick(str(p.NextTick))
		kept := !p.Paused && before.Next != 0 && before.Cron == p.Cron && before.Timezone == p.Timezone && !f.tampered
		if p.Paused != (next == 0) || kept && next != before.Next {
			f.breaks(e, "the schedule was %+v", before)
		}
		changed := before
		changed.ID, changed.Cron, changed.Timezone, changed.CatchUp, changed.Paused, changed.Next = p.ID, p.Cron, p.Timezone, p.CatchUp, p.Paused, next
		changed.UpdatedAt, changed.Version, changed.Seq = at, e.Seq, e.Seq
		f.Schedules[p.ID] = &changed
	case "schedule.fired":
		due, ended, next := tick(p.Due), tick(p.Tick), tick(str(p.NextTick))
		if !f.tampered && s.Next != due || s.Next == 0 || ended < due || next <= ended || ended > e.Timestamp || (p.TaskID == nil) != (Text(p.Error) != "") {
			f.breaks(e, "the schedule was %+v", s)
		}
		s.Next, s.LastTick, s.LastTask, s.LastError, s.Seq = next, ended, str(p.TaskID), Text(p.Error), e.Seq
		if s.LastTask != "" && f.Tasks[s.LastTask] == nil {
			f.announced = s.LastTask
			s.Fired++
		}
		if p.Fired != s.Fired || f.announced == "" && s.LastTask != "" && (!f.Tasks[s.LastTask].Open() || f.Tasks[s.LastTask].UniqueKey == "") {
			f.breaks(e, "the schedule was %+v", s)
		}
	case "schedule.deleted":
		delete(f.Schedules, p.ID)
	}
}

// fulfil checks that an event creates the task that the schedule.fired event before it has announced.
func (f *Fold) fulfil(e Event, id string) {
	if f.announced != "" && (e.Type != "task.created" || id != f.announced) {
		f.breaks(e, "the event before it announces %s", f.announced)
	}
	f.announced = ""
}

// MoveTick sets the next tick of a schedule, in ms since 1970, as no command does. So the test need not
// wait for it.
func (f *Fleet) MoveTick(id string, next int64) {
	f.T.Helper()
	f.Tamper([]any{"HSET", f.Keys.Schedule(id), "next", next}, []any{"ZADD", f.Keys.Ticks(), next, id})
}

// Tamper writes to Redis what no command writes about schedules. From then on, Verify does not compare
// them.
func (f *Fleet) Tamper(commands ...[]any) {
	f.T.Helper()
	f.tampered = true
	f.Put(commands...)
}

// tick returns the ms since 1970 of a time, 0 for none.
func tick(at string) int64 {
	if at == "" {
		return 0
	}
	return int64(millis(at))
}

// compareSchedules compares the schedules and their indexes.
func (f *Fleet) compareSchedules(told *Fold) {
	f.T.Helper()
	if told.announced != "" {
		told.Broken = append(told.Broken, "the log ends before "+told.announced+" is created")
	}
	if f.tampered {
		return
	}
	ids, ticks := map[string]float64{}, map[string]float64{}
	for id, s := range told.Schedules {
		ids[id] = 0
		want := map[string]string{
			"id": id, "cron": s.Cron, "timezone": s.Timezone, "catchUp": s.CatchUp, "paused": "0", "createdAt": s.CreatedAt, "updatedAt": s.UpdatedAt,
			"version": strconv.FormatInt(s.Version, 10), "seq": strconv.FormatInt(s.Seq, 10), "lastTask": s.LastTask, "lastError": s.LastError,
		}
		if s.Paused {
			want["paused"] = "1"
		}
		for name, n := range map[string]int64{"next": s.Next, "lastTick": s.LastTick, "fired": s.Fired} {
			if want[name] = ""; n != 0 {
				want[name] = strconv.FormatInt(n, 10)
			}
		}
		if s.Next != 0 {
			ticks[id] = float64(s.Next)
		}
		stored, got := f.Hash(f.Keys.Schedule(id)), map[string]string{}
		for name := range want {
			if got[name] = stored[name]; name == "fired" && got[name] == "0" {
				got[name] = "" // no tick has made a task
			}
		}
		f.differ(told, f.Keys.Schedule(id), want, got)
	}
	f.differ(told, "schedules", ids, f.Scores(f.Keys.Schedules()))
	f.differ(told, "next ticks", ticks, f.Scores(f.Keys.Ticks()))
	for _, key := range f.Scan(f.Keys.Schedule("*")) {
		if _, ok := told.Schedules[key[len(f.Keys.Schedule("")):]]; !ok {
			told.Broken = append(told.Broken, fmt.Sprintf("%s is there, and the log has no such schedule", key))
		}
	}
}
