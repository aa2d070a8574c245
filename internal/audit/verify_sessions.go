package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/projections"
)

// sessionRows compares the rows of sessions with the log.
type sessionRows struct {
	*verifier
	sessions  map[string]*projections.Session         // without a row so far
	instances map[string]*projections.SessionInstance // without a row so far
}

// newSessionRows returns a comparison. Rows of a version without sessions are not compared.
func newSessionRows(v *verifier, present bool) *sessionRows {
	r := &sessionRows{verifier: v, instances: map[string]*projections.SessionInstance{}}
	if !present {
		return r
	}
	r.sessions = maps.Clone(v.fold.Sessions().Sessions())
	for _, i := range v.fold.Sessions().Instances() {
		r.instances[instanceRow(i)] = i
	}
	return r
}

// older reports whether a row began before the log, and may be there: a flush left it in Postgres, or
// the log was trimmed.
func (r *sessionRows) older(seq int64) bool {
	return seq < r.fold.Base() && seq > r.fold.FlushedViews()
}

func (r *sessionRows) add(row *projections.Session) {
	r.report.Sessions++
	s := r.sessions[row.ID]
	delete(r.sessions, row.ID)
	switch {
	case r.older(row.FirstSeq):
		return
	case s == nil:
		r.report.violation("Postgres row of session %s: it exists, but the log does not contain this session", row.ID)
		return
	}
	differs := func(field, log, stored string) { r.differs("Postgres row of session "+row.ID, field, log, stored) }
	differs("source", s.Source, row.Source)
	differs("instance_id", s.InstanceID, row.InstanceID)
	for _, n := range []struct {
		field       string
		log, stored int64
	}{
		{"first_seq", s.FirstSeq, row.FirstSeq},
		{"seq", s.Seq, row.Seq},
		{"events", s.Events, row.Events},
		{"prompts", s.Prompts, row.Prompts},
		{"allowed", s.Allowed, row.Allowed},
		{"asked", s.Asked, row.Asked},
		{"denied", s.Denied, row.Denied},
	} {
		differs(n.field, decimal(n.log), decimal(n.stored))
	}
	differs("started_at", fold.ISO(s.StartedAt), fold.ISO(row.StartedAt))
	differs("last_activity_at", fold.ISO(s.LastActivityAt), fold.ISO(row.LastActivityAt))
	differs("ended_at", fold.ISO(s.EndedAt), fold.ISO(row.EndedAt))
	differs("tools", tools(s), tools(row))
	differs("todos", s.Todos, row.Todos)
	differs("kept", fmt.Sprint(s.Kept), fmt.Sprint(row.Kept))
}

// tools returns the tools as text, "" for none.
func tools(s *projections.Session) string {
	if len(s.Tools) == 0 {
		return ""
	}
	text, err := jsontext.Marshal(s.Tools)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (r *sessionRows) addInstance(row *projections.SessionInstance) {
	key := instanceRow(row)
	i := r.instances[key]
	delete(r.instances, key)
	switch {
	case r.older(row.SinceSeq):
	case i == nil:
		r.report.violation("Postgres row of %s: it exists, but the log does not contain this registration", key)
	default:
		r.differs("Postgres row of "+key, "session_id", i.SessionID, row.SessionID)
		r.differs("Postgres row of "+key, "since_at", fold.ISO(i.Since), fold.ISO(row.Since))
		r.differs("Postgres row of "+key, "until_at", fold.ISO(i.Until), fold.ISO(row.Until))
	}
}

// instanceRow names a row of session_instances.
func instanceRow(i *projections.SessionInstance) string {
	return fmt.Sprintf("instance %s with a session since seq %d", i.InstanceID, i.SinceSeq)
}

func (r *sessionRows) missing() {
	for _, id := range slices.Sorted(maps.Keys(r.sessions)) {
		r.report.violation("Postgres row of session %s: it is missing, but the log contains the session", id)
	}
	for _, key := range slices.Sorted(maps.Keys(r.instances)) {
		r.report.violation("Postgres row of %s: it is missing", key)
	}
}
