package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/projections"
)

// scheduleLot is how many schedules a script reads at once.
const scheduleLot = 50

// scheduleCounts is the number of values before the schedules in the reply of read_schedules.
const scheduleCounts = 2

// The order of the values that read_schedules returns for a schedule.
const (
	indexSchedules = iota
	indexTicks
	scheduleID
	scheduleCron
	scheduleTimezone
	scheduleTask
	schedulePaused
	scheduleCatchUp
	scheduleNext
	scheduleLastTick
	scheduleLastTask
	scheduleLastError
	scheduleFired
	scheduleCreatedAt
	scheduleUpdatedAt
	scheduleVersion
	scheduleSeq
	scheduleValues
)

// schedules compares the hash and the index entries of every schedule that the log knows.
func (v *verifier) schedules(ctx context.Context) error {
	all := slices.Collect(v.fold.Schedules())
	args := [][]any{{}} // the first lot compares the lengths of the indexes
	lots := [][]*fold.Schedule{nil}
	for lot := range slices.Chunk(all, scheduleLot) {
		ids := make([]any, len(lot))
		for i, s := range lot {
			ids[i] = s.ID
		}
		args, lots = append(args, ids), append(lots, lot)
	}
	return v.lots(ctx, readSchedules, args, func(i int, reply []any) error {
		if len(reply) != scheduleCounts+len(lots[i]) {
			return fmt.Errorf("script %s returned %v", readSchedules.Name, reply)
		}
		if i == 0 && v.fold.Whole() {
			total, active := 0, 0
			for s := range v.fold.Schedules() {
				total++
				if !s.Paused {
					active++
				}
			}
			v.length(v.keys.Schedules(), reply[0], int64(total))
			v.length(v.keys.Ticks(), reply[1], int64(active))
		}
		for n, s := range lots[i] {
			v.report.Schedules++
			stored, _ := reply[scheduleCounts+n].([]any)
			// Look the schedule up again, because the fold may have gone on since.
			v.schedule(s.ID, v.fold.Schedule(s.ID), stored)
		}
		return nil
	})
}

func (v *verifier) schedule(id string, s *fold.Schedule, stored []any) {
	object := "schedule " + id
	get := func(i int) string {
		if i >= len(stored) {
			return ""
		}
		return text(stored[i])
	}
	switch {
	case s == nil && get(scheduleID) != "":
		v.report.violation("%s: the log has deleted it, but its hash exists", object)
		return
	case s == nil:
		return
	case get(scheduleID) == "":
		v.report.violation("%s: its hash is missing", object)
		return
	}
	differs := func(field, log string, i int) { v.differs(object, field, log, get(i)) }
	differs("next", decimalSet(s.Next), scheduleNext)
	differs("seq", decimal(s.Seq), scheduleSeq)
	differs("score in "+v.keys.Ticks(), decimalSet(s.Next), indexTicks)
	differs("score in "+v.keys.Schedules(), "0", indexSchedules)
	if s.LastTick != 0 || !s.Partial() {
		differs("lastTick", decimalSet(s.LastTick), scheduleLastTick)
		differs("lastTask", s.LastTask, scheduleLastTask)
		differs("lastError", s.LastError, scheduleLastError)
	}
	if s.Version != 0 {
		paused := "0"
		if s.Paused {
			paused = "1"
		}
		differs("cron", s.Cron, scheduleCron)
		differs("timezone", s.Timezone, scheduleTimezone)
		differs("task", s.Task, scheduleTask)
		differs("paused", paused, schedulePaused)
		differs("catchUp", s.CatchUp, scheduleCatchUp)
		differs("updatedAt", fold.ISO(s.UpdatedAt), scheduleUpdatedAt)
		differs("version", decimal(s.Version), scheduleVersion)
	}
	if !s.Partial() || s.Counted() {
		differs("fired", decimal(s.Fired), scheduleFired)
	}
	if !s.Partial() {
		differs("createdAt", fold.ISO(s.CreatedAt), scheduleCreatedAt)
	}
}

// strayScheduleKey reports whether a key of the family schedule or schedules is not in the log. name
// is the key without the prefix.
func (v *verifier) strayScheduleKey(name string) bool {
	if id, ok := strings.CutPrefix(name, "schedule:"); ok {
		return v.fold.Whole() && v.fold.Schedule(id) == nil
	}
	switch v.keys.Prefix() + name {
	case v.keys.Schedules(), v.keys.Ticks(), v.keys.Firing():
		return false
	}
	return true
}

// scheduleRow compares a row in Postgres with the log at the position that the row's view has applied.
func (v *verifier) scheduleRow(row *projections.ScheduleRow) {
	object := "Postgres row of schedule " + row.ID
	s := v.fold.Schedule(row.ID) // the API refuses ids that a row cannot store
	if s == nil {
		if v.fold.Whole() {
			v.report.violation("%s: it exists, but the log does not contain this schedule", object)
		}
		return
	}
	differs := func(field, log, stored string) { v.differs(object, field, log, stored) }
	differs("seq", decimal(s.Seq), decimal(row.Seq))
	differs("next_tick", fold.ISO(s.Next), when(row.NextTick))
	if s.LastTick != 0 || !s.Partial() {
		differs("last_tick", fold.ISO(s.LastTick), when(row.LastTick))
		differs("last_task", s.LastTask, deref(row.LastTask))
		differs("last_error", storedJSON(s.LastError), deref(row.LastError))
	}
	if s.Version != 0 {
		differs("cron", projections.StoredText(s.Cron), row.Cron)
		differs("timezone", projections.StoredText(s.Timezone), row.Timezone)
		differs("task", storedJSON(s.Task), row.Task)
		differs("paused", fmt.Sprint(s.Paused), fmt.Sprint(row.Paused))
		differs("catch_up", s.CatchUp, row.CatchUp)
		differs("updated_at", fold.ISO(s.UpdatedAt), when(&row.UpdatedAt))
	}
	if !s.Partial() {
		differs("fired", decimal(s.Fired), decimal(row.Fired))
		differs("created_at", fold.ISO(s.CreatedAt), when(&row.CreatedAt))
	}
}

// missingScheduleRows reports the schedules without a row. found has the ids of the rows.
func (v *verifier) missingScheduleRows(found map[string]bool) {
	for s := range v.fold.Schedules() {
		if !s.Partial() && !found[s.ID] {
			v.report.violation("Postgres row of schedule %s: it is missing", s.ID)
		}
	}
}
