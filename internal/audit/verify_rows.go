package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/projections"
)

// rows compares the views in Postgres with the log at the position that they have applied.
func (v *verifier) rows(ctx context.Context) error {
	if v.Options.Postgres == nil {
		v.report.note("Postgres was not checked: no database URL was given.")
		return nil
	}
	var merge *rowMerge
	defer func() { merge.stop() }()
	var sessions *sessionRows
	var schedules map[string]bool
	foreign := ""
	reached, err := v.await(ctx, "tasks", func() (int64, bool, error) {
		var at events.ID
		err := projections.ReadSnapshot(ctx, v.Options.Postgres, projections.Snapshot{Begin: func(checkpoint events.ID, log string, after int64) error {
			if log != "" && log != v.identity {
				foreign = log
				return events.ErrForeignLog
			}
			if at = checkpoint; at.Seq < v.fold.Seq() {
				return errBehind
			}
			if after != v.fold.SessionsAfter() {
				return errRebuilt
			}
			if err := v.to(ctx, at.Seq); err != nil {
				return err
			}
			if at != v.fold.Last() {
				v.report.violation("projection tasks has its checkpoint at %s, but the log has %s at that position", at, v.fold.Last())
			}
			schedules = map[string]bool{}
			merge.stop() // of an attempt before
			merge, sessions = newRowMerge(v), newSessionRows(v, after >= 0)
			return nil
		}, Task: func(row projections.TaskRow) error {
			merge.add(&row)
			return v.sometimes(ctx)
		}, Session: func(s *projections.Session) error {
			sessions.add(s)
			return v.sometimes(ctx)
		}, Instance: func(i *projections.SessionInstance) error {
			sessions.addInstance(i)
			return nil
		}, Schedule: func(row projections.ScheduleRow) error {
			schedules[row.ID] = true
			v.scheduleRow(&row)
			return v.sometimes(ctx)
		}})
		if errors.Is(err, errBehind) || errors.Is(err, projections.ErrNoTaskViews) {
			return at.Seq, false, nil
		}
		return at.Seq, err == nil, err
	})
	if errors.Is(err, events.ErrForeignLog) {
		v.foreignLog("the task views in Postgres", "tasks --take-over", foreign)
		return nil
	}
	if err != nil || !reached {
		return err
	}
	merge.missing(nil)
	sessions.missing()
	v.missingScheduleRows(schedules)
	v.report.Postgres = true
	return nil
}

// rowMerge compares rows with tasks, both sorted by number. The fold must not go on meanwhile.
type rowMerge struct {
	*verifier
	task *fold.Task // the next one without a row so far, nil at the end
	pull func() (*fold.Task, bool)
	end  func()
}

func newRowMerge(v *verifier) *rowMerge {
	m := &rowMerge{verifier: v}
	m.pull, m.end = iter.Pull(v.fold.Tasks())
	m.next()
	return m
}

func (m *rowMerge) next() { m.task, _ = m.pull() }

func (m *rowMerge) stop() {
	if m != nil {
		m.end()
	}
}

func (m *rowMerge) add(row *projections.TaskRow) {
	m.report.Rows++
	m.missing(&row.Num)
	if m.task == nil || m.task.Num != row.Num {
		// A row that a flush left in Postgres is older than the log.
		if row.Num < m.fold.Base() && row.Num > m.fold.FlushedViews() {
			return
		}
		what := "does not contain this task"
		if m.fold.Deleted(row.Num) {
			what = "has deleted it"
		}
		m.report.violation("Postgres row %s: it exists, but the log %s", row.ID, what)
		return
	}
	m.row(m.task, row)
	m.next()
}

// missing reports the tasks before num that have no row; nil means all that are left.
func (m *rowMerge) missing(num *int64) {
	for ; m.task != nil && (num == nil || m.task.Num < *num); m.next() {
		if t := m.task; !t.Partial() {
			m.report.violation("Postgres row %s: it is missing, but the log says that the task is %s", t.ID(), t.Describe())
		}
	}
}

func (m *rowMerge) row(t *fold.Task, row *projections.TaskRow) {
	object := "Postgres row " + t.ID()
	differs := func(field, log, stored string) { m.differs(object, field, log, stored) }
	differs("id", t.ID(), row.ID)
	differs("status", t.Status, row.Status)
	differs("updated_at", fold.ISO(t.UpdatedAt), when(&row.UpdatedAt))
	differs("seq", decimal(t.Seq), decimal(row.Seq))
	if t.Partial() {
		return
	}
	differs("text", projections.StoredText(t.Text), row.Text)
	differs("priority", decimal(t.Priority), decimal(row.Priority))
	differs("attempt", decimal(t.Attempt), decimal(row.Attempt))
	differs("assigned_to", projections.StoredText(t.AssignedTo), deref(row.AssignedTo))
	differs("metadata", storedJSON(t.Metadata), deref(row.Metadata))
	differs("result", storedJSON(t.Result), deref(row.Result))
	differs("error", storedJSON(t.Error), deref(row.Error))
	differs("created_at", fold.ISO(t.CreatedAt), when(&row.CreatedAt))
	differs("claimed_at", fold.ISO(t.LastClaim), when(row.ClaimedAt))
	differs("completed_at", fold.ISO(t.CompletedAt), when(row.CompletedAt))
	claimed, ended := t.LastClaim != 0, t.CompletedAt != 0 && t.Status != events.StatusCancelled
	differs("waited_ms", ifSo(claimed, t.Waited), count(row.Waited))
	differs("duration_ms", ifSo(ended, t.Duration), count(row.Duration))
	differs("run_at", fold.ISO(t.RunAt), when(row.RunAt))
	differs("timeout_at", fold.ISO(t.TimeoutAt), when(row.TimeoutAt))
	differs("failures", decimal(t.Failures), decimal(row.Failures))
	differs("losses", decimal(t.Losses), decimal(row.Losses))
	differs("errors", storedJSON(strings.Join(t.Errors, ",")), deref(row.Errors))
	differs("progress", storedJSON(t.Progress), deref(row.Progress))
	differs("cancellation", storedJSON(t.Cancel), deref(row.Cancellation))
	differs("options", storedJSON(t.Options), deref(row.Options))
}

// storedJSON returns JSON of the log as the projection stores it.
func storedJSON(text string) string {
	stored, _ := projections.StoredJSON(json.RawMessage(text))
	return stored
}

// when returns a time of Postgres in the log's format, with all digits if it is not in whole
// milliseconds.
func when(at *time.Time) string {
	switch {
	case at == nil:
		return ""
	case at.Nanosecond()%int(time.Millisecond) != 0:
		return at.UTC().Format(time.RFC3339Nano)
	}
	return at.UTC().Format(events.TimeLayout)
}

func count(n *int64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

func ifSo(so bool, n int64) string {
	if !so {
		return ""
	}
	return decimal(n)
}
